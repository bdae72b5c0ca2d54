"""Streams, their events and the outbox, a statement for each call however many rows."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from waybill_events.envelope import Recorded, StreamId
from waybill_runtime import stored
from waybill_runtime.adapters import appending

if TYPE_CHECKING:
    from waybill_runtime.adapters.postgres.session import Row, Session

SCAN = 1_000
UNPUBLISH_AT_ONCE = 20_000
UNPUBLISH_FROM = -(2**40)
"""Below 0 there is room for more events than any store holds."""

_EVENT = """e.event_id, e.type, e.stream, e.version, e.tenant, e.topic, e.key, e.occurred_at,
       e.causation_id, e.correlation_id, e.actor, e.origin, e.data"""

# Streams with their events after the snapshot. One statement is one snapshot.
LOAD = f"""/* streams.load */
SELECT s.stream AS loaded, s.version AS at, s.snapshot, s.snapshot_version, {_EVENT}
  FROM streams s
  LEFT JOIN events e ON e.stream = s.stream AND e.version > s.snapshot_version
 WHERE s.stream = ANY($1::text[])
 ORDER BY s.stream, e.version
"""  # noqa: S608 - constants only

# The same, with the streams locked in sorted order. A row that had to be waited for is seen as
# the other transaction left it, its newest events are not: the caller looks again for those.
LOAD_LOCKED = f"""/* streams.load locked */
WITH locked AS (
  SELECT stream, version, snapshot, snapshot_version FROM streams
   WHERE stream = ANY($1::text[]) ORDER BY stream FOR NO KEY UPDATE
)
SELECT s.stream AS loaded, s.version AS at, s.snapshot, s.snapshot_version, {_EVENT}
  FROM locked s
  LEFT JOIN events e ON e.stream = s.stream AND e.version > s.snapshot_version
 ORDER BY s.stream, e.version
"""  # noqa: S608 - constants only

# Moves every stream on that stands where its writer thought, existing ones first and each kind
# in sorted order, so that no two appends wait for each other. Only when all did, the events and
# their places in the outbox are written: those are drawn under the locks of the streams, so they
# follow the versions. Answers the streams that moved.
APPEND = """/* streams.append */
WITH writes AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[],
                       $6::bigint[], $7::json[])
      AS w (stream, tenant, category, id, expected, version, snapshot)
), locked AS (
  -- Only what was there when it was loaded: a stream that came since is a conflict, and waiting
  -- for its writer, out of order with what is locked already, would be a deadlock.
  SELECT stream FROM streams
   WHERE stream = ANY($1::text[])
     AND stream = ANY(ARRAY(SELECT w.stream FROM writes w WHERE w.expected > 0))
   ORDER BY stream FOR NO KEY UPDATE
), updated AS (
  UPDATE streams s
     SET version = w.version,
         snapshot = coalesce(w.snapshot, s.snapshot),
         snapshot_version = CASE WHEN w.snapshot IS NULL THEN s.snapshot_version
                                 ELSE w.version END
    FROM writes w
   WHERE (SELECT count(*) FROM locked) >= 0
     AND s.stream = w.stream AND s.version = w.expected AND w.expected > 0
  RETURNING s.stream
), inserted AS (
  INSERT INTO streams (stream, tenant, category, id, version, snapshot, snapshot_version)
  SELECT stream, tenant, category, id, version, snapshot,
         CASE WHEN snapshot IS NULL THEN 0 ELSE version END
    FROM writes
   WHERE expected = 0 AND (SELECT count(*) FROM updated) >= 0
   ORDER BY stream
  ON CONFLICT (stream) DO NOTHING
  RETURNING stream
), moved AS (
  SELECT stream FROM updated UNION ALL SELECT stream FROM inserted
), given AS (
  SELECT * FROM unnest($8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[],
                       $13::text[], $14::text[], $15::timestamptz[], $16::text[], $17::text[],
                       $18::text[], $19::text[], $20::json[]) WITH ORDINALITY
      AS g (event_id, type, stream, version, tenant, topic, key, occurred_at, causation_id,
            correlation_id, actor, origin, data, place)
   WHERE (SELECT count(*) FROM moved) = cardinality($1::text[])
), recorded AS (
  INSERT INTO events (event_id, type, stream, version, tenant, topic, key, occurred_at,
                      causation_id, correlation_id, actor, origin, data)
  SELECT event_id, type, stream, version, tenant, topic, key, occurred_at,
         causation_id, correlation_id, actor, origin, data
    FROM given
), queued AS (
  INSERT INTO outbox (stream, version) SELECT stream, version FROM given ORDER BY place
)
SELECT stream FROM moved
"""

# What is not yet published, by presence and never by a cursor: a late commit still shows up.
UNPUBLISHED = f"""/* streams.unpublished */
SELECT o.position, {_EVENT}
  FROM outbox o JOIN events e ON e.stream = o.stream AND e.version = o.version
 ORDER BY o.position LIMIT $1
