"""From the bus into the store: whole batches, each applied exactly once, poison set aside.

One transaction fences the positions (compare-and-set by epoch), drops what the inbox knows, lets
the handler decide, writes and marks. The inbox keeps the last version taken of each source stream:
an older one is a duplicate, one beyond the next is a gap; what a person gave up has no place there
(`waybill_runtime.discarded`). A batch that fails is halved, and the
halves are applied in order, until what fails stands alone; that is tried again, then parked with
its key, and the others go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import structlog

from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime import discarded, intake, metrics
from waybill_runtime.bus import (
    Bus,
    BusTruncated,
    BusUnavailable,
    Consumer,
    Delivery,
    Partition,
)
from waybill_runtime.ids import Ids
from waybill_runtime.intake import NOTHING_GIVEN_UP, Apply, Duplicate, Poison
from waybill_runtime.lifecycle import Stopping, rest_s
from waybill_runtime.store import Store, Transaction
from waybill_runtime.stored import TRANSIENT, Advance, Ownership, Parked
from waybill_runtime.work import Work

log = structlog.get_logger("waybill.consumer")

BATCH = 500
POLL_S = 1.0
TRIES = 3
BACKOFF_S = 0.05
BACKOFF_S_MAX = 2.0
ASSIGN_S = 30.0
REST_S_MAX = 0.25
"""A consumer that has read all rests for up to so long, so that more comes in one batch."""
TELL_S = 1.0
"""How often the bus is told how far we are, for its displays: what counts is in the store."""
OWNERSHIP_S = 5.0
"""How often a consumer looks whether what the bus calls its own is still so in the store."""

_APPLIED, _NOTED, _DUPLICATE, _PARKED, _FENCED = (
    metrics.CONSUMED.labels(outcome=outcome)
    for outcome in ("applied", "noted", "duplicate", "parked", "fenced")
)


@dataclass(frozen=True, slots=True)
class Incoming:
    """An event to act on: its envelope, and its model of today."""

    recorded: Recorded
    event: Event


Handler = Callable[[Work, Sequence[Incoming]], Awaitable[None]]
"""Decides what a batch means, all in one tenant, in the transaction: it may run again, or not be
committed. Outside it may only give hints that do no harm early or twice, such as dropping what a
cache remembers."""


@dataclass(slots=True)
class _Sorted:
    """One batch after the inbox: what to apply, what to note as seen, what to park."""

    apply: list[Incoming] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    instead: list[Recorded] = field(default_factory=list)
    """Taken where another event was given up."""
    park: list[Parked] = field(default_factory=list)
    duplicates: int = 0
    noted: int = 0


class FencedOff(Exception):
    """What the bus still calls ours is owned anew, or was moved, in the store: begin again."""


class EventConsumer:
    """One member of a service's consumer group. `name` is the group, and owns the positions."""

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        *,
        name: str,
        topics: Sequence[str],
        handles: Collection[str],
        handler: Handler,
        store: Store,
        bus: Bus,
        ids: Ids,
        stopping: Stopping,
        strict: bool = True,
    ) -> None:
        """`handles`: types the handler is given; `strict`: types nobody knows are poison."""
        self._name = name
        self._topics = topics
        self._handles = frozenset(handles)
        self._handler = handler
        self._store = store
        self._bus = bus
        self._ids = ids
        self._stopping = stopping
        self._strict = strict
        self._epochs: dict[Partition, int] = {}
        self._unassigned: Exception | None = None
        self._fenced: set[Partition] = set()
        self._suspects: frozenset[Partition] = frozenset()
        self._untold: dict[Partition, int] = {}
        self._tell_s = 0.0

    async def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Take ownership: our new epoch fences off whoever read these before.

        Waits out trouble of the store for as long as a rebalance may take; after that the whole
        consumer starts again, so that the partitions do not stay unread.
        """
        try:
            async with asyncio.timeout(ASSIGN_S):
                owned = await self._take(partitions)
        except (TimeoutError, *TRANSIENT) as error:
            self._unassigned = error
            raise
        self._epochs.update({partition: own.epoch for partition, own in owned.items()})
        self._fenced.difference_update(partitions)
        return {partition: own.next_offset for partition, own in owned.items()}

    async def _take(self, partitions: Sequence[Partition]) -> Mapping[Partition, Ownership]:
        while True:
            try:
                async with self._store.transaction() as transaction:
                    return await transaction.inbox.take(self._name, partitions)
            except TRANSIENT:
                if await self._stopping.wait(BACKOFF_S_MAX * self._ids.jitter()):
                    raise

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._epochs.pop(partition, None)
        self._fenced.difference_update(partitions)

    async def run(self) -> None:
        """Consume until stopping. Fails when bus or store stay away: start it again.

        Fails too when its positions were moved under it, as after a bus was lost: started again
        it takes them as they are.
        """
        self._unassigned = None
        look_s = self._clock() + OWNERSHIP_S
        consumer = await self._bus.consumer(self._name, self._topics, self)
        try:
            while not self._stopping:
                try:
                    batch = await consumer.poll(max_messages=BATCH, timeout_s=POLL_S)
                except BusTruncated as error:
                    # The log ends before what we have applied: somebody has to republish.
                    log.error("bus truncated", error=str(error))  # noqa: TRY400 - said once, no trace
                    metrics.BUS_TRUNCATED.inc()
                    continue
                except BusUnavailable as error:
                    log.warning("bus unavailable", error=str(error))
                    await self._stopping.wait(BACKOFF_S_MAX * self._ids.jitter())
                    continue
                if self._unassigned is not None:
                    raise self._unassigned
                if batch:
                    await self._take_and_rest(batch)
                if self._untold and (not batch or self._clock() >= self._tell_s):
                    await self._acknowledge(consumer)
                if self._clock() >= look_s:
                    await self._look_at_ownership()
                    look_s = self._clock() + OWNERSHIP_S
            if self._untold:
                await self._acknowledge(consumer)
        finally:
            self._epochs.clear()
            self._fenced.clear()
            self._untold.clear()
            await consumer.close()

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()

    async def _look_at_ownership(self) -> None:
        """Patient for one look: while a rebalance is under way, the store knows first.

        Raises:
            FencedOff: the bus did not tell of it since the last look.
        """
        if lost := self._suspects & self._fenced:
            raise FencedOff(f"{len(lost)} partitions are not ours in the store")
        try:
            async with self._store.transaction() as transaction:
                still = {p: Advance(epoch, 0) for p, epoch in self._epochs.items()}
                owned = await transaction.inbox.advance(self._name, still)
        except TRANSIENT:
            return
        self._fenced |= still.keys() - owned.keys()
        self._suspects = frozenset(self._fenced)

    async def _take_and_rest(self, batch: Sequence[Delivery]) -> None:
        begun_s = self._clock()
        await self.take(batch)
        self._untold.update({delivery.partition: delivery.offset + 1 for delivery in batch})
        if len(batch) < BATCH:
            await self._stopping.wait(rest_s(self._clock() - begun_s, REST_S_MAX))

    async def _acknowledge(self, consumer: Consumer) -> None:
        """Tell the bus how far we are with what is still ours."""
        untold, self._untold = self._untold, {}
        self._tell_s = self._clock() + TELL_S
        await consumer.commit({p: offset for p, offset in untold.items() if p in self._epochs})

    async def take(self, batch: Sequence[Delivery]) -> None:
        """Apply a batch, whole or in parts; returns when each is applied, known or parked."""
        with metrics.CONSUME_SECONDS.time():
            try:
                await self._patiently(batch)
            except TRANSIENT:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a handler throws, others go on
                metrics.CONSUME_FALLBACKS.inc()
                log.warning("batch failed", size=len(batch), error=type(error).__name__)
                await self._halve(batch)

    async def _halve(self, failed: Sequence[Delivery]) -> None:
        """Apply the halves of what failed, in order, so that one poison costs few transactions."""
        if len(failed) == 1:
            return await self._alone(failed[0])
        middle = len(failed) // 2
        for half in (failed[:middle], failed[middle:]):
            try:
                await self._patiently(half)
            except TRANSIENT:
                raise
            except Exception:  # noqa: BLE001 - as in `take`
                await self._halve(half)
        return None

    async def _patiently(self, batch: Sequence[Delivery]) -> None:
        """Apply in one transaction; again and again while the trouble is the store's."""
        delay_s = BACKOFF_S
        while True:
            try:
                return await self._apply(batch)
            except TRANSIENT as error:
                metrics.TRANSACTION_RETRIES.labels(reason=type(error).__name__).inc()
                if await self._stopping.wait(delay_s * self._ids.jitter()):
                    raise
                delay_s = min(delay_s * 2, BACKOFF_S_MAX)

    async def _alone(self, delivery: Delivery) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                return await self._patiently([delivery])
            except TRANSIENT:
                raise
            except Exception as error:  # noqa: BLE001 - poison by any other name is parked
                reason = f"{type(error).__name__}: {error}"[:500]
                if attempt == TRIES or isinstance(error, Poison):
                    return await self._park(delivery, reason)
                await self._stopping.wait(BACKOFF_S * attempt)
        return None

    async def _apply(self, batch: Sequence[Delivery]) -> None:
        async with self._store.transaction() as transaction:
            fresh, known = await self._fence(transaction, batch)
            order = await self._sort(transaction, fresh) if fresh else _Sorted()
            for tenant, group in groupby(
                sorted(order.apply, key=lambda i: i.recorded.tenant), lambda i: i.recorded.tenant
            ):
                work = Work(transaction, now=self._store.now(), ids=self._ids, tenant=tenant)
                await self._handler(work, list(group))
                await work.flush()
            if order.marks:
                await transaction.inbox.mark(self._name, order.marks)
            if order.instead:
                await discarded.keep_taken(transaction, self._name, order.instead)
            if order.park:
                await transaction.parking.park(self._name, order.park)
        if fresh:
            metrics.CONSUME_BATCH.observe(len(fresh))
        _APPLIED.inc(len(order.apply))
        _NOTED.inc(order.noted)
        _DUPLICATE.inc(known + order.duplicates)
        _PARKED.inc(len(order.park))

    async def _fence(
        self, transaction: Transaction, batch: Sequence[Delivery]
    ) -> tuple[Sequence[Delivery], int]:
        """Move our positions on; answers what is new to them, and how many they know.

        What is another's now is neither.
        """
        moves = {
            delivery.partition: Advance(self._epochs[delivery.partition], delivery.offset + 1)
            for delivery in batch
            if delivery.partition in self._epochs
        }
        before = await transaction.inbox.advance(self._name, moves) if moves else {}
        for partition in moves.keys() - before.keys():
            log.warning("fenced off", partition=partition)
            self._epochs.pop(partition, None)
            self._fenced.add(partition)
        ours = [delivery for delivery in batch if delivery.partition in before]
        _FENCED.inc(len(batch) - len(ours))
        fresh = [delivery for delivery in ours if delivery.offset >= before[delivery.partition]]
        return fresh, len(ours) - len(fresh)

    async def _sort(self, transaction: Transaction, batch: Sequence[Delivery]) -> _Sorted:
        """Against the inbox and the parked keys.

        Raises:
            Poison: something in the batch can never be applied; find it.
        """
        recorded = [self._open(delivery) for delivery in batch]
        parked = await transaction.parking.parked_keys(self._name, {r.key for r in recorded})
        marks, records = await discarded.look(transaction, self._name, recorded)
        seen, given_up = dict(marks), dict(records)
        order = _Sorted()
        for delivery, event in zip(batch, recorded, strict=True):
            if event.key in parked:
                order.park.append(self._aside(delivery, "behind a parked event"))
                continue
            gone = given_up.get(event.stream, NOTHING_GIVEN_UP)
            match intake.judge(event, seen, self._handles, strict=self._strict, given_up=gone):
                case Duplicate():
                    order.duplicates += 1
                case Apply(event=model):
                    seen[event.stream] = order.marks[event.stream] = event.version
                    if gone.concerns(event):
                        given_up[event.stream] = gone.taking(event)
                        order.instead.append(event)
                    if model is None:
                        order.noted += 1
                    else:
                        order.apply.append(Incoming(event, model))
                case refusal:
                    raise refusal
        return order

    def _open(self, delivery: Delivery) -> Recorded:
        return intake.said(delivery.message)

    async def _park(self, delivery: Delivery, reason: str) -> None:
        """Set one delivery aside, with its key, and move on behind it."""
        parked = self._aside(delivery, reason)
        log.error("parked", key=parked.key, reason=reason, partition=delivery.partition)

        async with self._store.transaction() as transaction:
            fresh, _ = await self._fence(transaction, [delivery])
            if fresh:
                await transaction.parking.park(self._name, [parked])
                _PARKED.inc()

    def _aside(self, delivery: Delivery, reason: str) -> Parked:
        return intake.aside(delivery, reason, self._store.now())
