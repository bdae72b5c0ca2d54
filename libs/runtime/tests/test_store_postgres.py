"""The store on Postgres keeps every promise; its tables are what the migrations make."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Text, pool
from sqlalchemy.ext.asyncio import create_async_engine

from waybill_runtime.adapters.postgres import grants, migrate, schema
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.clock import SystemClock
from waybill_runtime.store import Store
from waybill_runtime.stored import StoreUnavailable
from waybill_runtime.testing.postgres import Server
from waybill_runtime.testing.store_conformance import StoreConformance
from waybill_runtime.testing.store_harness import ORDER, StoreHarness, append, write

pytestmark = pytest.mark.postgres

TEMPLATE = f"store_template_{os.getpid()}"
WORKER = f"store_worker_{os.getpid()}"
_number = itertools.count(1)


@pytest.fixture(scope="module")
async def template(postgres: Server) -> AsyncIterator[str]:
    """A migrated database to copy: far cheaper than migrating one for each case."""
    await _admin(postgres, f"CREATE ROLE {WORKER} LOGIN PASSWORD '{WORKER}'")
    roles = grants.Roles(application=WORKER)
    await migrate.upgrade(postgres.create_database(TEMPLATE), roles)
    yield TEMPLATE
    await _admin(postgres, f"DROP DATABASE {TEMPLATE} WITH (FORCE)")
    await _admin(postgres, f"DROP ROLE {WORKER}")


@pytest.fixture
async def dsn(postgres: Server, template: str) -> AsyncIterator[str]:
    name = f"store_{os.getpid()}_{next(_number)}"
    await _admin(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield postgres.dsn(name)
    await _admin(postgres, f"DROP DATABASE {name} WITH (FORCE)")


async def _admin(postgres: Server, statement: str) -> None:
    connection = await asyncpg.connect(postgres.dsn())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


class PostgresHarness(StoreHarness):
    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._dsn = dsn

    async def make_store(self) -> Store:
        return await PostgresStore.open(self._dsn, clock=SystemClock(), max_connections=6)


class TestPostgresStore(StoreConformance):
    @pytest.fixture
    async def harness(self, dsn: str) -> AsyncIterator[StoreHarness]:
        where = urlsplit(dsn)
        host = where.netloc.rpartition("@")[2]
        # As the role that a service has: whatever the suite does, it is granted.
        worker = where._replace(netloc=f"{WORKER}:{WORKER}@{host}")
        harness = PostgresHarness(urlunsplit(worker))
        yield harness
        await harness.close()


async def test_marks_alone_do_not_wait_for_the_disk(dsn: str) -> None:
    store = await PostgresStore.open(dsn, clock=SystemClock())

    async def asked(pool: "asyncpg.Pool[asyncpg.Record]") -> str:
        async with pool.acquire() as connection:
            return str(await connection.fetchval("SHOW synchronous_commit"))

    assert (await asked(store._pool), await asked(store._marks)) == ("on", "off")
    await store.close()


class Jumping(SystemClock):
    """A machine whose wall clock is set to something else while it runs."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


async def test_the_time_is_the_database_s_whatever_the_machine_s_clock_is_set_to(dsn: str) -> None:
    clock = Jumping()
    clock.ahead = timedelta(days=-3)
    store = await PostgresStore.open(dsn, clock=clock)
    connection = await asyncpg.connect(dsn)
    for ahead in (timedelta(days=-3), timedelta(days=3)):
        clock.ahead = ahead
        await store.ping()
        by_database = await connection.fetchval("SELECT clock_timestamp()")
        assert abs(store.now() - by_database) < timedelta(seconds=30)
    await connection.close()
    await store.close()


@pytest.fixture
async def empty(postgres: Server) -> AsyncIterator[str]:
    name = f"store_empty_{os.getpid()}_{next(_number)}"
    yield postgres.create_database(name)
    await _admin(postgres, f"DROP DATABASE {name} WITH (FORCE)")


async def test_the_revision_that_the_code_needs_is_the_newest() -> None:
    assert migrate.head() == schema.HEAD


async def test_migrators_at_the_same_time_end_at_head(empty: str) -> None:
    assert await migrate.current(empty) is None
    await asyncio.gather(*(migrate.upgrade(empty) for _ in range(4)))
    await migrate.upgrade(empty)
    assert await migrate.current(empty) == migrate.head()


async def test_the_migrations_make_the_tables_that_the_code_knows(dsn: str) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, schema.metadata))

    engine = create_async_engine(
        dsn.replace("postgresql://", "postgresql+asyncpg://"), poolclass=pool.NullPool
    )
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_keys_are_sorted_as_python_sorts_them(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND collation_name = 'C'"
    )
    await connection.close()
    known = {
        (table.name, column.name)
        for table in schema.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Text) and column.type.collation == "C"
    }
    assert {(row["table_name"], row["column_name"]) for row in rows} == known
    assert ("streams", "stream") in known


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET data = '{}'",
        "UPDATE events SET data = '{}' WHERE false",
        "DELETE FROM events",
        "TRUNCATE events",
        "TRUNCATE events CASCADE",
        "SET session_replication_role = replica; DELETE FROM events",
    ],
)
async def test_events_refuse_to_be_changed_even_by_their_owner(dsn: str, statement: str) -> None:
    store = await PostgresStore.open(dsn, clock=SystemClock())
    await append(store, write(ORDER, 0))
    await store.close()
    connection = await asyncpg.connect(dsn)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="events are never changed"):
        await connection.execute(statement)
    assert await connection.fetchval("SELECT data FROM events") == '{"n": 1}'
    await connection.close()


async def test_a_ping_wants_the_schema_at_head(empty: str) -> None:
    store = await PostgresStore.open(empty, clock=SystemClock())
    with pytest.raises(StoreUnavailable, match=schema.HEAD):
        await store.ping()
    await migrate.upgrade(empty)
    await store.ping()
    await store.close()


async def test_a_dsn_with_sslmode_migrates_as_it_serves(empty: str) -> None:
    dsn = f"{empty}?sslmode=prefer"
    await migrate.upgrade(dsn)
    store = await PostgresStore.open(dsn, clock=SystemClock())
    await store.ping()
    await store.close()


async def test_a_store_opens_without_its_database_and_says_so_when_asked() -> None:
    store = await PostgresStore.open("postgresql://nobody@127.0.0.1:1/nothing", clock=SystemClock())
    with pytest.raises(StoreUnavailable):
        await store.ping()
    with pytest.raises(StoreUnavailable):
        await append(store, write(ORDER, 0))
    await store.close()