"""  # noqa: S608 - constants only

PUBLISHED = """/* streams.published */
DELETE FROM outbox WHERE position = ANY($1::bigint[])
"""

KNOWN = """/* streams.known */
SELECT event_id, stream, version FROM events WHERE event_id = ANY($1::text[])
"""

OUTBOX_BACKLOG = """/* streams.outbox_backlog */
SELECT count(*) AS count,
       extract(epoch FROM statement_timestamp() - min(recorded_at))::float8 AS oldest_s
  FROM outbox
"""

# What a lost bus has to be given again stands before all that waits, in positions below 0: a page
# at a time in the order of the key, which needs no sort.
FORGET_UNPUBLISHED = """/* streams.unpublish: what was named before and not sent yet */
DELETE FROM outbox WHERE position < 0
"""

UNPUBLISH = """/* streams.unpublish */
WITH page AS (
  SELECT stream, version FROM events
   WHERE (stream, version) > ($1::text, $2::bigint)
   ORDER BY stream, version LIMIT $3
), named AS (
  INSERT INTO outbox (position, stream, version) OVERRIDING SYSTEM VALUE
  SELECT $4 + row_number() OVER (ORDER BY stream, version) - 1, stream, version FROM page
)
SELECT stream, version, count(*) OVER () AS count FROM page
 ORDER BY stream DESC, version DESC LIMIT 1
"""

SCAN_ALL = f"""/* streams.scan */
SELECT {_EVENT}
  FROM events e WHERE (e.stream, e.version) > ($1::text, $2::bigint)
 ORDER BY e.stream, e.version LIMIT $3
"""  # noqa: S608 - constants only

SCAN_CATEGORY = f"""/* streams.scan of a category */
SELECT {_EVENT}
  FROM streams s JOIN events e ON e.stream = s.stream
 WHERE s.category = $4 AND s.stream >= $1
   AND (e.stream, e.version) > ($1::text, $2::bigint)
 ORDER BY e.stream, e.version LIMIT $3
"""  # noqa: S608 - constants only

STREAM_IDS = """/* streams.stream_ids */
SELECT stream FROM streams
 WHERE category = $2 AND tenant = $1 AND stream > $3 ORDER BY stream LIMIT $4
