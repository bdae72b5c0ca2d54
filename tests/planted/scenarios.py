"""Situations that a day on memory adapters cannot have, each played once and judged the same way.

The stores are real where the bug is one of SQL or of locks, the bus where it is one of its clients;
the other of the two is in memory.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from prometheus_client import REGISTRY

from waybill.audit import consumers, wire
from waybill.audit.evidence import Evidence, Finding
from waybill.audit.oracles import judge
from waybill_events.catalogue import SUBSCRIPTIONS, TOPICS
from waybill_runtime.adapters.kafka import clients
from waybill_runtime.adapters.kafka.bus import KafkaBus
from waybill_runtime.adapters.memory.broker import MemoryBroker
from waybill_runtime.adapters.memory.store import MemoryDatabase, MemoryStore
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.bus import Partition, partition_of
from waybill_runtime.clock import SystemClock
from waybill_runtime.consumer import EventConsumer, Incoming
from waybill_runtime.ids import RandomIds
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping, alongside, keep_running
from waybill_runtime.relay import Relay, message
from waybill_runtime.stored import LockTimeout
from waybill_runtime.testing import postgres
from waybill_runtime.testing.store_conformance import StoreConformance
from waybill_runtime.testing.store_harness import ORDER, OTHER, StoreHarness, event, write
from waybill_runtime.testing.world import World
from waybill_runtime.work import Work

PAIRS = 40
TOO_SMALL, LARGE_ENOUGH = 10, 1_048_588
"""Bytes that a batch may have: fewer than any, and as many as Kafka takes by default."""
REFUSALS = 2
TRIES = 4
"""How often a relay may fail after everything is well again. One that recovers needs one or two."""
PATIENCE_S = 40.0
BARE = ("I10", "I11")
"""What can be said of events that are envelopes with nothing in them."""
CONSUMER = "payment"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a scenario came to: the oracles' findings, or the promise that was broken."""

    findings: Sequence[Finding] = ()
    broken: str = ""

    @property
    def violated(self) -> dict[str, Sequence[str]]:
        """By guarantee, or by the name of the case, what broke it."""
        found = {f.guarantee: f.said for f in self.findings if f.said}
        return {**found, **({self.broken: [self.broken]} if self.broken else {})}


async def _judged(on: Infrastructure, consumer: str | None = None) -> Seen:
    """The log, the bus and one consumer's positions, as the audit reads them."""
    async with on.store.reading() as reading:
        events = [event async for event in reading.streams.scan()]
    stored = {one.event_id: one for one in events}
    bus = [wire.on_bus(delivery, stored) async for delivery in wire.messages(on.bus, {})]
    ends = {p: end for p, (_, end) in (await on.bus.bounds(sorted(TOPICS))).items()}
    evidence = replace(
        Evidence.of_the_log_alone(on.clock.now(), events),
        bus=bus,
        consumers=None
        if consumer is None
        else await consumers.taken(consumer, on, ends, bus, stored, ()),
    )
    return Seen([finding for finding in judge(evidence) if finding.guarantee in BARE])


# --- on memory ----------------------------------------------------------------------------


async def a_stale_owner_wakes(world: World) -> Seen:
    """An owner that stood still with a batch in hand goes on after another has taken all of it."""
    on = world.infrastructure("orders", "writer")
    await on.bus.ensure_topics(sorted(TOPICS))
    written = [event(ORDER, version) for version in range(1, 7)]
    async with on.store.transaction() as transaction:
        await transaction.streams.append([write(ORDER, 0, len(written))])
    producer = await on.bus.producer()
    await producer.send([message(one) for one in written])
    partition = Partition("orders", partition_of(written[0].key))
    deliveries = await on.bus.read(partition, 0, 10)
    first, second = _consumer(world, "first"), _consumer(world, "second")
    await first.assigned([partition])
    await first.take(deliveries[:2])
    await second.assigned([partition])
    await second.take(deliveries[2:])
    await first.take(deliveries[2:4])
    return await _judged(on, CONSUMER)


def _consumer(world: World, node: str) -> EventConsumer:
    async def nothing(work: Work, batch: Sequence[Incoming]) -> None:
        """Position and inbox are all that is looked at."""

    on = world.infrastructure("orders", node)
    return EventConsumer(
        name=CONSUMER,
        topics=SUBSCRIPTIONS[CONSUMER],
        handles=(),
        handler=nothing,
        store=on.store,
        bus=on.bus,
        ids=on.ids,
        stopping=on.stopping,
    )


# --- on Postgres --------------------------------------------------------------------------


@asynccontextmanager
async def _two(dsn: str) -> AsyncIterator[tuple[Infrastructure, Infrastructure]]:
    """Two processes on one database and one bus."""
    broker = MemoryBroker(SystemClock())
    async with (
        postgres.process(dsn, "one", broker=broker) as one,
        postgres.process(dsn, "other", broker=broker) as other,
    ):
        await one.bus.ensure_topics(sorted(TOPICS))
        yield one, other


async def a_late_commit(dsn: str) -> Seen:
    """Who drew the earlier place in the outbox commits after the later one was published."""
    async with _two(dsn) as (one, other):
        relay = Relay(one.store, one.bus, one.stopping, shares_process=False)
        producer = await one.bus.producer()
        async with one.store.transaction() as late:
            await late.streams.append([write(ORDER, 0)])
            async with other.store.transaction() as early:
                await early.streams.append([write(OTHER, 0)])
            await relay._publish(producer)
        await relay._publish(producer)
        return await _judged(one)


