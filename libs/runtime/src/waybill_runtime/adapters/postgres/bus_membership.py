"""Membership of a group: a lease on the database's clock, and a fair share of the partitions.

Every member works out the same shares from the same members. Who has too much gives it up after
its batch; who has too little takes what is free; who let his lease lapse is expelled by whoever
notices, his partitions with him.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from waybill_runtime.adapters.holdings import deal
from waybill_runtime.bus import Partition

if TYPE_CHECKING:
    from waybill_runtime.adapters.postgres.bus_connections import Connection

_BEAT = """/* bus.beat */
WITH beat AS (
    UPDATE bus_member SET lease_until = clock_timestamp() + $3
     WHERE grp = $1 AND member = $2 RETURNING member
)
SELECT m.member, m.topics,
       m.member <> $2 AND m.lease_until < clock_timestamp() AS lapsed,
       EXISTS (SELECT FROM beat) AS known
  FROM bus_member m WHERE m.grp = $1
"""

_LOOK = """/* bus.look */
SELECT a.topic, a.partition, a.claim, p.next_offset
  FROM bus_assignment a JOIN bus_partition p USING (topic, partition)
 WHERE a.grp = $1 AND a.member = $2
"""

# The first row tells whose numbers `look` would answer, the others where there is more to read, or
# less than was there. A claim's number is drawn anew for each time of ownership, so other claims
# have another sum.
_MORE = """/* bus.more */
WITH held AS MATERIALIZED (
    SELECT topic, partition, claim FROM bus_assignment WHERE grp = $1 AND member = $2
)
SELECT NULL AS topic, count(*)::int AS partition, coalesce(sum(claim), 0)::bigint AS number
  FROM held
UNION ALL
SELECT p.topic, p.partition, p.next_offset
  FROM unnest($3::text[], $4::int[], $5::bigint[]) AS k(topic, partition, position)
  JOIN bus_partition p USING (topic, partition)
 WHERE p.next_offset <> k.position
"""

# One member of a group at a time changes who owns what. No partition would have two owners without
# it, its key sees to that; but two members who come back to lapsed leases at one time would each
# hold its own row and wait for the other's, to expel it: a deadlock, and a second gone.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('waybill bus group ' || $1, 0))"

_JOIN = """/* bus.join */
INSERT INTO bus_member (grp, member, topics, lease_until)
VALUES ($1, $2, $3, clock_timestamp() + $4)
ON CONFLICT (grp, member) DO UPDATE SET lease_until = excluded.lease_until
"""

# Kafka's static membership (KIP-345): who starts in the place of one that was killed need not wait
# for its lease to lapse.
_SUCCEED = """/* bus.succeed */
DELETE FROM bus_member WHERE grp = $1 AND member <> $2 AND starts_with(member, $3)
"""

_EXPEL = "DELETE FROM bus_member WHERE grp = $1 AND lease_until < clock_timestamp()"

_RELEASE = """/* bus.release */
DELETE FROM bus_assignment a USING unnest($3::text[], $4::int[]) AS r(topic, partition)
 WHERE a.grp = $1 AND a.member = $2 AND a.topic = r.topic AND a.partition = r.partition
"""

_MEMBERS = "SELECT member, topics FROM bus_member WHERE grp = $1"

_CLAIM = """/* bus.claim */
INSERT INTO bus_assignment (grp, topic, partition, member)
SELECT $1, p.topic, p.partition, $2
  FROM bus_partition p JOIN unnest($3::text[], $4::int[]) AS c(topic, partition)
       USING (topic, partition)
 WHERE NOT EXISTS (SELECT FROM bus_assignment a
                    WHERE a.grp = $1 AND a.topic = p.topic AND a.partition = p.partition)
