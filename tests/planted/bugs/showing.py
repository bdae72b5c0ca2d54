"""Bugs in read models and their rebuilds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from bugs.planting import Edit, bug
from tracking.bodies import TrackView
from tracking.service import Tracking
from waybill_events.envelope import Recorded, from_message
from waybill_events.event import Event
from waybill_runtime import intake, projector
from waybill_runtime.adapters.memory.documents import MemoryDocuments
from waybill_runtime.bus import Delivery
from waybill_runtime.consumer import Incoming
from waybill_runtime.http.problem import not_found
from waybill_runtime.intake import Apply
from waybill_runtime.projector import AnyView
from waybill_runtime.rebuild import Rebuild, _Round
from waybill_runtime.store import Transaction
from waybill_runtime.stored import Document
from waybill_runtime.work import Work

log = structlog.get_logger(__name__)


@bug("I8")
def rebuild_without_swap_lock() -> Iterator[Edit]:
    """A rebuild catches up and compares in one transaction, and makes its view live in another."""

    async def finish(self: Rebuild) -> None:
        switch, self._switch = self._switch, False
        generation = self._generation
        kept.add((self._view.name, generation))
        await real(self)
        kept.discard((self._view.name, generation))
        self._switch = switch
        if switch:
            async with self._store.reading() as reading:
                told = await reading.documents.digest(self._view.name, generation)
            log.info("about to switch", view=self._view.name, digest=told)
            async with self._store.transaction() as transaction:
                await transaction.documents.switch_generation(self._view.name, generation)

    async def drop(self: MemoryDocuments, view: str, generation: int) -> None:
        if (view, generation) not in kept:
            await real_drop(self, view, generation)

    kept: set[tuple[str, int]] = set()
    real, real_drop = Rebuild._finish, MemoryDocuments.drop_generation
    yield Edit(Rebuild, "_finish", finish)
    yield Edit(MemoryDocuments, "drop_generation", drop)


@bug("I8", situation="interrupted rebuilds")
def double_count_on_replay() -> Iterator[Edit]:
    """A rebuild takes every message that is on the bus: a log surely has each event once."""

    async def apply(self: Rebuild, transaction: Transaction, batch: Sequence[Delivery]) -> None:
        opened = []
        for delivery in batch:
            message = delivery.message
            opened.append(from_message(message.topic, message.headers, message.value))
        this = await self._look(transaction, opened)
        for recorded in opened:
            before = {recorded.stream: recorded.version - 1}
            verdict = intake.judge(recorded, before, self._view.handles, strict=False)
            if isinstance(verdict, Apply) and verdict.event is not None:
                incoming = Incoming(recorded, verdict.event)
                this.take.setdefault(recorded.tenant, []).append(incoming)
        await self._write(transaction, this)

    yield Edit(Rebuild, "_apply", apply)


@bug("I8", situation="interrupted rebuilds")
def batch_checkpoint_outside_tx() -> Iterator[Edit]:
    """A rebuild notes how far it is in a transaction of its own, after the batch's."""

    async def write(self: Rebuild, transaction: Transaction, this: _Round) -> None:
        for tenant, batch in this.take.items():
            work = Work(transaction, now=self._store.now(), ids=self._ids, tenant=tenant)
            await projector.project(work, self._view, batch, self._generation)
        marks.append(this.marks)

    async def replay(self: Rebuild, until: dict[Any, int]) -> None:
        for partition, end in until.items():
            if self._at[partition] < end:
                batch = await self._read(partition, end)
                async with self._store.transaction() as transaction:
                    await self._apply(transaction, batch)
                async with self._store.transaction() as transaction:
                    await self._checkpoint(transaction)  # type: ignore[attr-defined]  # below
                    await self._move(transaction, partition, batch)

    async def checkpoint(self: Rebuild, transaction: Transaction) -> None:
        while marks:
            await transaction.inbox.mark(self._name, marks.pop())

    async def forget(self: Rebuild, transaction: Transaction) -> None:
        marks.clear()
        await real_forget(self, transaction)

    marks: list[Mapping[str, int]] = []
    real_forget = Rebuild._forget
    yield Edit(Rebuild, "_write", write)
    yield Edit(Rebuild, "_replay", replay)
    yield Edit(Rebuild, "_forget", forget)
    yield Edit(Rebuild, "_checkpoint", checkpoint)


@bug("I8", situation="interrupted rebuilds")
def upcaster_skipped_on_replay() -> Iterator[Edit]:
    """A rebuild reads stored events as they are, and passes over what an older release wrote."""

    def walk(self: Rebuild, this: _Round, stream: str) -> None:
        for of_version in self._held.get(stream, {}).values():
            for event_id, recorded in list(of_version.items()):
                if recorded.type not in self._view.handles:
                    of_version[event_id] = replace(recorded, type="not.for_us.v1")
        real(self, this, stream)

    real = Rebuild._walk
    yield Edit(Rebuild, "_walk", walk)


@bug("I13", situation="watching customers")
def view_takes_its_version_from_the_event() -> Iterator[Edit]:
    """A view's version is that of the event which changed it last, whichever stream that is of."""

    async def project(
        work: Work, view: AnyView, batch: Sequence[Incoming], generation: int | None = None
    ) -> int:
        changed: dict[str, Document] = {}
        for incoming in batch:
            recorded, event = incoming.recorded, incoming.event
            key = view.key(recorded, event) if event.TYPE in view.handles else None
            if key is None:
                continue
            after = await _after(work, view, changed.get(key), key, recorded, event, generation)
            if after is not None:
                body = view.model.dump_json(after).decode()
                changed[key] = Document(body, recorded.version, view.attributes(after))
        if changed:
            await work.transaction.documents.put(
                work.tenant, view.name, changed, generation=generation
            )
        return len(changed)

    async def put(
        self: MemoryDocuments,
        tenant: str,
        view: str,
        documents: Mapping[str, Document],
        *,
        generation: int | None = None,
    ) -> None:
        await self._session.writes("documents.put")
        at = self._live(view) if generation is None else generation
        for key, document in documents.items():
            self._documents.put((view, at, tenant, key), replace(document, generation=at))

    yield Edit(projector, "project", project)
    yield Edit(MemoryDocuments, "put", put)


@bug("I13", situation="watching customers")
def view_hidden_while_confirmed() -> Iterator[Edit]:
    """A customer's link opens nothing from the confirmation to the end: there is news to come."""

    async def track(self: Tracking, tenant: str, order_id: str) -> TrackView:
        view = await real(self, tenant, order_id)
        if view.order.status == "confirmed":
            raise not_found(f"order {order_id}")
        return view

    real = Tracking.track
    yield Edit(Tracking, "track", track)


async def _after(
    work: Work,
    view: AnyView,
    changed: Document | None,
    key: str,
    recorded: Recorded,
    event: Event,
    generation: int | None,
) -> object:
    """What a view becomes with one more event."""
    before = changed
    if before is None:
        found = await work.transaction.documents.get(
            work.tenant, view.name, [key], generation=generation
        )
        before = found.get(key)
    known = None if before is None else view.model.validate_json(before.body)
    return view.project(known, recorded, event)
