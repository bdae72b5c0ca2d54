"""Every planted bug is caught, by the oracle or case that it must break; and nothing else is."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import pytest

import hunting
import scenarios
from bugs import BUGS, CLASSICAL
from scenarios import Seen
from waybill_runtime.clock import SystemClock
from waybill_runtime.testing.postgres import Server, fresh_database
from waybill_runtime.testing.world import World, simulate

Note = Callable[[str, Any], None]


def ids(by: str) -> list[str]:
    return [bug.id for bug in BUGS.values() if bug.by == by]


def told(note: Note, id_: str, seen: Seen, begun_s: float) -> None:
    """Fails unless what the bug must break is broken; notes by what it was caught."""
    expected = set(BUGS[id_].breaks) or set(seen.violated)
    assert seen.violated.keys() & expected, f"{id_} was not caught: {BUGS[id_].says}"
    first = next(iter(seen.violated.values()))[0]
    duration_s = SystemClock().monotonic_s() - begun_s
    note("caught", asdict(hunting.Caught(sorted(seen.violated), first, None, duration_s)))


@pytest.mark.parametrize("id_", ids("simulator"))
def test_the_simulator_catches(id_: str, record_property: Note) -> None:
    caught = hunting.hunt(BUGS[id_])
    assert caught is not None, f"{hunting.SEEDS} days did not show {id_}: {BUGS[id_].says}"
    assert caught.seed is not None
    assert hunting.without(caught.seed, BUGS[id_].situation) == []
    record_property("caught", asdict(caught))


@pytest.mark.parametrize("id_", ids("scenario"))
def test_a_scenario_catches(id_: str, record_property: Note) -> None:
    def play() -> Seen:
        world = World()
        return simulate(1, scenarios.ON_MEMORY[id_](world))

    assert play().violated == {}
    begun_s = SystemClock().monotonic_s()
    with BUGS[id_].planted():
        told(record_property, id_, play(), begun_s)


@pytest.mark.postgres
@pytest.mark.parametrize("id_", ids("postgres"))
async def test_a_real_store_catches(id_: str, postgres: Server, record_property: Note) -> None:
    for planted in (False, True):
        begun_s = SystemClock().monotonic_s()
        async with fresh_database(postgres, "planted") as dsn:
            with BUGS[id_].planted() if planted else nullcontext():
                seen = await scenarios.ON_POSTGRES[id_](dsn)
        if planted:
            told(record_property, id_, seen, begun_s)
        else:
            assert seen.violated == {}


def test_every_guarantee_is_aimed_at_by_some_bug() -> None:
    broken = {guarantee for bug in BUGS.values() for guarantee in bug.breaks}
    assert broken == {f"I{number}" for number in range(1, 16)}


def test_every_bug_says_what_is_wrong() -> None:
    assert [bug.id for bug in BUGS.values() if len(bug.says) < 20] == []


def test_every_classical_bug_is_planted() -> None:
    assert len(CLASSICAL) == len(set(CLASSICAL)) == 32
    assert [id_ for id_ in CLASSICAL if id_ not in BUGS] == []
