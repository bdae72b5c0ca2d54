"""Streams, their events and the outbox, in memory."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from itertools import islice

from waybill_events.envelope import Recorded, StreamId
from waybill_runtime import stored
from waybill_runtime.adapters import appending
from waybill_runtime.adapters.memory.session import Session
from waybill_runtime.adapters.memory.tables import OutboxRow, StreamRow

SCAN = 1_000

_NEW = StreamRow(0, None, 0)


def _place(entry: tuple[int, OutboxRow]) -> int:
    return entry[0]


class MemoryStreams:
    """`Streams` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tables = session.tables

    async def load(self, streams: Collection[str], *, lock: bool) -> Mapping[str, stored.Stream]:
        await (self._session.writes if lock else self._session.reads)("streams.load")
        return {stream: self._stream(stream) for stream in sorted(set(streams))}

    async def append(self, writes: Sequence[stored.StreamWrite]) -> None:
        checked = appending.checked(writes)
        if not checked:
            return
        await self._session.writes("streams.append")
        for write in checked:
            if (self._tables.streams.get(write.stream) or _NEW).version != write.expected_version:
                self._session.conflict(write.stream)
        for write in checked:
            self._append(write)
        self._session.appended = True

    async def unpublished(self, limit: int) -> Sequence[stored.Unpublished]:
        await self._session.reads("streams.unpublished")
        return [
            stored.Unpublished(position, row.event)
            for position, row in islice(sorted(self._tables.outbox.items(), key=_place), limit)
        ]

    async def published(self, positions: Sequence[int]) -> None:
        if not positions:
            return
        await self._session.writes("streams.published")
        for position in positions:
            self._tables.outbox.drop(position)

    async def known(self, event_ids: Collection[str]) -> Mapping[str, tuple[str, int]]:
        await self._session.reads("streams.known")
        found = {one: self._tables.event_ids.get(one) for one in event_ids}
        return {one: place for one, place in found.items() if place is not None}

    async def outbox_backlog(self) -> stored.Backlog:
        await self._session.reads("streams.outbox_backlog")
        waiting = [row.recorded_at for row in self._tables.outbox.values()]
        if not waiting:
            return stored.Backlog(0, 0.0)
        oldest_s = (self._session.now - min(waiting)).total_seconds()
        return stored.Backlog(len(waiting), max(0.0, oldest_s))

    async def unpublish(self) -> int:
        await self._session.writes("streams.unpublish")
        outbox = self._tables.outbox
        for position, _ in [entry for entry in outbox.items() if entry[0] < 0]:
            outbox.drop(position)
        events = sorted(self._tables.events.values(), key=lambda e: (e.stream, e.version))
        for position, event in enumerate(events, start=-len(events)):
            outbox.put(position, OutboxRow(event, self._session.now))
        self._session.appended = True
        return len(events)

    async def scan(self, category: str | None = None) -> AsyncIterator[Recorded]:
        after = ""
        while True:
            await self._session.reads("streams.scan")
            names = sorted(
                stream
                for stream, _ in self._tables.streams.items()
                if stream > after and category in (None, StreamId.parse(stream).category)
            )[:SCAN]
            for event in [event for stream in names for event in self._events(stream, 0)]:
                yield event
            if len(names) < SCAN:
                return
            after = names[-1]

    async def stream_ids(
        self, tenant: str, category: str, *, after: str, limit: int
    ) -> Sequence[str]:
        await self._session.reads("streams.stream_ids")
        prefix = str(StreamId(tenant, category, ""))
        found = (stream for stream, _ in self._tables.streams.items() if stream > after)
        return sorted(stream for stream in found if stream.startswith(prefix))[:limit]

    def _stream(self, stream: str) -> stored.Stream:
        row = self._tables.streams.get(stream) or _NEW
        return stored.Stream(row.version, row.snapshot, self._events(stream, row.snapshot_version))

    def _events(self, stream: str, after: int) -> list[Recorded]:
        row = self._tables.streams.get(stream) or _NEW
        found = (self._tables.events.get((stream, at)) for at in range(after + 1, row.version + 1))
        return [event for event in found if event is not None]

    def _append(self, write: stored.StreamWrite) -> None:
        row = self._tables.streams.get(write.stream) or _NEW
        version = write.events[-1].version
        if write.snapshot is None:
            row = StreamRow(version, row.snapshot, row.snapshot_version)
        else:
            row = StreamRow(version, write.snapshot, version)
        self._tables.streams.put(write.stream, row)
        for event in write.events:
            if self._tables.event_ids.get(event.event_id) is not None:
                self._session.failure = ValueError(f"event {event.event_id} was appended twice")
                raise self._session.failure
            self._tables.event_ids.put(event.event_id, (event.stream, event.version))
            self._tables.events.put((event.stream, event.version), event)
            position = next(self._session.database.sequence)
            self._tables.outbox.put(position, OutboxRow(event, self._session.now))