ON CONFLICT (grp, topic, partition) DO NOTHING
"""

_LEAVE = "DELETE FROM bus_member WHERE grp = $1 AND member = $2"

_COMMIT = """/* bus.commit */
UPDATE bus_assignment a SET committed = o.next_offset
  FROM unnest($3::text[], $4::int[], $5::bigint[]) AS o(topic, partition, next_offset)
 WHERE a.grp = $1 AND a.member = $2 AND a.topic = o.topic AND a.partition = o.partition
"""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat found: the share that is due to us, and whether anything must change."""

    share: frozenset[Partition]
    known: bool
    lapsed: bool


class Membership:
    """One member's rows, each method one round trip or one short transaction."""

    def __init__(
        self, group: str, member: str, topics: Sequence[str], lease_s: float, *, instance: str = ""
    ) -> None:
        """`instance`: the place that this member has and one before it may have had; none if empty.

        No two processes that live at one time may have the same.
        """
        self.group = group
        self._place = f"{instance}/" if instance else ""
        self._succeeds = bool(instance)
        self.member = self._place + member
        self._topics = list(topics)
        self._lease = timedelta(seconds=lease_s)

    async def beat(self, connection: "Connection") -> Beat:
        """Extend the lease and see who else is there."""
        rows = await connection.fetch(_BEAT, self.group, self.member, self._lease)
        known = bool(rows) and rows[0]["known"]
        members = {row["member"]: row["topics"] for row in rows}
        return Beat(
            share=self._share(members) if known else frozenset(),
            known=known,
            lapsed=any(row["lapsed"] for row in rows),
        )

    async def look(
        self, connection: "Connection"
    ) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """What is ours, with its claims, and how far each of them reaches."""
        rows = await connection.fetch(_LOOK, self.group, self.member)
        places = [(Partition(row["topic"], row["partition"]), row) for row in rows]
        return (
            {partition: row["claim"] for partition, row in places},
            {partition: row["next_offset"] for partition, row in places},
        )

    async def more(
        self,
        connection: "Connection",
        claims: Mapping[Partition, int],
        positions: Mapping[Partition, int],
    ) -> dict[Partition, int] | None:
        """How far those reach that do not end at our positions; None when other claims are ours."""
        places = list(positions)
        told, *rows = await connection.fetch(
            _MORE, self.group, self.member, *_columns(places), list(positions.values())
        )
        if (told["partition"], told["number"]) != (len(claims), sum(claims.values())):
            return None
        return {Partition(row["topic"], row["partition"]): row["number"] for row in rows}

    async def settle(self, connection: "Connection", release: Collection[Partition]) -> None:
        """Be a member, expel the lapsed, release these, and claim what is due and free."""
        async with connection.transaction():
            await connection.execute(_LOCK, self.group)
            if self._succeeds:
                await connection.execute(_SUCCEED, self.group, self.member, self._place)
            await connection.execute(_JOIN, self.group, self.member, self._topics, self._lease)
            await connection.execute(_EXPEL, self.group)
            if release:
                await connection.execute(
                    _RELEASE, self.group, self.member, *_columns(sorted(release))
                )
            rows = await connection.fetch(_MEMBERS, self.group)
            share = self._share({row["member"]: row["topics"] for row in rows})
            await connection.execute(_CLAIM, self.group, self.member, *_columns(sorted(share)))
        # Once: two of one place, against the promise, must not expel each other for ever.
        self._succeeds = False

    async def leave(self, connection: "Connection") -> None:
        await connection.execute(_LEAVE, self.group, self.member)

    async def commit(self, connection: "Connection", offsets: Mapping[Partition, int]) -> None:
        places = sorted(offsets)
        await connection.execute(
            _COMMIT, self.group, self.member, *_columns(places), [offsets[p] for p in places]
        )

    def _share(self, members: Mapping[str, Collection[str]]) -> frozenset[Partition]:
        dealt = deal(members)
        return frozenset(partition for partition, owner in dealt.items() if owner == self.member)


def _columns(partitions: Sequence[Partition]) -> tuple[list[str], list[int]]:
    return [p.topic for p in partitions], [p.number for p in partitions]