"""


class PostgresStreams:
    """`Streams` in the tables streams, events and outbox."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def load(self, streams: Collection[str], *, lock: bool) -> Mapping[str, stored.Stream]:
        asked = sorted(set(streams))
        if not asked:
            return {}
        if not lock:
            return _by_stream(asked, await self._session.read(LOAD, asked))
        rows = await self._session.write(LOAD_LOCKED, asked)
        loaded = _by_stream(asked, rows)
        if behind := _behind(rows):
            loaded |= _by_stream(behind, await self._session.read(LOAD, behind))
        return loaded

    async def append(self, writes: Sequence[stored.StreamWrite]) -> None:
        checked = appending.checked(writes)
        if not checked:
            return
        rows = await self._session.write(APPEND, *_stream_columns(checked), *_columns(checked))
        moved = {row["stream"] for row in rows}
        for write in checked:
            if write.stream not in moved:
                self._session.conflict(write.stream)
        self._session.appended = True

    async def unpublished(self, limit: int) -> Sequence[stored.Unpublished]:
        rows = await self._session.read(UNPUBLISHED, limit)
        return [stored.Unpublished(row["position"], _event(row)) for row in rows]

    async def published(self, positions: Sequence[int]) -> None:
        if positions:
            await self._session.write(PUBLISHED, list(positions))

    async def known(self, event_ids: Collection[str]) -> Mapping[str, tuple[str, int]]:
        rows = await self._session.read(KNOWN, list(event_ids)) if event_ids else ()
        return {row["event_id"]: (row["stream"], row["version"]) for row in rows}

    async def outbox_backlog(self) -> stored.Backlog:
        (row,) = await self._session.read(OUTBOX_BACKLOG)
        return stored.Backlog(row["count"], max(0.0, row["oldest_s"] or 0.0))

    async def unpublish(self) -> int:
        await self._session.write(FORGET_UNPUBLISHED)
        stream, version, named = "", 0, 0
        while rows := await self._session.write(
            UNPUBLISH, stream, version, UNPUBLISH_AT_ONCE, UNPUBLISH_FROM + named
        ):
            stream, version = rows[0]["stream"], rows[0]["version"]
            named += rows[0]["count"]
        self._session.appended = True
        return named

    async def scan(self, category: str | None = None) -> AsyncIterator[Recorded]:
        stream, version = "", 0
        while True:
            if category is None:
                rows = await self._session.read(SCAN_ALL, stream, version, SCAN)
            else:
                rows = await self._session.read(SCAN_CATEGORY, stream, version, SCAN, category)
            for row in rows:
                yield _event(row)
            if len(rows) < SCAN:
                return
            stream, version = rows[-1]["stream"], rows[-1]["version"]

    async def stream_ids(
        self, tenant: str, category: str, *, after: str, limit: int
    ) -> Sequence[str]:
        rows = await self._session.read(STREAM_IDS, tenant, category, after, limit)
        return [row["stream"] for row in rows]


def _event(row: "Row") -> Recorded:
    return Recorded(
        event_id=row["event_id"],
        type=row["type"],
        stream=row["stream"],
        version=row["version"],
        tenant=row["tenant"],
        topic=row["topic"],
        key=row["key"],
        occurred_at=row["occurred_at"],
        causation_id=row["causation_id"],
        correlation_id=row["correlation_id"],
        actor=row["actor"],
        origin=row["origin"],
        data=row["data"],
    )


def _by_stream(asked: Sequence[str], rows: "Sequence[Row]") -> dict[str, stored.Stream]:
    first: dict[str, Row] = {}
    events: dict[str, list[Recorded]] = {}
    for row in rows:
        first.setdefault(row["loaded"], row)
        found = events.setdefault(row["loaded"], [])
        if row["stream"] is not None:
            found.append(_event(row))
    return {
        stream: stored.Stream(first[stream]["at"], first[stream]["snapshot"], events[stream])
        if stream in first
        else stored.Stream(0, None, ())
        for stream in asked
    }


def _behind(rows: "Sequence[Row]") -> list[str]:
    """Streams that moved while they were waited for, so that their newest events are missing."""
    last = {row["loaded"]: row for row in rows}
    return [
        stream
        for stream, row in last.items()
        if row["at"] != (row["snapshot_version"] if row["version"] is None else row["version"])
    ]


def _stream_columns(writes: Sequence[stored.StreamWrite]) -> tuple[list[object], ...]:
    ids = [StreamId.parse(write.stream) for write in writes]
    return (
        [write.stream for write in writes],
        [stream.tenant for stream in ids],
        [stream.category for stream in ids],
        [stream.id for stream in ids],
        [write.expected_version for write in writes],
        [write.events[-1].version for write in writes],
        [write.snapshot for write in writes],
    )


def _columns(writes: Sequence[stored.StreamWrite]) -> tuple[list[object], ...]:
    events = [event for write in writes for event in write.events]
    return (
        [event.event_id for event in events],
        [event.type for event in events],
        [event.stream for event in events],
        [event.version for event in events],
        [event.tenant for event in events],
        [event.topic for event in events],
        [event.key for event in events],
        [event.occurred_at for event in events],
        [event.causation_id for event in events],
        [event.correlation_id for event in events],
        [event.actor for event in events],
        [event.origin for event in events],
        [event.data for event in events],
    )
