"""The bus's own database: its tables, and how they come to be there.

Offsets are taken from `bus_partition`, whose row stays locked until the commit: they are gapless
and in commit order, and a rollback gives them back.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

    from waybill_runtime.adapters.postgres.bus_connections import Connection, Row

SCHEMA = """
CREATE TABLE IF NOT EXISTS bus_partition (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0 CHECK (next_offset >= 0),
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS bus_log (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea NOT NULL,
    headers bytea NOT NULL,
    value bytea NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, "offset")
);

CREATE TABLE IF NOT EXISTS bus_member (
    grp text NOT NULL,
    member text NOT NULL,
    topics text[] NOT NULL,
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (grp, member)
);

CREATE TABLE IF NOT EXISTS bus_assignment (
    grp text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    member text NOT NULL,
    claim bigint GENERATED ALWAYS AS IDENTITY,
    committed bigint,
    PRIMARY KEY (grp, topic, partition),
    FOREIGN KEY (grp, member) REFERENCES bus_member (grp, member) ON DELETE CASCADE
);

CREATE INDEX IF NOT EXISTS bus_assignment_member ON bus_assignment (grp, member);
"""
"""Key and headers are bytes: a text column cannot hold NUL, and any byte may come from outside."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('waybill bus schema', 0))"


async def create_schema(connection: "asyncpg.Connection[Row] | Connection") -> None:
    """Make what is missing; may be called again, and by many at once."""
    async with connection.transaction():
        # CREATE ... IF NOT EXISTS races with itself: two at once can both find nothing.
        await connection.execute(_LOCK)
        await connection.execute(SCHEMA)
