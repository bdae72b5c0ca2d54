"""How far a start looks for what its store lost: the ends, and the whole after a republish."""

import asyncio
from collections.abc import Sequence
from typing import Any

from waybill_events.envelope import Recorded
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime import setback
from waybill_runtime.bus import Delivery, Partition, partition_of
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import keep_running
from waybill_runtime.relay import Relay, message
from waybill_runtime.stored import StreamWrite
from waybill_runtime.testing.world import World, recorded, simulate

TOPIC = "notifications"
TOGETHER = [
    name
    for name in (f"s{number:04d}" for number in range(2_000))
    if partition_of(name) == partition_of("a")
]
"""Streams that share a partition with stream "a", and come after it."""


def said(stream: str, version: int) -> Recorded:
    fact = ContactPreferenceChanged(customer_ref=stream, channel="email", allowed=True)
    name = f"default/preference/{stream}"
    return recorded(fact, stream=name, version=version, topic=TOPIC, key=stream)


class Counted:
    """A bus that counts the messages it gave."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.given = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Delivery]:
        batch: Sequence[Delivery] = await self._inner.read(partition, offset, limit)
        self.given += len(batch)
        return batch


async def say(on: Infrastructure, *events: Recorded) -> None:
    async with on.store.transaction() as transaction:
        for event in events:
            write = StreamWrite(event.stream, event.version - 1, [event])
            await transaction.streams.append([write])


async def relayed(on: Infrastructure) -> None:
    """A relay sends all that waits."""
    await on.bus.ensure_topics([TOPIC])
    run = Relay(on.store, on.bus, on.stopping, shares_process=False).run
    async with asyncio.TaskGroup() as group:
        group.create_task(keep_running("relay", run, on.stopping))
        await asyncio.sleep(5)
        on.stopping.set()


async def on_a_refilled_bus(world: World) -> list[Recorded]:
    """120 events and one of stream "a" before them, sent, lost and sent again."""
    on = world.infrastructure("source")
    events = [said("a", 1), said("a", 2), *(said(s, v) for s in TOGETHER[:60] for v in (1, 2))]
    await say(on, *events)
    await relayed(on)
    world.broker.lose()
    async with on.store.transaction() as transaction:
        await transaction.streams.unpublish()
    await relayed(world.infrastructure("source", "anew"))
    return events


def test_what_was_lost_is_seen_wherever_a_republish_has_put_it() -> None:
    """A backup from before the republish, of a service that has said nothing since."""

    async def main() -> None:
        world = World()
        events = await on_a_refilled_bus(world)
        restored = world.infrastructure("restored")
        await say(restored, *(event for event in events if event != said("a", 2)))
        gone = await setback.is_set_back(restored.store, restored.bus, [TOPIC])
        assert list(gone) == [said("a", 2)]

    simulate(1, main())


def test_the_whole_is_read_until_something_was_said_since_and_the_ends_alone_from_then_on() -> None:
    async def main() -> None:
        world = World()
        events = await on_a_refilled_bus(world)
        on = world.infrastructure("source", "later")
        first, then = Counted(on.bus), Counted(on.bus)
        bus: Any = first
        assert not await setback.is_set_back(on.store, bus, [TOPIC])
        assert first.given == 100 + len(events)
        await say(on, said(TOGETHER[70], 1))
        await relayed(on)
        bus = then
        assert not await setback.is_set_back(on.store, bus, [TOPIC])
        assert then.given == 100

    simulate(1, main())


def test_a_lost_event_is_seen_behind_a_batch_that_was_sent_twice_and_no_more_is_read() -> None:
    async def main() -> None:
        world = World()
        on = world.infrastructure("db")
        await on.bus.ensure_topics([TOPIC])
        known = [said(name, 1) for name in TOGETHER[:99]]
        await say(on, *known)
        producer = await on.bus.producer()
        await producer.send([message(event) for event in (*known, said("a", 1), *known)])
        bus: Any = Counted(on.bus)
        assert await setback.is_set_back(on.store, bus, [TOPIC]) == [said("a", 1)]
        assert bus.given == 100 + 199
        await say(on, said("a", 1))
        bus = Counted(on.bus)
        assert not await setback.is_set_back(on.store, bus, [TOPIC])
        assert bus.given == 100

    simulate(1, main())
