"""A rebuild is judged by the hashes that it compared, and by every read that came meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from waybill import registry
from waybill.chaos.faults import views
from waybill.chaos.ground import Ground, NotStruck
from waybill.chaos.load import Placed
from waybill.chaos.plan import Fault
from waybill.commands import projections
from waybill.failure import UNAVAILABLE
from waybill_runtime.rebuild import Comparison
from waybill_runtime.testing.world import World, simulate

REBUILD = Fault(number=7, at_s=0.0, kind="rebuild", target="tracking", lasts_s=0.0, seed=1)


def said(live: str, rebuilt: str, documents: int = 4, missing: Sequence[str] = ()) -> str:
    """What the command says of a view, by its own words."""
    return projections._told(
        "tracking", Comparison("customer", live, rebuilt, documents, 2, tuple(missing))
    )


@pytest.mark.parametrize(
    ("code", "text", "told"),
    [
        (0, said("ab", "ab"), ("equal", 4)),
        (0, said("ab", "cd"), ("different", 4)),
        (0, said("ab", "ab", missing=["orders/1"]), ("different", 4)),
        (0, "tracking customer equal 4 documents live ab rebuilt cd", ("different", 4)),
        (0, "customer equal", ("failed", 0)),
        (0, "", ("failed", 0)),
        (1, said("ab", "ab"), ("failed", 0)),
        (UNAVAILABLE, "A store or the bus does not answer", ("broken off", 0)),
    ],
)
def test_equal_is_what_has_two_hashes_that_are_the_same(
    code: int, text: str, told: tuple[str, int]
) -> None:
    assert views.compared("tracking", "customer", [code], text) == told


def test_broken_off_is_what_found_store_or_bus_away_each_time() -> None:
    away = "A store or the bus does not answer"
    assert views.compared("tracking", "customer", [UNAVAILABLE] * 5, away)[0] == "broken off"
    assert views.compared("tracking", "customer", [1, UNAVAILABLE], away)[0] == "failed"


class Tracking:
    """Answers each read as the story has it by then; its rebuilds compare so many documents."""

    def __init__(self, *answers: Callable[[], httpx.Response]) -> None:
        self.world = World()
        self._answers = list(answers)
        self._http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        system = SimpleNamespace(values={"TRACKING_URL": "http://tracking"})
        self.ground = Ground(
            cast("Any", SimpleNamespace(system=system)),
            cast("Any", SimpleNamespace(recent=[Placed("ord_1", "t1")])),
            cast("Any", None),
            self._http,
            self.world.clock,
        )

    def _answer(self, _: httpx.Request) -> httpx.Response:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer()


def status(code: int) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(code)


def breaks(error: Exception) -> Callable[[], httpx.Response]:
    def fail() -> httpx.Response:
        raise error

    return fail


def read(*answers: Callable[[], httpx.Response], beside: Fault | None = None) -> Counter[str]:
    """One read for each answer, while this fault strikes as well."""

    async def run() -> Counter[str]:
        tracking = Tracking(*answers)
        if beside is not None:
            tracking.ground.begin(beside)
        reads: Counter[str] = Counter()
        with_time = asyncio.timeout(views.READ_EVERY_S * (len(answers) - 0.5))
        try:
            async with with_time:
                await views.Reader(tracking.ground, REBUILD, reads).run()
        except TimeoutError:
            return reads
        raise AssertionError

    return simulate(1, run())


def test_only_200_is_answered() -> None:
    assert read(status(200), status(200)) == {"answered": 2}
    assert read(status(404), status(429), status(200)) == {"unseen": 1, "limited": 1, "answered": 1}


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (status(503), "unavailable"),
        (status(500), "failed"),
        (status(302), "failed"),
        (breaks(httpx.ReadTimeout("")), "timed_out"),
        (breaks(httpx.ConnectError("")), "away"),
    ],
)
def test_what_is_not_answered_is_told_apart_and_refused(
    answer: Callable[[], httpx.Response], what: str
) -> None:
    assert read(status(200), answer) == {"answered": 1, what: 1, "refused": 1}


def test_a_view_that_was_there_and_is_gone_is_refused_whatever_else_strikes() -> None:
    killed = Fault(number=8, at_s=0.0, kind="service-kill", target="tracking", lasts_s=0, seed=1)
    for beside in (None, killed):
        found = read(status(200), status(404), beside=beside)
        assert found == {"answered": 1, "gone": 1, "refused": 1}


@pytest.mark.parametrize(
    ("kind", "target", "verdict"),
    [
        ("service-kill", "tracking", "excused"),
        ("database-cut", "tracking.database", "excused"),
        ("postgres-pause", "postgres", "excused"),
        ("service-kill", "payment", "refused"),
        ("rebuild", "tracking", "refused"),
    ],
)
def test_a_503_is_excused_by_a_fault_on_what_tracking_reads_from_alone(
    kind: str, target: str, verdict: str
) -> None:
    beside = Fault(number=8, at_s=0.0, kind=kind, target=target, lasts_s=0.0, seed=1)
    assert read(status(503), beside=beside) == {"unavailable": 1, verdict: 1}


def test_a_fault_excuses_what_comes_soon_after_it_healed_and_no_more() -> None:
    killed = Fault(number=8, at_s=0.0, kind="service-kill", target="tracking", lasts_s=0, seed=1)

    async def run() -> list[int]:
        ground = Tracking(status(200)).ground
        ground.begin(killed)
        ground.end(killed)
        await asyncio.sleep(views.AWAY_FOR_S - 1)
        soon = len(ground.lately(views.AWAY_FOR_S))
        await asyncio.sleep(2)
        return [soon, len(ground.lately(views.AWAY_FOR_S))]

    assert simulate(1, run()) == [1, 0]


@pytest.mark.parametrize("documents", [4, 0])
def test_a_rebuild_of_nothing_has_not_struck(
    documents: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def command(_: Ground, *arguments: str) -> tuple[int, str]:
        await asyncio.sleep(0)
        view = arguments[2]
        return 0, f"tracking {view} equal {documents} documents live ab rebuilt ab"

    async def run() -> tuple[bool, Sequence[Any]]:
        ground = Tracking(status(200)).ground
        try:
            async with views.rebuild(ground, REBUILD):
                return True, ground.told
        except NotStruck:
            return False, ground.told

    monkeypatch.setattr(Ground, "command", command)
    struck, told = simulate(1, run())
    assert struck is bool(documents)
    equal = ["equal"] * len(registry.views("tracking"))
    assert [one["verdict"] for one in told] == (equal if documents else [])
