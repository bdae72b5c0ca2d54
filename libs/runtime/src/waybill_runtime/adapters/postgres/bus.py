"""The Postgres bus: durable, partitioned, gapless; consumer groups by leases; nothing to install.

It has a database of its own (`bus_schema.create_schema`), so that its load and its locks are not
those of any service.
"""

import asyncio
from collections.abc import Mapping, Sequence

from waybill_runtime.adapters.holdings import Holdings
from waybill_runtime.adapters.postgres import bus_schema
from waybill_runtime.adapters.postgres.bus_connections import BusDatabase
from waybill_runtime.adapters.postgres.bus_consumer import PostgresConsumer, fetch
from waybill_runtime.adapters.postgres.bus_membership import Membership
from waybill_runtime.adapters.postgres.bus_producer import PostgresProducer
from waybill_runtime.adapters.postgres.bus_wakes import Wakes
from waybill_runtime.bus import PARTITIONS, BusUnavailable, Delivery, Listener, Partition
from waybill_runtime.clock import Clock
from waybill_runtime.ids import Ids

_PING_S = 2.0

_MISSING = "SELECT to_regclass('bus_assignment') IS NULL"

_MAKE = """/* bus.make */
INSERT INTO bus_partition (topic, partition)
SELECT topic, number FROM unnest($1::text[]) AS topic, generate_series(0, $2::int - 1) AS number
 ORDER BY topic, number
ON CONFLICT DO NOTHING
"""

_CUT = """/* bus.cut */
DELETE FROM bus_log WHERE topic = $1 AND partition = $2 AND "offset" < $3
"""
_CUT_AT_ONCE = 5_000

_BOUNDS = """/* bus.bounds */
SELECT p.topic, p.partition, p.next_offset, coalesce(
         (SELECT l."offset" FROM bus_log l
           WHERE l.topic = p.topic AND l.partition = p.partition ORDER BY l."offset" LIMIT 1),
         p.next_offset) AS first
  FROM bus_partition p WHERE p.topic = ANY($1::text[])
"""


class PostgresBus:
    """One process's use of the bus: a small pool, and one connection for wake-up calls."""

    def __init__(
        self,
        dsn: str,
        clock: Clock,
        ids: Ids,
        *,
        lease_s: float = 10.0,
        max_connections: int = 6,
        instance: str = "",
    ) -> None:
        """`instance` names this process's place among all that live: its consumers take over at
        once from those of a process that was killed there, one per group.
        """
        self._clock = clock
        self._ids = ids
        self._lease_s = lease_s
        self._instance = instance
        self._database = BusDatabase(dsn, max_connections=max_connections)
        self._wakes = Wakes(dsn, clock)

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        async with self._database.connection() as connection:
            if await connection.fetchval(_MISSING):
                await bus_schema.create_schema(connection)
            await connection.execute(_MAKE, sorted(set(topics)), PARTITIONS)

    async def producer(self) -> PostgresProducer:
        self._check_open()
        return PostgresProducer(self._database, self._wakes)

    async def consumer(
        self, group: str, topics: Sequence[str], listener: Listener
    ) -> PostgresConsumer:
        """A new member, which joins with its first poll."""
        self._check_open()
        return PostgresConsumer(
            self._database,
            self._wakes,
            self._clock,
            membership=Membership(
                group, self._ids.new("mbr"), topics, self._lease_s, instance=self._instance
            ),
            holdings=Holdings(listener),
            topics=topics,
            lease_s=self._lease_s,
        )

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Delivery]:
        async with self._database.connection() as connection:
            return await fetch(connection, {partition: (offset, limit)})

    async def bounds(self, topics: Sequence[str]) -> Mapping[Partition, tuple[int, int]]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_BOUNDS, list(topics))
        return {
            Partition(row["topic"], row["partition"]): (row["first"], row["next_offset"])
            for row in rows
        }

    async def cut(self, firsts: Mapping[Partition, int]) -> None:
        bounds = await self.bounds(sorted({partition.topic for partition in firsts}))
        for partition, first in sorted(firsts.items()):
            at, end = bounds[partition]
            while at < min(first, end):
                at = min(at + _CUT_AT_ONCE, first)
                async with self._database.connection() as connection:
                    await connection.execute(_CUT, *partition, at)

    async def ping(self) -> None:
        try:
            async with asyncio.timeout(_PING_S), self._database.connection() as connection:
                await connection.fetchval("SELECT 1")
        except TimeoutError as error:
            raise BusUnavailable("the bus did not answer in time") from error

    async def close(self) -> None:
        await self._wakes.close()
        await self._database.close()

    def _check_open(self) -> None:
        if self._database.closed:
            raise BusUnavailable("this bus was closed")
