"""Keys that wait for a person, with all their later events behind them."""

import base64
import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from waybill_runtime.adapters.postgres import reads, schema
from waybill_runtime.bus import Partition
from waybill_runtime.stored import Backlog, Parked

if TYPE_CHECKING:
    from waybill_runtime.adapters.postgres.session import Row, Session

PARK = """/* parking.park */
INSERT INTO parked
       (consumer, tenant, key, reason, topic, number, "offset", headers, value, parked_at)
SELECT $1, tenant, key, reason, topic, number, at, headers, value, parked_at
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bigint[], $8::json[],
              $9::bytea[], $10::timestamptz[]) WITH ORDINALITY
    AS p (tenant, key, reason, topic, number, at, headers, value, parked_at, place)
 ORDER BY place
"""

UNPARK = """/* parking.unpark */
DELETE FROM parked WHERE consumer = $1 AND position = ANY($2::bigint[])
"""

_table = schema.parked
_of_consumer = _table.c.consumer == sa.bindparam("consumer", type_=sa.Text)

KEYS = reads.compiled(
    "parking.parked_keys",
    sa.select(_table.c.key)
    .distinct()
    .where(_of_consumer, _table.c.key == sa.any_(reads.texts("keys"))),
)
LIST = reads.compiled(
    "parking.parked",
    sa.select(_table)
    .where(_of_consumer, _table.c.position > sa.bindparam("after", type_=sa.BigInteger))
    .order_by(_table.c.position)
    .limit(sa.bindparam("count", type_=sa.BigInteger)),
)
LIST_OF_KEY = reads.compiled(
    "parking.parked of a key",
    sa.select(_table)
    .where(
        _of_consumer,
        _table.c.key == sa.bindparam("key", type_=sa.Text),
        _table.c.position > sa.bindparam("after", type_=sa.BigInteger),
    )
    .order_by(_table.c.position)
    .limit(sa.bindparam("count", type_=sa.BigInteger)),
)
BACKLOG = """/* parking.parked_backlog */
SELECT count(*) AS count,
       extract(epoch FROM statement_timestamp() - min(parked_at))::float8 AS oldest_s
  FROM parked WHERE consumer = $1
"""


class PostgresParking:
    """`Parking` in the table parked."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def parked_keys(self, consumer: str, keys: Collection[str]) -> Collection[str]:
        if not keys:
            return set()
        rows = await KEYS.read(self._session, consumer=consumer, keys=list(keys))
        return {row["key"] for row in rows}

    async def park(self, consumer: str, deliveries: Sequence[Parked]) -> None:
        if not deliveries:
            return
        await self._session.write(
            PARK,
            consumer,
            [parked.tenant for parked in deliveries],
            [parked.key for parked in deliveries],
            [parked.reason for parked in deliveries],
            [parked.partition.topic for parked in deliveries],
            [parked.partition.number for parked in deliveries],
            [parked.offset for parked in deliveries],
            [_headers_text(parked.headers) for parked in deliveries],
            [parked.value for parked in deliveries],
            [parked.parked_at for parked in deliveries],
        )

    async def parked(
        self, consumer: str, *, key: str | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[Parked]:
        if key is None:
            rows = await LIST.read(self._session, consumer=consumer, after=after, count=limit)
        else:
            rows = await LIST_OF_KEY.read(
                self._session, consumer=consumer, key=key, after=after, count=limit
            )
        return [_parked(row) for row in rows]

    async def unpark(self, consumer: str, positions: Collection[int]) -> None:
        if positions:
            await self._session.write(UNPARK, consumer, list(positions))

    async def parked_backlog(self, consumer: str) -> Backlog:
        (row,) = await self._session.read(BACKLOG, consumer)
        return Backlog(row["count"], max(0.0, row["oldest_s"] or 0.0))


def _headers_text(headers: Sequence[tuple[str, bytes]]) -> str:
    """Base 64, because the headers of a poison message may be anything."""
    return json.dumps([[name, base64.b64encode(raw).decode()] for name, raw in headers])


def _parked(row: "Row") -> Parked:
    return Parked(
        position=row["position"],
        tenant=row["tenant"],
        key=row["key"],
        reason=row["reason"],
        partition=Partition(row["topic"], row["number"]),
        offset=row["offset"],
        headers=tuple((name, base64.b64decode(raw)) for name, raw in json.loads(row["headers"])),
        value=row["value"],
        parked_at=row["parked_at"],
    )
