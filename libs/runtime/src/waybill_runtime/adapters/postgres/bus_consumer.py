"""Reading the bus's log as a member of a group.

Two small queries a poll when there is something to read, one when there is not.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from waybill_runtime.adapters.holdings import Holdings
from waybill_runtime.adapters.postgres.bus_codec import Unreadable, unpack
from waybill_runtime.adapters.postgres.bus_connections import CLOSE_S, BusDatabase
from waybill_runtime.adapters.postgres.bus_membership import Membership
from waybill_runtime.adapters.postgres.bus_wakes import Wakes
from waybill_runtime.bus import BusUnavailable, Delivery, Message, Partition
from waybill_runtime.clock import Clock

if TYPE_CHECKING:
    from waybill_runtime.adapters.postgres.bus_connections import Connection, Row

log = structlog.get_logger(__name__)

_LOOK_AGAIN_S = 0.5

_FETCH = """/* bus.fetch */
SELECT l.topic, l.partition, l."offset", l.key, l.headers, l.value
  FROM unnest($1::text[], $2::int[], $3::bigint[], $4::int[]) AS w(topic, partition, start, count)
 CROSS JOIN LATERAL (
    SELECT b.topic, b.partition, b."offset", b.key, b.headers, b.value FROM bus_log b
     WHERE b.topic = w.topic AND b.partition = w.partition AND b."offset" >= w.start
     ORDER BY b."offset" LIMIT w.count
 ) l
 ORDER BY l.topic, l.partition, l."offset"
"""


class PostgresConsumer:
    """A member that is alive as long as it polls more often than its lease is long."""

    def __init__(
        self,
        database: BusDatabase,
        wakes: Wakes,
        clock: Clock,
        *,
        membership: Membership,
        holdings: Holdings,
        topics: Sequence[str],
        lease_s: float,
    ) -> None:
        self._database = database
        self._wakes = wakes
        self._clock = clock
        self._membership = membership
        self._holdings = holdings
        self._group_call = f"group {membership.group}"
        self._watch = wakes.watch([*topics, self._group_call])
        self._beat_every_s = lease_s / 4
        self._beat_due_s = 0.0
        self._owned: dict[Partition, int] = {}
        self._turn = 0
        self._closed = False

    async def poll(self, *, max_messages: int, timeout_s: float) -> Sequence[Delivery]:
        until_s = self._clock.monotonic_s() + timeout_s
        while True:
            if self._closed:
                raise BusUnavailable("this consumer was closed")
            if self._group_call in self._watch.take():
                self._beat_due_s = 0.0
            await self._keep_membership()
            ends = await self._look()
            self._holdings.raise_truncated()
            if batch := await self._fetch(ends, max_messages):
                return batch
            now_s = self._clock.monotonic_s()
            if now_s >= until_s:
                return ()
            await self._wakes.listen()
            next_s = min(until_s, now_s + _LOOK_AGAIN_S, self._beat_due_s)
            await self._watch.wait(max(0.0, next_s - now_s))

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        try:
            async with self._database.connection() as connection:
                await self._membership.commit(connection, offsets)
        except BusUnavailable as error:
            log.debug("bus.commit_failed", group=self._membership.group, error=str(error))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._wakes.unwatch(self._watch)
        try:
            async with asyncio.timeout(CLOSE_S):
                async with self._database.connection() as connection:
                    await self._membership.leave(connection)
                await self._wakes.tell([self._group_call])
        except (BusUnavailable, TimeoutError) as error:
            log.debug("bus.leave_failed", group=self._membership.group, error=str(error))

    async def _keep_membership(self) -> None:
        """Beat when it is due; change who owns what only when something must change."""
        if self._clock.monotonic_s() < self._beat_due_s:
            return
        async with self._database.connection() as connection:
            beat = await self._membership.beat(connection)
        excess = [p for p in self._owned if p not in beat.share] if beat.known else []
        missing = beat.share - self._owned.keys()
        if not beat.known or beat.lapsed or excess or missing:
            if held := [partition for partition in excess if partition in self._holdings.claims]:
                await self._holdings.give_up(held)
            async with self._database.connection() as connection:
                await self._membership.settle(connection, excess)
            if excess or not beat.known or beat.lapsed:
                await self._wakes.tell([self._group_call])
        self._beat_due_s = self._clock.monotonic_s() + self._beat_every_s

    async def _look(self) -> dict[Partition, int]:
        """See where there is more; when other partitions are ours, tell the listener, look again.

        A listener may take longer than the lease, so what it was told may have changed since.
        """
        while True:
            async with self._database.connection() as connection:
                more = await self._membership.more(
                    connection, self._holdings.claims, self._holdings.positions
                )
                if more is not None:
                    self._owned = dict(self._holdings.claims)
                    self._halt_what_was_cut(more)
                    return more
                self._owned, ends = await self._membership.look(connection)
            await self._holdings.reconcile(self._owned, ends)

    def _halt_what_was_cut(self, ends: Mapping[Partition, int]) -> None:
        """Stop where the bus ends before what we have read: it was set back while we read."""
        positions = dict(self._holdings.positions)
        for partition, end in ends.items():
            if end < positions[partition]:
                self._holdings.halt(partition, positions[partition], end)

    async def _fetch(self, ends: Mapping[Partition, int], max_messages: int) -> list[Delivery]:
        self._turn += 1
        positions = self._holdings.positions
        shares = self._holdings.shares(ends, max_messages, self._turn)
        if not shares:
            return []
        async with self._database.connection() as connection:
            found = await fetch(connection, {p: (positions[p], n) for p, n in shares.items()})
        expected = dict(positions)
        batch: list[Delivery] = []
        for delivery in found:
            partition = delivery.partition
            if delivery.offset == expected[partition]:
                expected[partition] += 1
                batch.append(delivery)
            elif partition in self._holdings.positions:
                self._holdings.halt(partition, expected[partition], ends[partition])
        self._holdings.advance([d for d in batch if d.partition in self._holdings.positions])
        return batch


async def fetch(
    connection: "Connection", wanted: Mapping[Partition, tuple[int, int]]
) -> list[Delivery]:
    """Some messages of each partition, from an offset on, in order."""
    places = sorted(wanted)
    rows = await connection.fetch(
        _FETCH,
        [partition.topic for partition in places],
        [partition.number for partition in places],
        [wanted[partition][0] for partition in places],
        [wanted[partition][1] for partition in places],
    )
    return [_delivery(row) for row in rows]


def _delivery(row: "Row") -> Delivery:
    """A row as the port hands it out: bare where its headers cannot be read, so no event of ours.

    It stays in the log, to be looked at where it is; whoever reads on comes past it.
    """
    partition, offset = Partition(row["topic"], row["partition"]), row["offset"]
    try:
        headers = unpack(row["headers"])
    except Unreadable as error:
        log.error(  # noqa: TRY400 - said once, no trace
            "bus.record_undecodable",
            topic=partition.topic,
            partition=partition.number,
            offset=offset,
            error=str(error),
        )
        headers = ()
    key = row["key"].decode(errors="replace")
    return Delivery(Message(partition.topic, key, row["value"], headers), partition, offset)
