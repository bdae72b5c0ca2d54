"""A program that starts while its bus is away waits for it, and not for ever."""

import asyncio
from collections.abc import Sequence

import pytest

from waybill_events.catalogue import TOPICS
from waybill_runtime import program
from waybill_runtime.bus import BusUnavailable
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


def started(away_s: float) -> AwayBus:
    async def main() -> AwayBus:
        on, bus = World().infrastructure("db"), AwayBus(away_s)
        infrastructure = Infrastructure(on.store, bus, on.clock, on.ids, on.stopping)  # type: ignore[arg-type]
        await program.topics_made(infrastructure)
        return bus

    return simulate(1, main())


def test_a_bus_that_comes_back_is_waited_for() -> None:
    assert started(away_s=30.0).made == sorted(TOPICS)


def test_a_bus_that_stays_away_ends_the_program() -> None:
    with pytest.raises(BusUnavailable):
        started(away_s=1e6)
