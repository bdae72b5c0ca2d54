"""Build a view again from offset 0, beside the live one, while orders flow and reads go on.

What counts is what the live view has taken: each stream up to its mark in the live consumer's
inbox, without what was discarded. What came before its turn, or is parked there, is kept back
until it may be taken; kept back in the parking place, under the rebuild's own name.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from waybill_events.envelope import Recorded
from waybill_runtime import discarded, intake, metrics
from waybill_runtime.bus import Bus, Delivery, Partition
from waybill_runtime.consumer import Incoming
from waybill_runtime.ids import Ids
from waybill_runtime.intake import NOTHING_GIVEN_UP, Apply, Duplicate, GivenUp, Poison
from waybill_runtime.projector import AnyView, project
from waybill_runtime.store import Store, Transaction
from waybill_runtime.stored import Advance, Document
from waybill_runtime.work import Work

BATCH = 1_000
NEAR = 2_000
"""Events behind the live view at which the last stretch is done under the lock."""
HELD_MAX = 20_000
"""Most events that are kept back at once."""
PAGE = 500


class Incomplete(Exception):
    """The log does not give what the live view has taken: what is built would show less."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rebuild has come; `total` grows while orders flow."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both generations at the same position of the log.

    `missing` tells, for each stream concerned, what the live view has taken and the log lacks.
    """

    view: str
    live_hash: str
    rebuilt_hash: str
    documents: int
    generation: int
    missing: Sequence[str] = ()

    @property
    def equal(self) -> bool:
        return self.live_hash == self.rebuilt_hash and not self.missing


@dataclass(slots=True)
class _Round:
    """One transaction's look at the streams concerned, and what it takes of them."""

    live: Mapping[str, int]
    """The last version that the live consumer has taken."""
    given_up: Mapping[str, GivenUp]
    repaired: Mapping[tuple[str, int], Document]
    """Of (stream, version): the body that the live consumer takes in place of the event's own."""
    seen: dict[str, int]
    marks: dict[str, int] = field(default_factory=dict)
    take: dict[str, list[Incoming]] = field(default_factory=dict)
    """By tenant."""

    def taken_as(self, recorded: Recorded) -> Recorded:
        return intake.repaired(recorded, self.repaired.get((recorded.stream, recorded.version)))


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
        self._held: dict[str, dict[int, dict[str, Recorded]]] = {}
        self.comparison: Comparison | None = None

    async def run(self) -> AsyncIterator[Progress]:
        """Replay, catch up, compare, switch; yields where it stands after each batch.

        Raises:
            Incomplete: nothing was switched, and what was built is dropped.
        """
        await self._begin()
        try:
            while True:
                live = await self._live()
                behind = sum(max(0, offset - self._at[p]) for p, offset in live.items())
                yield Progress(sum(self._at.values()), sum(self._at.values()) + behind)
                if behind <= NEAR:
                    break
                await self._replay(live)
            await self._finish()
        except Incomplete:
            async with self._store.transaction() as transaction:
                await transaction.documents.drop_generation(self._view.name, self._generation)
                await self._forget(transaction)
            raise
        yield Progress(sum(self._at.values()), sum(self._at.values()))

    async def _begin(self) -> None:
        """Take up what an interrupted rebuild left, or start at offset 0."""
        bounds = await self._bus.bounds(sorted(self._view.topics))
        async with self._store.transaction() as transaction:
            self._generation = await transaction.documents.generation(self._view.name) + 1
            self._name = f"rebuild:{self._view.name}:{self._generation}"
            owned = await transaction.inbox.take(self._name, bounds.keys())
            self._epochs = {partition: own.epoch for partition, own in owned.items()}
            self._at = {partition: own.next_offset for partition, own in owned.items()}
            after = 0
            while page := await transaction.parking.parked(self._name, after=after, limit=PAGE):
                for parked in page:
                    recorded = intake.opened(
                        parked.partition.topic, parked.key, parked.headers, parked.value
                    )
                    self._keep_back(recorded)
                after = page[-1].position

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
        """What comes next, never beyond the live view's position `end`, and never nothing.

        Raises:
            Incomplete: the bus ends before `end`: it has lost what the live view has taken.
        """
        start = self._at[partition]
        read = await self._bus.read(partition, start, min(BATCH, end - start))
        batch = [delivery for delivery in read if delivery.offset < end]
        if not batch:
            place = f"{partition.topic}/{partition.number}"
            raise Incomplete(
                f"{place} gives nothing from offset {start} on; the live view has taken it to {end}"
            )
        return batch

    async def _move(
        self, transaction: Transaction, partition: Partition, batch: Sequence[Delivery]
    ) -> None:
        next_offset = batch[-1].offset + 1
        move = Advance(self._epochs[partition], next_offset)
        if partition not in await transaction.inbox.advance(self._name, {partition: move}):
            raise RuntimeError(f"another rebuild of {self._view.name} has taken over")
        self._at[partition] = next_offset

    async def _apply(self, transaction: Transaction, batch: Sequence[Delivery]) -> None:
        """Project into the new generation what may be taken, each event once; keep back the rest.

        Raises:
            Incomplete: more would be kept back than is bearable.
        """
        arrived: list[tuple[Delivery, Recorded]] = []
        for delivery in batch:
            try:
                recorded = intake.said(delivery.message)
            except Poison:
                continue  # parked by the live consumer, and no part of any view
            arrived.append((delivery, recorded))
        streams = {recorded.stream for _, recorded in arrived}
        before = [recorded for stream in streams for recorded in self._waiting(stream)]
        kept = {_place(recorded) for recorded in before}
        this = await self._look(transaction, [*before, *(recorded for _, recorded in arrived)])
        for _, recorded in arrived:
            self._keep_back(recorded)
            self._walk(this, recorded.stream)
        await self._write(transaction, this)
        aside = {}
        for delivery, recorded in arrived:
            place = _place(recorded)
            of_version = self._held.get(recorded.stream, {}).get(recorded.version, {})
            if recorded.event_id in of_version and place not in kept:
                aside[place] = intake.aside(delivery, "kept back", self._store.now())
        if aside:
            await transaction.parking.park(self._name, list(aside.values()))
        if sum(len(ids) for held in self._held.values() for ids in held.values()) > HELD_MAX:
            raise Incomplete(f"more than {HELD_MAX:,} events wait for what is parked or missing")
        metrics.REBUILD_EVENTS.labels(view=self._view.name).inc(len(batch))

    async def _look(self, transaction: Transaction, waiting: Sequence[Recorded]) -> _Round:
        """What the live consumer has done with these, and what this rebuild has.

        The marks are read before the discards: whatever a mark was moved for is then seen.
        """
        streams = {recorded.stream for recorded in waiting}
        live, given_up = await discarded.look(transaction, self._consumer, waiting)
        repaired: dict[tuple[str, int], Document] = {}
        for tenant in {recorded.tenant for recorded in waiting}:
            of = {intake.left_out(self._consumer, r): r for r in waiting if r.tenant == tenant}
            bodies = await transaction.documents.get(tenant, intake.REPAIRED, of)
            repaired |= {(of[n].stream, of[n].version): body for n, body in bodies.items()}
        taken = dict(await transaction.inbox.seen(self._name, streams))
        return _Round(live, given_up, repaired, taken)

    def _walk(self, this: _Round, stream: str) -> None:
        """Take what is next of a stream, for as long as the live consumer has taken it too."""
        held = self._held[stream]
        while held:
            at = this.seen.get(stream, 0)
            if at >= this.live.get(stream, 0):
                break
            gone = this.given_up.get(stream, NOTHING_GIVEN_UP)
            if at + 1 in gone.events and at + 1 not in gone.taken:
                this.seen[stream] = this.marks[stream] = at + 1  # the live consumer stepped over it
                continue
            if (found := _next_of(held, at + 1, gone)) is None:
                break
            recorded = this.taken_as(found)
            # What the live consumer has taken is known or harmless: strictness was its business.
            match intake.judge(recorded, this.seen, self._view.handles, strict=False):
                case Apply(event=event):
                    this.seen[stream] = this.marks[stream] = recorded.version
                    if event is not None:
                        this.take.setdefault(recorded.tenant, []).append(Incoming(recorded, event))
                case Duplicate():
                    pass
                case Poison():
                    break
            del held[recorded.version]
        for version in [version for version in held if version <= this.seen.get(stream, 0)]:
            del held[version]
        if not held:
            del self._held[stream]

    async def _write(self, transaction: Transaction, this: _Round) -> None:
        for tenant, batch in this.take.items():
            work = Work(transaction, now=self._store.now(), ids=self._ids, tenant=tenant)
            await project(work, self._view, batch, self._generation)
        if this.marks:
            await transaction.inbox.mark(self._name, this.marks)

    async def _last_look(self, transaction: Transaction) -> Sequence[str]:
        """Take what was kept back and may be taken now; answers what cannot be had."""
        waiting = [recorded for stream in self._held for recorded in self._waiting(stream)]
        this = await self._look(transaction, waiting)
        for stream in list(self._held):
            self._walk(this, stream)
        await self._write(transaction, this)
        missing = []
        for stream, held in sorted(self._held.items()):
            if (first := min(held)) <= this.live.get(stream, 0):
                instead = this.given_up.get(stream, NOTHING_GIVEN_UP).taken.get(first)
                if instead is not None and instead not in held[first]:
                    missing.append(f"{stream}@{first}: {instead} is not there")
                    continue
                event = this.taken_as(held[first][instead or next(iter(held[first]))])
                verdict = intake.judge(event, this.seen, self._view.handles, strict=False)
                missing.append(f"{stream}@{first}: {verdict}")
        return missing

    def _keep_back(self, recorded: Recorded) -> None:
        of_stream = self._held.setdefault(recorded.stream, {})
        of_stream.setdefault(recorded.version, {}).setdefault(recorded.event_id, recorded)

    def _waiting(self, stream: str) -> Sequence[Recorded]:
        of_stream = self._held.get(stream, {})
        return [recorded for ids in of_stream.values() for recorded in ids.values()]

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
            missing = await self._last_look(transaction)
            if missing and self._switch:
                raise Incomplete("; ".join(missing[:5]))
            live_hash, _ = await documents.digest(documents_of, live_generation)
            rebuilt_hash, count = await documents.digest(documents_of, self._generation)
            self.comparison = Comparison(
                documents_of, live_hash, rebuilt_hash, count, self._generation, tuple(missing)
            )
            if not self._switch:
                await documents.switch_generation(documents_of, live_generation)
                await documents.drop_generation(documents_of, self._generation)
            elif live_generation > 1:
                await documents.drop_generation(documents_of, live_generation - 1)
            await self._forget(transaction)

    async def _forget(self, transaction: Transaction) -> None:
        """Leave nothing behind that another rebuild would take up."""
        await transaction.inbox.forget(self._name)
        while page := await transaction.parking.parked(self._name, limit=PAGE):
            await transaction.parking.unpark(self._name, [parked.position for parked in page])


def _place(recorded: Recorded) -> tuple[str, int, str]:
    return recorded.stream, recorded.version, recorded.event_id


def _next_of(
    held: Mapping[int, Mapping[str, Recorded]], version: int, gone: GivenUp
) -> Recorded | None:
    """What stands next: where another was given up, the event that took its place and no other."""
    if version in gone.taken:
        return held.get(version, {}).get(gone.taken[version])
    return next(iter(held[min(held)].values()))
