"""Appending to the bus's log: one statement, one transaction, one round trip."""

import asyncio
from collections.abc import Sequence

import asyncpg

from waybill_runtime.adapters.postgres.bus_codec import pack
from waybill_runtime.adapters.postgres.bus_connections import BusDatabase
from waybill_runtime.adapters.postgres.bus_wakes import Wakes
from waybill_runtime.bus import BusUnavailable, Message, partition_of

# The counters' rows are locked in sorted order, so that two sends never wait for each other in a
# circle, and stay locked to the commit: offsets are gapless and in commit order. A topic that
# nobody made has no counter: its messages get no offset, which the column refuses.
_APPEND = """/* bus.append */
WITH sent AS (
    SELECT * FROM unnest($1::text[], $2::int[], $3::bytea[], $4::bytea[], $5::bytea[])
             WITH ORDINALITY AS m(topic, partition, key, headers, value, place)
), counts AS (
    SELECT topic, partition, count(*) AS messages FROM sent GROUP BY topic, partition
), locked AS MATERIALIZED (
    SELECT p.topic, p.partition FROM bus_partition p
      JOIN counts c USING (topic, partition)
     ORDER BY p.topic, p.partition FOR NO KEY UPDATE OF p
), counted AS (
    UPDATE bus_partition p SET next_offset = p.next_offset + c.messages
      FROM locked l JOIN counts c USING (topic, partition)
     WHERE p.topic = l.topic AND p.partition = l.partition
    RETURNING p.topic, p.partition, p.next_offset - c.messages AS first
)
INSERT INTO bus_log (topic, partition, "offset", key, headers, value)
SELECT s.topic, s.partition,
       n.first - 1 + row_number() OVER (PARTITION BY s.topic, s.partition ORDER BY s.place),
       s.key, s.headers, s.value
  FROM sent s LEFT JOIN counted n USING (topic, partition)
"""


class PostgresProducer:
    """Sends; holds nothing between sends, so there is nothing to go stale."""

    def __init__(self, database: BusDatabase, wakes: Wakes) -> None:
        self._database = database
        self._wakes = wakes
        self._closed = False

    async def send(self, messages: Sequence[Message], *, deadline_s: float = 10.0) -> None:
        if self._closed:
            raise BusUnavailable("this producer was closed")
        if not messages:
            return
        columns = (
            [message.topic for message in messages],
            [partition_of(message.key) for message in messages],
            [message.key.encode() for message in messages],
            [pack(message.headers) for message in messages],
            [message.value for message in messages],
        )
        try:
            async with asyncio.timeout(deadline_s), self._database.connection() as connection:
                await connection.execute(_APPEND, *columns)
        except TimeoutError as error:
            raise BusUnavailable("the bus did not answer in time") from error
        except BusUnavailable as error:
            if isinstance(error.__cause__, asyncpg.NotNullViolationError):
                raise BusUnavailable("no such topic: make it with ensure_topics") from error
            raise
        await self._wakes.tell({message.topic for message in messages})

    async def close(self) -> None:
        self._closed = True
