"""Parked deliveries, taken up again by a person: tried again in order, repaired, or discarded.

A retry gives each delivery of a key to the service's own handler, in one transaction with its
inbox mark and its leaving the parking place. While a key is parked the live consumer parks
whatever comes behind it, so nothing overtakes. Effects are not run here: they are scheduled.
"""

import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from waybill_events import codec
from waybill_events.codec import InvalidEvent, UnknownType
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime import discarded, intake
from waybill_runtime.consumer import Handler, Incoming
from waybill_runtime.ids import Ids
from waybill_runtime.intake import NOTHING_GIVEN_UP, Apply, Duplicate, Poison
from waybill_runtime.store import Store, Transaction
from waybill_runtime.stored import TRANSIENT, Document, Parked
from waybill_runtime.transact import transact
from waybill_runtime.work import Work

log = structlog.get_logger("waybill.unpark")

PAGE = 500
AT_ONCE_MAX = 100_000
"""Most deliveries of one key that are taken up in one call."""


class NotParked(LookupError):
    """Nothing of this key is parked."""


class Unfit(ValueError):
    """What is to stand in for an event's body is none that its type can have."""


class Busy(Exception):
    """Somebody else is taking up parked deliveries of this service."""


@dataclass(frozen=True, slots=True)
class Retried:
    """What came of a retry; `failed` is the delivery it stopped at, and `reason` why."""

    applied: int
    known: int
    left: int
    failed: Parked | None = None
    reason: str = ""


