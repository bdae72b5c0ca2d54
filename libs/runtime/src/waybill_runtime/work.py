"""One transaction's decisions: each stream loaded and folded once, everything written once.

However many commands a batch brings, `load` is one statement and `flush` a handful; a stream that
many commands concern is decided in memory, one after another.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, TypeAlias, TypeVar

from waybill_events import codec
from waybill_events.envelope import DEFAULT_TENANT, Recorded, StreamId
from waybill_events.event import Event
from waybill_runtime.decider import AnyDecider, Intent
from waybill_runtime.ids import Ids
from waybill_runtime.store import Transaction
from waybill_runtime.stored import Job, StreamWrite

V = TypeVar("V")

See: TypeAlias = Callable[[V | None, Recorded, Any], V | None]
"""A view of a stream after one more of its own events; None while there is nothing to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why something is decided: the event or command before it, and who wanted it."""

    causation_id: str
    actor: str
    origin: str = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command that came from outside: whose data it is about, who sent it, under which id."""

    tenant: str
    actor: str
    command_id: str

    @property
    def cause(self) -> Cause:
        return Cause(causation_id=self.command_id, actor=self.actor)


def caused_by(event: Recorded, service: str) -> Cause:
    """The cause of what `service` decides because of an event."""
    return Cause(causation_id=event.event_id, actor=f"system:{service}", origin=event.origin)


async def seen_in(
    transaction: Transaction, decider: AnyDecider, tenant: str, id_: str, see: See[V]
) -> V | None:
    """What a view shows of a stream as it stands, for who decides nothing.

    Raises:
        ValueError: the decider keeps snapshots: they leave out what came before them.
    """
    name = str(StreamId(tenant, decider.category, id_))
    stream = (await transaction.streams.load([name], lock=False))[name]
    return _folded(decider, stream.events, see)


def _folded(decider: AnyDecider, events: Iterable[Recorded], see: See[V]) -> V | None:
    if decider.snapshot is not None:
        raise ValueError(f"a snapshot of {decider.category} does not tell what came before it")
    seen: V | None = None
    for recorded in events:
        seen = see(seen, recorded, codec.decode(recorded))
    return seen


@dataclass(slots=True)
class _Open:
    decider: AnyDecider
    stream: str
    loaded_version: int
    state: Any
    loaded: Sequence[Recorded]
    """Its events after the snapshot. Each keeps its model: none is decoded twice."""
    written: list[Recorded] = field(default_factory=list)


class Work:
    """The streams that one transaction touches. Used by one task, flushed at most once."""

    def __init__(
        self, transaction: Transaction, *, now: datetime, ids: Ids, tenant: str = DEFAULT_TENANT
    ) -> None:
        self.transaction = transaction
        self.now = now
        self.tenant = tenant
        self._ids = ids
        self._open: dict[tuple[str, str], _Open] = {}
        self._jobs: dict[str, Job | None] = {}

    async def load(self, decider: AnyDecider, ids: Collection[str], *, lock: bool = True) -> None:
        """Read and fold what is not loaded yet. Locks in sorted order within this call."""
        wanted = sorted({i for i in ids if (decider.category, i) not in self._open})
        if not wanted:
            return
        names = {str(StreamId(self.tenant, decider.category, i)): i for i in wanted}
        streams = await self.transaction.streams.load(names.keys(), lock=lock)
        for name, id_ in names.items():
            stream = streams[name]
            state = decider.initial
            if stream.snapshot is not None and decider.snapshot is not None:
                state = decider.snapshot.validate_json(stream.snapshot)
            for recorded in stream.events:
                state = decider.evolve(state, codec.decode(recorded))
            opened = _Open(decider, name, stream.version, state, stream.events)
            self._open[decider.category, id_] = opened

    def begin(self, decider: AnyDecider, id_: str) -> None:
        """Open a stream under an id that was drawn a moment before, without looking whether it is.

        `flush` raises VersionConflict if it is, after all.

        Raises:
            ValueError: it is open already.
        """
        if (decider.category, id_) in self._open:
            raise ValueError(f"{decider.category} {id_} is open already")
        name = str(StreamId(self.tenant, decider.category, id_))
        self._open[decider.category, id_] = _Open(decider, name, 0, decider.initial, ())

    def state(self, decider: AnyDecider, id_: str) -> Any:
        """The state of a loaded stream, with what was decided here so far."""
        return self._open[decider.category, id_].state

    def seen(self, decider: AnyDecider, id_: str, see: See[V]) -> V | None:
        """What a view shows of a loaded stream, with what was decided here so far.

        After `flush` it is what `seen_in` would read, without asking the store.

        Raises:
            ValueError: the decider keeps snapshots: they leave out what came before them.
        """
        opened = self._open[decider.category, id_]
        return _folded(decider, chain(opened.loaded, opened.written), see)

    def version(self, decider: AnyDecider, id_: str) -> int:
        """The version a loaded stream will have after `flush`; 0 means that it does not exist."""
        opened = self._open[decider.category, id_]
        return opened.loaded_version + len(opened.written)

    def execute(self, intent: Intent, cause: Cause) -> Sequence[Event]:
        """Decide a command on a loaded stream; its events are seen by the next command."""
        opened = self._open[intent.decider.category, intent.id]
        decider = opened.decider
        events = decider.decide(intent.command, opened.state)
        for event in events:
            opened.state = decider.evolve(opened.state, event)
            key = decider.key(event)
            recorded = Recorded(
                event_id=self._ids.event_id(),
                type=event.TYPE,
                stream=opened.stream,
                version=opened.loaded_version + len(opened.written) + 1,
                tenant=self.tenant,
                topic=decider.topic,
                key=key,
                occurred_at=self.now,
                causation_id=cause.causation_id,
                correlation_id=key,
                actor=cause.actor,
                origin=cause.origin,
                data=codec.encode(event),
            )
            opened.written.append(recorded)
            follow = decider.follow(recorded, event)
            self._jobs.update(dict.fromkeys(follow.cancel))
            self.schedule(follow.schedule)
        return events

    def schedule(self, jobs: Iterable[Job]) -> None:
        """Make jobs due with this transaction; a job scheduled again replaces itself."""
        self._jobs.update({job.id: job for job in jobs})

    async def run(self, intents: Sequence[tuple[Intent, Cause]]) -> None:
        """Load whatever these commands concern, then decide them in order."""
        by_decider: dict[str, tuple[AnyDecider, set[str]]] = {}
        for intent, _ in intents:
            by_decider.setdefault(intent.decider.category, (intent.decider, set()))[1].add(
                intent.id
            )
        for category in sorted(by_decider):
            decider, ids = by_decider[category]
            await self.load(decider, ids)
        for intent, cause in intents:
            self.execute(intent, cause)

    async def flush(self) -> bool:
        """Write everything that was decided; True when there was anything.

        Raises:
            VersionConflict: another transaction was first; end this one and begin again.
        """
        writes = [
            StreamWrite(
                opened.stream,
                opened.loaded_version,
                opened.written,
                None
                if opened.decider.snapshot is None
                else opened.decider.snapshot.dump_json(opened.state).decode(),
            )
            for opened in self._open.values()
            if opened.written
        ]
        if writes:
            await self.transaction.streams.append(writes)
        if cancelled := [id_ for id_, job in self._jobs.items() if job is None]:
            await self.transaction.jobs.cancel(cancelled)
        if scheduled := [job for job in self._jobs.values() if job is not None]:
            await self.transaction.jobs.schedule(scheduled)
        return bool(writes or self._jobs)
