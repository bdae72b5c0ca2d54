"""Quiet after the storm: what is waited for, for how long, and what is told of the rest."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import pytest

from waybill.chaos import repairing, settling
from waybill.chaos.ground import Ground
from waybill_events.catalogue import TOPICS
from waybill_runtime.bus import Partition
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import LEASE_S
from waybill_runtime.stored import Job, Parked, StoreUnavailable
from waybill_runtime.testing.world import EPOCH, World, simulate

JOB = Job(id="j", tenant="default", kind="k", due_at=EPOCH)
PARKED = Parked(
    position=0,
    tenant="default",
    key="k",
    reason="poison",
    partition=Partition("stock", 0),
    offset=0,
    headers=(),
    value=b"",
    parked_at=EPOCH,
)


class Stormed:
    """As much of a system after a storm as is asked of it: its stores, and what clients wait for.

    `away` is how often it cannot be reached.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.away = 0
        self.dead: list[str] = []
        self.load = SimpleNamespace(asking=0, open={})

    @property
    def ground(self) -> Ground:
        system = SimpleNamespace(connect=self.connect)
        house = SimpleNamespace(system=system, unready=lambda: self.dead)
        return cast("Ground", SimpleNamespace(house=house, load=self.load, clock=self.world.clock))

    @asynccontextmanager
    async def connect(self, name: str) -> AsyncIterator[Infrastructure]:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("struck")
        yield self.world.infrastructure(name)


async def stormed() -> Stormed:
    world = World()
    await world.infrastructure("capture").bus.ensure_topics(sorted(TOPICS))
    return Stormed(world)


async def after(seconds: float, what: Stormed) -> None:
    """All that is under way comes to its end."""
    await asyncio.sleep(seconds)
    async with what.world.infrastructure("payment").store.transaction() as transaction:
        found = await transaction.jobs.claim(["k"], limit=1, lease_s=LEASE_S)
        await transaction.jobs.finish([job.token for job in found])
    what.load.asking, what.load.open = 0, {}
    what.dead.clear()


async def begin(what: Stormed, busy: str) -> None:
    match busy:
        case "to do":
            async with what.world.infrastructure("payment").store.transaction() as transaction:
                await transaction.jobs.schedule([JOB])
        case "not ready":
            what.dead.append("tracking")
        case "unanswered posts":
            what.load.asking = 1
        case "open orders":
            what.load.open = {"ord_1": None}
        case _:
            what.away = 4


@pytest.mark.parametrize(
    "busy", ["to do", "not ready", "unanswered posts", "open orders", "stores"]
)
def test_what_is_under_way_is_waited_for_and_told(busy: str) -> None:
    async def run() -> tuple[float, Mapping[str, object], list[str]]:
        what = await stormed()
        told: list[str] = []
        await begin(what, busy)
        async with asyncio.TaskGroup() as group:
            group.create_task(after(1.9, what))
            took_s, left = await settling.settle(what.ground, told.append)
        return took_s, left, told

    took_s, left, told = simulate(1, run())
    assert not left
    assert 2.0 <= took_s <= 3.0
    assert told
    assert all(busy in line for line in told)


def test_what_does_not_end_is_told_when_patience_has() -> None:
    async def run() -> tuple[float, Mapping[str, object]]:
        what = await stormed()
        await begin(what, "to do")
        return await settling.settle(what.ground, lambda _: None)

    took_s, left = simulate(1, run())
    assert settling.WAIT_S <= took_s < settling.WAIT_S + 1
    assert left == {"to do": 1}


def test_what_is_parked_is_repaired_by_staff_and_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> tuple[float, Mapping[str, object]]:
        what = await stormed()
        store = what.world.infrastructure("tracking").store
        async with store.transaction() as transaction:
            await transaction.parking.park("tracking", [PARKED])

        async def repair(_: Ground) -> int:
            async with store.transaction() as transaction:
                parked = await transaction.parking.parked("tracking")
                await transaction.parking.unpark("tracking", [one.position for one in parked])
            return 0

        monkeypatch.setattr(repairing, "repair", repair)
        return await settling.settle(what.ground, lambda _: None)

    took_s, left = simulate(1, run())
    assert not left
    assert settling.REPAIR_EVERY_S <= took_s < settling.REPAIR_EVERY_S + 2


def test_one_look_that_finds_nothing_is_not_quiet() -> None:
    """What is on its way between two places is in neither."""

    async def run() -> tuple[float, Mapping[str, object]]:
        return await settling.settle((await stormed()).ground, lambda _: None)

    took_s, _ = simulate(1, run())
    assert took_s > 0
