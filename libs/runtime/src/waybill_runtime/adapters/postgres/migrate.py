"""Bring a service's database to the schema that this code needs.

May be called by any number of processes at once: one migrates, the others wait and find it done.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
from alembic import command, config, script
from alembic.runtime import migration
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from waybill_runtime.adapters.postgres import grants

_HISTORY = Path(__file__).parent / "migrations"
_LOCK = 7_829_402_117_306_652
"""Key of the advisory lock that migrators of one database share."""

_WAIT_S = 60
_CONNECT_S = 5


NOBODY = grants.Roles()


async def upgrade(dsn: str, roles: grants.Roles = NOBODY) -> None:
    """Run every migration that is missing and let `roles` in, all in one transaction.

    `dsn` is the owner's. Nothing to do is fine. Waits at most a minute for another migrator.
    Raises what the database raised; then nothing was changed.
    """
    async with _connection(dsn) as connection:
        await connection.execute(text(f"SET LOCAL lock_timeout = '{_WAIT_S}s'"))
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        await connection.run_sync(_upgrade)
        await _let_in(connection, roles)


async def current(dsn: str) -> str | None:
    """The revision that the database is at; None for an empty one."""
    async with _connection(dsn) as connection:
        return await connection.run_sync(
            lambda sync: migration.MigrationContext.configure(sync).get_current_revision()
        )


def head() -> str:
    """The newest revision there is."""
    newest = script.ScriptDirectory.from_config(_settings()).get_current_head()
    if newest is None:
        raise RuntimeError(f"no migrations in {_HISTORY}")
    return newest


async def _let_in(connection: sqlalchemy_asyncio.AsyncConnection, roles: grants.Roles) -> None:
    """Grant; an application that is the owner itself is left with all that an owner may."""
    asked = await connection.execute(text("SELECT current_database(), current_user"))
    database, owner = asked.one()
    if roles.application == owner:
        return
    for statement in grants.statements(grants.STORE, database, roles, unseen=grants.UNSEEN):
        await connection.exec_driver_sql(statement)


def _upgrade(connection: Connection) -> None:
    settings = _settings()
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")


def _settings() -> config.Config:
    settings = config.Config()
    settings.set_main_option("script_location", str(_HISTORY).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    return settings


@contextlib.asynccontextmanager
async def _connection(dsn: str) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """One connection in one transaction, committed on leaving.

    asyncpg reads the DSN itself, as the store's does: SQLAlchemy would not know `sslmode`.
    """
    engine = sqlalchemy_asyncio.create_async_engine(
        "postgresql+asyncpg://",
        poolclass=pool.NullPool,
        async_creator=lambda: asyncpg.connect(dsn, timeout=_CONNECT_S),
    )
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()
