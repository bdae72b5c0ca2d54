"""Where a consumer reads on: positions that cannot be taken at first, and that stand alone."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pytest

from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime.adapters.memory.inbox import MemoryInbox
from waybill_runtime.adapters.memory.store import MemoryStore
from waybill_runtime.consumer import ASSIGN_S, EventConsumer, Incoming
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.relay import message
from waybill_runtime.stored import StoreUnavailable
from waybill_runtime.testing.world import World, delivery, recorded, simulate
from waybill_runtime.work import Work

FACT = ContactPreferenceChanged(customer_ref="k", channel="email", allowed=True)
FIRST = recorded(FACT, stream="s", version=1, topic="notifications")


class Away:
    """A database that nobody reaches before this second."""

    def __init__(self, until_s: float) -> None:
        self._until_s = until_s

    async def at(self, point: str) -> None:
        if point == "begin" and asyncio.get_running_loop().time() < self._until_s:
            raise StoreUnavailable("no connection is free")


def consumer(on: Infrastructure, applied: list[str]) -> EventConsumer:
    async def note(_: Work, batch: Sequence[Incoming]) -> None:
        applied.extend(incoming.recorded.event_id for incoming in batch)

    return EventConsumer(
        name="group",
        topics=["notifications"],
        handles=[ContactPreferenceChanged.TYPE],
        handler=note,
        store=on.store,
        bus=on.bus,
        ids=on.ids,
        stopping=on.stopping,
    )


def test_partitions_that_nobody_could_take_do_not_stay_unread() -> None:
    async def main() -> None:
        applied: list[str] = []
        world, away = World(), Away(ASSIGN_S + 10)
        on = world.infrastructure("db")
        on = replace(on, store=MemoryStore(world.database("db"), away))
        await on.bus.ensure_topics(["notifications"])
        await (await on.bus.producer()).send([message(FIRST)])
        member = consumer(on, applied)
        async with asyncio.timeout(2 * ASSIGN_S):
            with pytest.raises(TimeoutError):
                await member.run()
        async with asyncio.TaskGroup() as group:  # whoever runs it starts it again
            group.create_task(member.run())
            await asyncio.sleep(ASSIGN_S)
            on.stopping.set()
        assert applied == ["s@1"]

    simulate(1, main())


def test_positions_alone_keep_out_what_was_delivered_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two layers. The inbox knows what comes again at a new offset, and would know this, too; the
    position drops it before anything of it is read, and without a mark for its stream.
    """

    async def forgotten(_: MemoryInbox, _consumer: str, _of: Collection[str]) -> Mapping[str, int]:
        return {}

    async def main() -> None:
        applied: list[str] = []
        on = World().infrastructure("db")
        member = consumer(on, applied)
        batch = [delivery(FIRST, 0)]
        await member.assigned([batch[0].partition])
        await member.take(batch)
        monkeypatch.setattr(MemoryInbox, "seen", forgotten)
        await member.take(batch)
        assert applied == ["s@1"]

    simulate(1, main())
