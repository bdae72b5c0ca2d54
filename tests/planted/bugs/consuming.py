"""Bugs between the bus and the store."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby

from bugs.planting import Edit, bug
from waybill_events.envelope import Recorded
from waybill_runtime import consumer as consumers
from waybill_runtime import intake, unpark
from waybill_runtime.adapters.memory.broker import MemoryBroker
from waybill_runtime.adapters.memory.bus import MemoryConsumer
from waybill_runtime.adapters.memory.inbox import MemoryInbox
from waybill_runtime.bus import Bus, BusUnavailable, Delivery, Partition
from waybill_runtime.consumer import EventConsumer, Incoming, _Sorted
from waybill_runtime.intake import Apply, Duplicate, Poison
from waybill_runtime.relay import message
from waybill_runtime.store import Transaction
from waybill_runtime.stored import Advance, Ownership
from waybill_runtime.unpark import Busy, Retried, Unparking
from waybill_runtime.work import Work


async def _decide(
    self: EventConsumer, transaction: Transaction, order: _Sorted, *, marks: bool = True
) -> None:
    """The second half of the real `_apply`."""
    for tenant, group in groupby(
        sorted(order.apply, key=lambda i: i.recorded.tenant), lambda i: i.recorded.tenant
    ):
        work = Work(transaction, now=self._store.now(), ids=self._ids, tenant=tenant)
        await self._handler(work, list(group))
        await work.flush()
    if order.marks and marks:
        await transaction.inbox.mark(self._name, order.marks)
    if order.park:
        await transaction.parking.park(self._name, order.park)


@bug("I1", "I7", "I8", "I11", "I12")
def offset_committed_before_effect() -> Iterator[Edit]:
    """The position moves in a transaction of its own; what was read is applied in the next one."""

    async def apply(self: EventConsumer, batch: Sequence[Delivery]) -> None:
        async with self._store.transaction() as transaction:
            fresh, _ = await self._fence(transaction, batch)
        if not fresh:
            return
        async with self._store.transaction() as transaction:
            await _decide(self, transaction, await self._sort(transaction, fresh))

    yield Edit(EventConsumer, "_apply", apply)


@bug("I1", "I7", "I8")
def inbox_outside_tx() -> Iterator[Edit]:
    """The inbox is marked in a transaction of its own, before the one that acts on the events."""

    async def apply(self: EventConsumer, batch: Sequence[Delivery]) -> None:
        async with self._store.transaction() as transaction:
            order = await self._sort(transaction, batch)
            await transaction.inbox.mark(self._name, order.marks)
        async with self._store.transaction() as transaction:
            fresh, _ = await self._fence(transaction, batch)
            if fresh:
                await _decide(self, transaction, order, marks=False)

    yield Edit(EventConsumer, "_apply", apply)


@bug("I10", by="scenario")
def no_position_cas() -> Iterator[Edit]:
    """A position is written as it is told: neither who writes it nor where it stood is compared."""

    async def advance(
        self: MemoryInbox, consumer: str, moves: Mapping[Partition, Advance]
    ) -> Mapping[Partition, int]:
        await self._session.writes("inbox.advance")
        for partition, move in moves.items():
            moved = Ownership(move.epoch, move.next_offset)
            self._positions.put((consumer, partition), moved)
        return dict.fromkeys(moves, 0)

    yield Edit(MemoryInbox, "advance", advance)


@bug("I8", "I10")
def no_inbox() -> Iterator[Edit]:
    """A consumer asks nobody what it has taken already: positions are thought to be enough."""

    async def sort(
        self: EventConsumer, transaction: Transaction, batch: Sequence[Delivery]
    ) -> _Sorted:
        recorded = [self._open(delivery) for delivery in batch]
        parked = await transaction.parking.parked_keys(self._name, {r.key for r in recorded})
        order = _Sorted()
        for delivery, event in zip(batch, recorded, strict=True):
            if event.key in parked:
                order.park.append(self._aside(delivery, "behind a parked event"))
                continue
            before = {event.stream: event.version - 1}
            match intake.judge(event, before, self._handles, strict=self._strict):
                case Apply(event=model):
                    order.marks[event.stream] = event.version
                    if model is not None:
                        order.apply.append(Incoming(event, model))
                case Duplicate():
                    order.duplicates += 1
                case refusal:
                    raise refusal
        return order

    yield Edit(EventConsumer, "_sort", sort)


@bug("I1", "I7", "I8", "I11", situation="poison")
def skip_poison_instead_of_park() -> Iterator[Edit]:
    """What fails three times is logged, counted as taken, and left behind."""

    async def park(self: EventConsumer, delivery: Delivery, reason: str) -> None:
        consumers.log.error("skipped", reason=reason, partition=delivery.partition)
        async with self._store.transaction() as transaction:
            fresh, _ = await self._fence(transaction, [delivery])
            if fresh:
                with suppress(Poison):
                    event = self._open(delivery)
                    await transaction.inbox.mark(self._name, {event.stream: event.version})

    yield Edit(EventConsumer, "_park", park)


@bug("I8", "I11", situation="poison")
def park_one_event_not_the_key() -> Iterator[Edit]:
    """Poison is set aside alone, and later events of its key go on as if it had been taken."""

    async def park(self: EventConsumer, delivery: Delivery, reason: str) -> None:
        async with self._store.transaction() as transaction:
            fresh, _ = await self._fence(transaction, [delivery])
            if fresh:
                aside = replace(self._aside(delivery, reason), key=delivery.message.key)
                await transaction.parking.park(self._name, [aside])
                with suppress(Poison):
                    event = self._open(delivery)
                    await transaction.inbox.mark(self._name, {event.stream: event.version})

    async def nobody(*_: object) -> Collection[str]:
        return ()

    async def sort(
        self: EventConsumer, transaction: Transaction, batch: Sequence[Delivery]
    ) -> _Sorted:
        transaction.parking.parked_keys = nobody  # type: ignore[assignment, method-assign]  # the bug
        return await real(self, transaction, batch)

    real = EventConsumer._sort
    yield Edit(EventConsumer, "_park", park)
    yield Edit(EventConsumer, "_sort", sort)


@bug(
    "I1",
    "I7",
    "I8",
    situation="poison",
    nearest="There are no retry topics; what fails is sent again to the end of its own partition.",
)
def retry_topic_reorder() -> Iterator[Edit]:
    """What fails is sent again to be met later, so whoever comes late is no longer a gap."""

    async def park(self: EventConsumer, delivery: Delivery, reason: str) -> None:
        consumers.log.warning("again later", reason=reason)
        producer = await self._bus.producer()
        await producer.send([delivery.message])
        async with self._store.transaction() as transaction:
            await self._fence(transaction, [delivery])

    def judge(
        recorded: Recorded, seen: Mapping[str, int], handles: Collection[str], **how: object
    ) -> intake.Verdict:
        last = max(seen.get(recorded.stream, 0), recorded.version - 1)
        return real(recorded, {recorded.stream: last}, handles, strict=bool(how["strict"]))

    real = intake.judge
    yield Edit(EventConsumer, "_park", park)
    yield Edit(intake, "judge", judge)


@bug(
    "I1",
    "I7",
    "I11",
    nearest="Positions are ours, not the bus's: here a consumer starts from the bus's own offset, "
    "which moves with each poll.",
)
def auto_commit_on() -> Iterator[Edit]:
    """Offsets are committed as messages are handed out, and a new owner starts from those."""

    async def poll(
        self: MemoryConsumer, *, max_messages: int, timeout_s: float
    ) -> Sequence[Delivery]:
        brokers[:] = [self._broker]
        batch = await real_poll(self, max_messages=max_messages, timeout_s=timeout_s)
        await self.commit({d.partition: d.offset + 1 for d in batch})
        return batch

    async def assigned(
        self: EventConsumer, partitions: Sequence[Partition]
    ) -> Mapping[Partition, int]:
        ours = await real_assigned(self, partitions)
        theirs = brokers[0].committed(self._name)
        return {partition: theirs.get(partition, at) for partition, at in ours.items()}

    brokers: list[MemoryBroker] = []
    real_poll, real_assigned = MemoryConsumer.poll, EventConsumer.assigned
    yield Edit(MemoryConsumer, "poll", poll)
    yield Edit(EventConsumer, "assigned", assigned)


@bug(
    "I1",
    "I7",
    "I10",
    "I11",
    nearest="Positions are ours, not the bus's: here a consumer that has none starts at the end.",
)
def reset_latest() -> Iterator[Edit]:
    """A partition without a position is read from its end: what is old is of no interest."""

    async def assigned(
        self: EventConsumer, partitions: Sequence[Partition]
    ) -> Mapping[Partition, int]:
        ours = await real(self, partitions)
        ends = await self._bus.bounds(self._topics)
        return {p: at or ends.get(p, (0, 0))[1] for p, at in ours.items()}

    real = EventConsumer.assigned
    yield Edit(EventConsumer, "assigned", assigned)


@bug(
    "I10",
    nearest="A retry of what is parked sends nothing; here it does, as from a dead-letter queue.",
)
def dlq_replay_with_new_event_ids() -> Iterator[Edit]:
    """What is parked is taken up again by sending it anew, as a message of its own."""

    async def assigned(
        self: EventConsumer, partitions: Sequence[Partition]
    ) -> Mapping[Partition, int]:
        buses[:] = [self._bus]
        return await real(self, partitions)

    async def retry(self: Unparking, key: str) -> Retried:
        waiting = await self._parked(key)
        events = [unpark.opened(parked) for parked in waiting]
        anew = [replace(event, event_id=self._ids.event_id()) for event in events]
        try:
            producer = await buses[0].producer()
            await producer.send([message(event) for event in anew])
        except BusUnavailable as error:
            raise Busy(str(error)) from error
        async with self._store.transaction() as transaction:
            positions = [parked.position for parked in waiting]
            await transaction.parking.unpark(self._consumer, positions)
        return Retried(len(anew), 0, 0)

    buses: list[Bus] = []
    real = EventConsumer.assigned
    yield Edit(EventConsumer, "assigned", assigned)
    yield Edit(Unparking, "retry", retry)
