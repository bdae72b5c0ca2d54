"""Fenced positions of consumers, and the last version taken of each source stream."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from waybill_runtime.bus import Partition
from waybill_runtime.stored import Advance, Ownership

if TYPE_CHECKING:
    from waybill_runtime.adapters.postgres.session import Session

TAKE = """/* inbox.take */
INSERT INTO consumer_position AS p (consumer, topic, number, epoch, next_offset)
SELECT $1, topic, number, 1, 0 FROM unnest($2::text[], $3::int[]) AS t (topic, number)
 ORDER BY topic COLLATE "C", number
ON CONFLICT (consumer, topic, number) DO UPDATE SET epoch = p.epoch + 1
RETURNING topic, number, epoch, next_offset
"""

# Compare-and-set, all rows locked in sorted order first. `held` shows each row as it is once the
# lock is ours, so what it answers is the offset before, whoever moved it last.
ADVANCE = """/* inbox.advance */
WITH moves AS (
  SELECT * FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[])
      AS m (topic, number, epoch, next_offset)
), held AS (
  SELECT topic, number, epoch, next_offset FROM consumer_position
   WHERE consumer = $1 AND (topic, number) IN (SELECT topic, number FROM moves)
   ORDER BY topic, number FOR NO KEY UPDATE
), moved AS (
  UPDATE consumer_position p SET next_offset = m.next_offset
    FROM held h JOIN moves m USING (topic, number)
   WHERE p.consumer = $1 AND p.topic = h.topic AND p.number = h.number
     AND p.epoch = m.epoch AND p.next_offset < m.next_offset
)
SELECT h.topic, h.number, h.next_offset
  FROM held h JOIN moves m USING (topic, number) WHERE h.epoch = m.epoch
"""

POSITIONS = """/* inbox.positions */
SELECT topic, number, next_offset FROM consumer_position WHERE consumer = $1
"""

SEEN = """/* inbox.seen */
SELECT source, version FROM inbox WHERE consumer = $1 AND source = ANY($2::text[])
"""

MARK = """/* inbox.mark */
INSERT INTO inbox AS i (consumer, source, version)
SELECT $1, source, version FROM unnest($2::text[], $3::bigint[]) AS m (source, version)
 ORDER BY source COLLATE "C"
ON CONFLICT (consumer, source) DO UPDATE SET version = excluded.version
 WHERE excluded.version > i.version
"""

RESTART = """/* inbox.restart */
INSERT INTO consumer_position AS p (consumer, topic, number, epoch, next_offset)
SELECT c.consumer, w.topic, w.number, 1, w.next_offset
  FROM unnest($2::text[], $3::int[], $4::bigint[]) AS w (topic, number, next_offset)
 CROSS JOIN LATERAL (
    SELECT $1 AS consumer UNION
    SELECT k.consumer FROM consumer_position k WHERE k.topic = w.topic AND k.number = w.number
 ) c
 ORDER BY c.consumer COLLATE "C", w.topic COLLATE "C", w.number
ON CONFLICT (consumer, topic, number)
DO UPDATE SET epoch = p.epoch + 1, next_offset = excluded.next_offset
"""

# Epochs go on growing, so that an owner from before stays fenced off.
FORGET = """/* inbox.forget */
WITH marks AS (DELETE FROM inbox WHERE consumer = $1)
UPDATE consumer_position SET next_offset = 0, epoch = epoch + 1 WHERE consumer = $1
"""


class PostgresInbox:
    """`Inbox` in the tables consumer_position and inbox."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def take(
        self, consumer: str, partitions: Collection[Partition]
    ) -> Mapping[Partition, Ownership]:
        wanted = sorted(set(partitions))
        if not wanted:
            return {}
        topics, numbers = [p.topic for p in wanted], [p.number for p in wanted]
        rows = await self._session.write(TAKE, consumer, topics, numbers)
        return {
            Partition(row["topic"], row["number"]): Ownership(row["epoch"], row["next_offset"])
            for row in rows
        }

    async def advance(
        self, consumer: str, moves: Mapping[Partition, Advance]
    ) -> Mapping[Partition, int]:
        if not moves:
            return {}
        rows = await self._session.write(
            ADVANCE,
            consumer,
            [partition.topic for partition in moves],
            [partition.number for partition in moves],
            [move.epoch for move in moves.values()],
            [move.next_offset for move in moves.values()],
        )
        return {Partition(row["topic"], row["number"]): row["next_offset"] for row in rows}

    async def positions(self, consumer: str) -> Mapping[Partition, int]:
        rows = await self._session.read(POSITIONS, consumer)
        return {Partition(row["topic"], row["number"]): row["next_offset"] for row in rows}

    async def seen(self, consumer: str, sources: Collection[str]) -> Mapping[str, int]:
        if not sources:
            return {}
        rows = await self._session.read(SEEN, consumer, list(sources))
        return {row["source"]: row["version"] for row in rows}

    async def mark(self, consumer: str, versions: Mapping[str, int]) -> None:
        if versions:
            sources, numbers = list(versions), list(versions.values())
            await self._session.write(MARK, consumer, sources, numbers)

    async def restart(self, consumer: str, offsets: Mapping[Partition, int]) -> None:
        if offsets:
            topics, numbers = [p.topic for p in offsets], [p.number for p in offsets]
            await self._session.write(RESTART, consumer, topics, numbers, list(offsets.values()))

    async def forget(self, consumer: str) -> None:
        await self._session.write(FORGET, consumer)