class Unparking:
    """The parked deliveries of one service; `consumer` is its group."""

    def __init__(
        self,
        consumer: str,
        *,
        handles: Collection[str],
        handler: Handler,
        store: Store,
        ids: Ids,
        strict: bool = True,
    ) -> None:
        """`handler`, `handles` and `strict` as the service's own consumer has them."""
        self._consumer = consumer
        self._handles = frozenset(handles)
        self._handler = handler
        self._store = store
        self._ids = ids
        self._strict = strict

    async def retry(self, key: str) -> Retried:
        """Apply what is parked of a key, in order, until one fails again; may be called twice.

        Versions of one stream are taken in their order, however they were parked: a gap heals
        once what was missing is parked behind it.

        Raises:
            NotParked, Busy: nothing was changed.
            StoreUnavailable, CommitUnknown: what was applied before stays so.
        """
        applied = known = 0
        async with self._alone():
            if not (waiting := await self._parked(key)):
                raise NotParked(key)
            while waiting:
                for at, parked in enumerate(in_order(waiting)):
                    try:
                        fresh = await self._apply(parked)
                    except TRANSIENT:
                        raise
                    except Exception as error:  # noqa: BLE001 - whatever a handler throws is told
                        reason = f"{type(error).__name__}: {error}"[:500]
                        left = len(waiting) - at
                        return Retried(applied, known, left, parked, reason)
                    applied, known = applied + fresh, known + (not fresh)
                # What the live consumer parked behind them meanwhile.
                waiting = await self._parked(key)
        return Retried(applied, known, 0)

    async def discard(
        self, key: str, *, reason: str, actor: str, whole_key: bool = False
    ) -> Sequence[Parked]:
        """Give up the delivery that a retry of the key stops at, or all of them; answers which.

        This service will never act on them. They are known again by their ids and take no place
        from other events. Each leaves a record in the view `discarded` and a line in the log.

        Raises:
            ValueError: no reason was given.
            NotParked, Busy: nothing was changed.
        """
        if not reason.strip():
            raise ValueError("a reason is needed")
        async with self._alone():
            ordered = in_order(await self._parked(key))
            if not ordered:
                raise NotParked(key)
            given_up = ordered if whole_key else ordered[:1]

            async def body(transaction: Transaction) -> None:
                for parked in given_up:
                    await self._give_up(transaction, parked, reason, actor)

            await transact(self._store, self._ids, body)
        for parked in given_up:
            log.warning(
                "discarded",
                service=self._consumer,
                key=parked.key,
                topic=parked.partition.topic,
                partition=parked.partition.number,
                offset=parked.offset,
                reason=reason,
                actor=actor,
            )
        return given_up

    async def repair(self, position: int, data: str, *, reason: str, actor: str) -> Parked:
        """Have this body taken for the one that is parked at a position, by a retry and a rebuild.

        The event keeps its id, type, stream and version; log and bus keep what was said. Each
        repair stays on record, in the view `repaired`; the newest counts. Applied by `retry`.

        Raises:
            ValueError: no reason was given.
            Unfit: the body does not fit the event's type.
            Poison: the delivery is none of our events, whatever its body.
            NotParked, Busy: nothing was changed.
        """
        if not reason.strip():
            raise ValueError("a reason is needed")
        async with self._alone():
            parked = await self._at(position)
            recorded = opened(parked)
            try:
                codec.decode(replace(recorded, data=data))
            except (InvalidEvent, UnknownType) as error:
                raise Unfit(str(error)) from error

            async def body(transaction: Transaction) -> None:
                await self._put_repair(transaction, recorded, data, reason, actor)

            await transact(self._store, self._ids, body)
        log.warning(
            "repaired",
            service=self._consumer,
            key=parked.key,
            event_id=recorded.event_id,
            reason=reason,
            actor=actor,
        )
        return parked

    async def _put_repair(
        self, transaction: Transaction, recorded: Recorded, data: str, reason: str, actor: str
    ) -> None:
        name = intake.left_out(self._consumer, recorded)
        found = await transaction.documents.get(recorded.tenant, intake.REPAIRED, [name])
        before = found.get(name)
        history = [] if before is None else json.loads(before.body)["history"]
        history.append(
            {
                "data": data,
                "instead_of": recorded.data,
                "repaired_because": reason,
                "repaired_by": actor,
                "repaired_at": self._store.now().isoformat(),
            }
        )
        names = ("event_id", "type", "stream", "version", "key")
        told = {each: getattr(recorded, each) for each in names} | {
            "service": self._consumer,
            "data": data,
            "history": history,
        }
        document = Document(json.dumps(told), len(history), attributes={"key": recorded.key})
        await transaction.documents.put(recorded.tenant, intake.REPAIRED, {name: document})

    async def _at(self, position: int) -> Parked:
        async with self._store.reading() as reading:
            page = await reading.parking.parked(self._consumer, after=position - 1, limit=1)
        if not page or page[0].position != position:
            raise NotParked(str(position))
        return page[0]

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Two at once would apply one delivery twice."""
        async with self._store.leadership(f"unpark:{self._consumer}") as alone:
            if not alone:
                raise Busy(f"parked deliveries of {self._consumer} are being worked on")
            yield

    async def _parked(self, key: str) -> Sequence[Parked]:
        found: list[Parked] = []
        async with self._store.reading() as reading:
            while len(found) < AT_ONCE_MAX:
                after = found[-1].position if found else 0
                page = await reading.parking.parked(
                    self._consumer, key=key, after=after, limit=PAGE
                )
                found += page
                if len(page) < PAGE:
                    break
        return found

    async def _apply(self, parked: Parked) -> bool:
        """Take one delivery; False when the inbox knew it already."""
        said = opened(parked)

        async def body(transaction: Transaction) -> bool:
            seen, records = await discarded.look(transaction, self._consumer, [said])
            gone = records.get(said.stream, NOTHING_GIVEN_UP)
            name = intake.left_out(self._consumer, said)
            repairs = await transaction.documents.get(said.tenant, intake.REPAIRED, [name])
            recorded = intake.repaired(said, repairs.get(name))
            match intake.judge(recorded, seen, self._handles, strict=self._strict, given_up=gone):
                case Duplicate():
                    await transaction.parking.unpark(self._consumer, [parked.position])
                    return False
                case Apply(event=model):
                    await transaction.parking.unpark(self._consumer, [parked.position])
                    await self._hand_over(transaction, recorded, model)
                    marks = {recorded.stream: recorded.version}
                    await transaction.inbox.mark(self._consumer, marks)
                    if gone.concerns(recorded):
                        await discarded.keep_taken(transaction, self._consumer, [recorded])
                    return True
                case refusal:
                    raise refusal

        return await transact(self._store, self._ids, body)

    async def _hand_over(
        self, transaction: Transaction, recorded: Recorded, model: Event | None
    ) -> None:
        if model is None:
            return
        work = Work(transaction, now=self._store.now(), ids=self._ids, tenant=recorded.tenant)
        await self._handler(work, [Incoming(recorded, model)])
        await work.flush()

    async def _give_up(
        self, transaction: Transaction, parked: Parked, reason: str, actor: str
    ) -> None:
        await transaction.parking.unpark(self._consumer, [parked.position])
        told: dict[str, object] = {
            "service": self._consumer,
            "key": parked.key,
            "topic": parked.partition.topic,
            "partition": parked.partition.number,
            "offset": parked.offset,
            "parked_because": parked.reason,
            "parked_at": parked.parked_at.isoformat(),
            "discarded_because": reason,
            "discarded_by": actor,
            "discarded_at": self._store.now().isoformat(),
        }
        try:
            recorded = opened(parked)
        except Poison:
            told["event"] = None
        else:
            names = ("event_id", "type", "stream", "version")
            told["event"] = {each: getattr(recorded, each) for each in names}
            seen, records = await discarded.look(transaction, self._consumer, [recorded])
            gone = records.get(recorded.stream, NOTHING_GIVEN_UP)
            if recorded.version > seen.get(recorded.stream, 0) or gone.concerns(recorded):
                await discarded.keep(transaction, self._consumer, recorded, told)
                return
            told["known"] = True
        # No event of ours, or one whose place was taken before: the record is for people alone.
        name = f"{self._consumer}:{parked.position:019}"
        document = Document(json.dumps(told), attributes={"key": parked.key})
        await transaction.documents.put(parked.tenant, intake.DISCARDED, {name: document})


def opened(parked: Parked) -> Recorded:
    """The event that a parked delivery carries.

    Raises:
        Poison: it is none of ours.
    """
    return intake.opened(parked.partition.topic, parked.key, parked.headers, parked.value)


def in_order(waiting: Sequence[Parked]) -> Sequence[Parked]:
    """As they were parked, but none before an earlier version of its stream.

    Whoever is taken from the front changes nothing about the order of the others: what a retry
    stopped at is the first of what it left, which is what a discard gives up.
    """
    streams: dict[str, list[tuple[int, int, Parked]]] = {}
    for parked in waiting:
        try:
            recorded = opened(parked)
            stream, version = recorded.stream, recorded.version
        except Poison:
            stream, version = f"?{parked.position}", 0
        streams.setdefault(stream, []).append((version, parked.position, parked))
    placed: list[tuple[int, int, int, Parked]] = []
    for found in streams.values():
        behind = 0
        for version, position, parked in sorted(found, key=lambda entry: entry[:2]):
            behind = max(behind, position)
            placed.append((behind, version, position, parked))
    return [parked for *_, parked in sorted(placed, key=lambda entry: entry[:3])]
