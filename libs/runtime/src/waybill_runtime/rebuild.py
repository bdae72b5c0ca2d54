"""Build a view again from offset 0, beside the live one, while orders flow and reads go on."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from waybill_events import codec, envelope
from waybill_events.codec import InvalidEvent
from waybill_events.envelope import InvalidEnvelope
from waybill_runtime import metrics
from waybill_runtime.bus import Bus, Delivery, Partition
from waybill_runtime.consumer import Incoming
from waybill_runtime.ids import Ids
from waybill_runtime.projector import AnyView, project
from waybill_runtime.store import Store, Transaction
from waybill_runtime.stored import Advance
from waybill_runtime.work import Work

BATCH = 1_000
NEAR = 2_000
"""Events behind the live view at which the last stretch is done under the lock."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rebuild has come; `total` grows while orders flow."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both generations at the same position of the log."""

    view: str
    live_hash: str
    rebuilt_hash: str
    documents: int
    generation: int

    @property
    def equal(self) -> bool:
        return self.live_hash == self.rebuilt_hash


class Rebuild:
    """One rebuild of one view. Interrupted, it goes on where it was when started again.

    `consumer` is the group that keeps the live view: its positions are the line to reach.
    """

    def __init__(
        self, view: AnyView, *, consumer: str, store: Store, bus: Bus, ids: Ids, switch: bool
    ) -> None:
        """`switch` False only compares, and drops what was built."""
        self._view = view
        self._consumer = consumer
        self._store = store
        self._bus = bus
        self._ids = ids
        self._switch = switch
        self._generation = 0
        self._name = ""
        self._epochs: dict[Partition, int] = {}
        self._at: dict[Partition, int] = {}
        self.comparison: Comparison | None = None

    async def run(self) -> AsyncIterator[Progress]:
        """Replay, catch up, compare, switch; yields where it stands after each batch."""
        bounds = await self._bus.bounds(sorted(self._view.topics))
        async with self._store.transaction() as transaction:
            self._generation = await transaction.documents.generation(self._view.name) + 1
            self._name = f"rebuild:{self._view.name}:{self._generation}"
            owned = await transaction.inbox.take(self._name, bounds.keys())
            self._epochs = {partition: own.epoch for partition, own in owned.items()}
            self._at = {partition: own.next_offset for partition, own in owned.items()}
        while True:
            live = await self._live()
            behind = sum(max(0, offset - self._at[p]) for p, offset in live.items())
            yield Progress(sum(self._at.values()), sum(self._at.values()) + behind)
            if behind <= NEAR:
                break
            await self._replay(live)
        await self._finish()
        yield Progress(sum(self._at.values()), sum(self._at.values()))

    async def _live(self) -> dict[Partition, int]:
        async with self._store.reading() as reading:
            positions = await reading.inbox.positions(self._consumer)
        return {partition: positions.get(partition, 0) for partition in self._at}

    async def _replay(self, until: dict[Partition, int]) -> None:
        for partition, end in until.items():
            if self._at[partition] < end:
                batch = await self._read(partition, end)
                async with self._store.transaction() as transaction:
                    await self._apply(transaction, batch)
                    await self._move(transaction, partition, batch)

    async def _read(self, partition: Partition, end: int) -> Sequence[Delivery]:
        """What comes next, never beyond the live view's position."""
        start = self._at[partition]
        read = await self._bus.read(partition, start, min(BATCH, end - start))
        return [delivery for delivery in read if delivery.offset < end]

    async def _move(
        self, transaction: Transaction, partition: Partition, batch: Sequence[Delivery]
    ) -> None:
        if batch:
            next_offset = batch[-1].offset + 1
            move = Advance(self._epochs[partition], next_offset)
            if partition not in await transaction.inbox.advance(self._name, {partition: move}):
                raise RuntimeError(f"another rebuild of {self._view.name} has taken over")
            self._at[partition] = next_offset

    async def _apply(self, transaction: Transaction, batch: Sequence[Delivery]) -> None:
        """Project a batch into the new generation, each event once."""
        opened = []
        for delivery in batch:
            try:
                opened.append(
                    envelope.from_message(
                        delivery.message.topic, delivery.message.headers, delivery.message.value
                    )
                )
            except InvalidEnvelope:
                continue  # parked by the live consumer, and no part of any view
        seen = dict(await transaction.inbox.seen(self._name, {r.stream for r in opened}))
        marks: dict[str, int] = {}
        by_tenant: dict[str, list[Incoming]] = {}
        for recorded in opened:
            if recorded.version != seen.get(recorded.stream, 0) + 1:
                continue
            seen[recorded.stream] = marks[recorded.stream] = recorded.version
            if recorded.type in self._view.handles:
                try:
                    incoming = Incoming(recorded, codec.decode(recorded))
                except InvalidEvent:
                    continue
                by_tenant.setdefault(recorded.tenant, []).append(incoming)
        for tenant, incoming_batch in by_tenant.items():
            work = Work(transaction, now=self._store.now(), ids=self._ids, tenant=tenant)
            await project(work, self._view, incoming_batch, self._generation)
        if marks:
            await transaction.inbox.mark(self._name, marks)
        metrics.REBUILD_EVENTS.labels(view=self._view.name).inc(len(batch))

    async def _finish(self) -> None:
        """Under the view's lock: the last stretch, the comparison, the switch."""
        documents_of = self._view.name
        async with self._store.transaction() as transaction:
            documents = transaction.documents
            live_generation = await documents.generation(documents_of)
            await documents.switch_generation(documents_of, self._generation)
            positions = await transaction.inbox.positions(self._consumer)
            for partition in self._at:
                end = positions.get(partition, 0)
                while self._at[partition] < end:
                    batch = await self._read(partition, end)
                    await self._apply(transaction, batch)
                    await self._move(transaction, partition, batch)
            live_hash, _ = await documents.digest(documents_of, live_generation)
            rebuilt_hash, count = await documents.digest(documents_of, self._generation)
            self.comparison = Comparison(
                documents_of, live_hash, rebuilt_hash, count, self._generation
            )
            if not self._switch:
                await documents.switch_generation(documents_of, live_generation)
                await documents.drop_generation(documents_of, self._generation)
            elif live_generation > 1:
                await documents.drop_generation(documents_of, live_generation - 1)
            await transaction.inbox.forget(self._name)
