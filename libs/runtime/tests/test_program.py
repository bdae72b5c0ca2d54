"""A program that starts while its bus is away waits for it, and not for ever."""

import asyncio
import math
from collections.abc import Sequence
from typing import cast

import pytest

from waybill_events.catalogue import TOPICS
from waybill_runtime import program
from waybill_runtime.bus import Bus, BusUnavailable
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.testing.world import World, simulate


class AwayBus:
    """A bus that refuses for so many seconds, then makes its topics."""

    def __init__(self, away_s: float) -> None:
        self._away_s = away_s
        self.made: list[str] = []

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        if asyncio.get_running_loop().time() < self._away_s:
            raise BusUnavailable("not yet")
        self.made += topics


def beside(bus: AwayBus) -> Infrastructure:
    on = World().infrastructure("db")
    return Infrastructure(on.store, cast(Bus, bus), on.clock, on.ids, on.stopping)


def started(away_s: float, within_s: float = program.BUS_WAIT_S) -> AwayBus:
    async def main() -> AwayBus:
        bus = AwayBus(away_s)
        await program.topics_made(beside(bus), within_s)
        return bus

    return simulate(1, main())


def test_a_bus_that_comes_back_is_waited_for() -> None:
    assert started(away_s=30.0).made == sorted(TOPICS)


def test_a_bus_that_stays_away_ends_the_program() -> None:
    with pytest.raises(BusUnavailable):
        started(away_s=1e6)


def test_who_only_shows_waits_for_as_long_as_the_bus_is_away() -> None:
    assert started(away_s=100 * program.BUS_WAIT_S, within_s=math.inf).made == sorted(TOPICS)


def test_who_stops_waits_no_longer() -> None:
    async def main() -> AwayBus:
        bus = AwayBus(away_s=1e6)
        on = beside(bus)
        asyncio.get_running_loop().call_later(5.0, on.stopping.set)
        await program.topics_made(on, math.inf)
        return bus

    assert simulate(1, main()).made == []


@pytest.mark.parametrize(("own", "waits"), [([], False), (["orders"], True)])
def test_who_says_nothing_of_its_own_serves_while_the_bus_is_away(
    own: list[str], waits: bool
) -> None:
    """A view that customers look at is there, though its service was started beside a dead bus."""

    async def main() -> Sequence[object]:
        return await program.looked(beside(AwayBus(away_s=1e6)), own)

    if waits:
        with pytest.raises(BusUnavailable):
            simulate(1, main())
    else:
        assert simulate(1, main()) == ()
