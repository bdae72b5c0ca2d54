"""The bus's own database: its tables, and how they come to be there.

Offsets are taken from `bus_partition`, whose row stays locked until the commit: they are gapless
and in commit order, and a rollback gives them back.
"""

from typing import TYPE_CHECKING

from waybill_runtime.adapters.postgres import connections, grants

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


_NOBODY = grants.Roles()


async def create_schema(
    connection: "asyncpg.Connection[Row] | Connection", roles: grants.Roles = _NOBODY
) -> None:
    """Make what is missing and let `roles` in; may be called again, and by many at once."""
    async with connection.transaction():
        # CREATE ... IF NOT EXISTS races with itself: two at once can both find nothing.
        await connection.execute(_LOCK)
        await connection.execute(SCHEMA)
        database = await connection.fetchval("SELECT current_database()")
        for statement in grants.statements(grants.BUS, database, roles):
            await connection.execute(statement)


async def prepare(dsn: str, roles: grants.Roles) -> None:
    """The same with the owner's `postgresql://` way in. Raises what the database raised."""
    connection = await connections.dedicated(dsn, name="waybill bus schema")
    try:
        await create_schema(connection, roles)
    finally:
        await connection.close()