async def an_early_write(dsn: str) -> Seen:
    """A transaction that marks its inbox first appends to a stream that moved on since."""
    async with _two(dsn) as (one, other):
        relay = Relay(one.store, one.bus, one.stopping, shares_process=False)
        async with one.store.transaction() as transaction:
            await transaction.inbox.mark(CONSUMER, {OTHER: 1})
            async with other.store.transaction() as quick:
                await quick.streams.append([write(ORDER, 0)])
            await transaction.streams.append([write(ORDER, 1)])
        await relay._publish(await one.bus.producer())
        return await _judged(one)


async def writers_cross(dsn: str) -> Seen:
    """Pairs of writers load the same two streams, each naming the other one first."""
    async with _two(dsn) as (one, other):
        async with one.store.transaction() as transaction:
            await transaction.streams.append([write(ORDER, 0), write(OTHER, 0)])

        async def lock(on: Infrastructure, streams: Sequence[str]) -> bool:
            try:
                async with on.store.transaction() as transaction:
                    await transaction.streams.load(streams, lock=True)
            except LockTimeout:
                return False
            return True

        for _ in range(PAIRS):
            done = await asyncio.gather(lock(one, [ORDER, OTHER]), lock(other, [OTHER, ORDER]))
            if not all(done):
                return Seen(broken="writers never wait for each other in a circle")
    return Seen()


class _Harness(StoreHarness):
    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._dsn = dsn

    async def make_store(self) -> PostgresStore:
        return await PostgresStore.open(self._dsn, clock=SystemClock(), max_connections=6)


def conformance(case: str) -> Callable[[str], Awaitable[Seen]]:
    """One case of the suite that every store passes."""

    async def play(dsn: str) -> Seen:
        harness = _Harness(dsn)
        try:
            await getattr(StoreConformance(), case)(harness)
        except AssertionError:
            return Seen(broken=f"StoreConformance.{case}")
        finally:
            await harness.close()
        return Seen()

    return play


# --- on Kafka -----------------------------------------------------------------------------


@asynccontextmanager
async def _on_kafka(bootstrap: str) -> AsyncIterator[Infrastructure]:
    """A process on an empty database and a broker from which all that was there is cut off."""
    clock = SystemClock()
    bus = KafkaBus(bootstrap)
    store = MemoryStore(MemoryDatabase(clock))
    try:
        await bus.ensure_topics(sorted(TOPICS))
        bounds = await bus.bounds(sorted(TOPICS))
        await bus.cut({partition: end for partition, (_, end) in bounds.items()})
        yield Infrastructure(store, bus, clock, RandomIds(clock), Stopping())
    finally:
        await bus.close()
        await store.close()


async def _limit(bootstrap: str, topic: str, size: int) -> None:
    """From now on the broker takes no batch of this topic that is bigger."""
    admin = clients.new_admin(bootstrap)
    await clients.started(admin)
    try:
        limit = {"max.message.bytes": str(size)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, limit)])
    finally:
        await clients.discard(admin)


async def _relayed(on: Infrastructure, failures_max: int) -> bool:
    """True when the outbox is empty; False when the relay has failed so often by then."""
    begun = _failures()
    async with asyncio.timeout(PATIENCE_S):
        while _failures() - begun < failures_max:
            async with on.store.reading() as reading:
                if (await reading.streams.outbox_backlog()).count == 0:
                    return True
            await asyncio.sleep(0.02)
    return False


def _failures() -> float:
    return REGISTRY.get_sample_value("waybill_relay_failures_total") or 0.0


async def a_batch_is_refused(bootstrap: str) -> Seen:
    """The broker refuses a batch for good while its limit is wrong; then the limit is right again.

    The sequence numbers of that batch are used up, and the broker has never seen them.
    """
    async with _on_kafka(bootstrap) as on:

        async def placed(expected: int) -> None:
            async with on.store.transaction() as transaction:
                await transaction.streams.append([write(ORDER, expected, 5)])

        relay = Relay(on.store, on.bus, on.stopping, shares_process=False)
        async with alongside(keep_running("relay", relay.run, on.stopping)):
            await placed(0)
            assert await _relayed(on, 1), "nothing was wrong yet"
            await _limit(bootstrap, event(ORDER, 1).topic, TOO_SMALL)
            await placed(5)
            assert not await _relayed(on, REFUSALS), "the limit was not felt"
            await _limit(bootstrap, event(ORDER, 1).topic, LARGE_ENOUGH)
            await _relayed(on, TRIES)
        return await _judged(on)


ON_MEMORY: dict[str, Callable[[World], Coroutine[Any, Any, Seen]]] = {
    "no-position-cas": a_stale_owner_wakes,
}
ON_POSTGRES: dict[str, Callable[[str], Awaitable[Seen]]] = {
    "cursor-by-identity": a_late_commit,
    "order-by-xid-with-early-write": an_early_write,
    "lock-order-unsorted": writers_cross,
    "cas-without-epoch": conformance("test_an_owner_of_before_is_fenced_off"),
}
ON_KAFKA: dict[str, Callable[[str], Awaitable[Seen]]] = {
    "producer-reused-after-error": a_batch_is_refused,
}
"""The scenario that must find a bug, by the bug's id."""
