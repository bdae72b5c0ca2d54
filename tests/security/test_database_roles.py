"""S17: a role per service on the real embedded Postgres, and nobody who changes what happened."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from waybill import home as homes
from waybill import plan, preparing, programs, stores
from waybill.embedded import server
from waybill.embedded.postgres import EmbeddedPostgres
from waybill_runtime.adapters.postgres import grants, migrate, schema
from waybill_runtime.adapters.postgres.bus import PostgresBus
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.bus import Message, Partition
from waybill_runtime.clock import SystemClock
from waybill_runtime.ids import RandomIds
from waybill_runtime.stored import StoreUnavailable
from waybill_runtime.testing.store_harness import ORDER, append, write

pytestmark = pytest.mark.postgres

SERVICES = programs.SERVICES
DATABASES = (*SERVICES, "bus")
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
MAY: Mapping[str, str] = {
    "events": "SELECT, INSERT",
    "streams": "SELECT, INSERT, UPDATE",
    "outbox": "SELECT, INSERT, DELETE",
    "consumer_position": "SELECT, INSERT, UPDATE",
    "inbox": "SELECT, INSERT, UPDATE, DELETE",
    "parked": "SELECT, INSERT, DELETE",
    "jobs": "SELECT, INSERT, UPDATE, DELETE",
    "document": "SELECT, INSERT, UPDATE, DELETE",
    "document_attribute": "SELECT, INSERT, DELETE",
    "view_generation": "SELECT, INSERT, UPDATE",
    "answers": "SELECT, INSERT, UPDATE",
    "numbers": "SELECT, INSERT, UPDATE",
    "alembic_version": "SELECT",
}
"""By hand, and never from what is granted: a grant too many is to be seen here."""
MAY_ON_THE_BUS: Mapping[str, str] = {
    "bus_log": "SELECT, INSERT",
    "bus_partition": "SELECT, INSERT, UPDATE",
    "bus_member": "SELECT, INSERT, UPDATE, DELETE",
    "bus_assignment": "SELECT, INSERT, UPDATE, DELETE",
}
UNSEEN = {"document", "document_attribute", "answers"}
MUTATIONS = (
    "UPDATE events SET data = '{}'",
    "UPDATE events SET data = '{}' WHERE false",
    "DELETE FROM events",
    "DELETE FROM events WHERE false",
    "TRUNCATE events",
    "TRUNCATE events CASCADE",
    "MERGE INTO events USING (SELECT 1) ON false WHEN MATCHED THEN DELETE",
)
WAYS_AROUND = (
    "DROP TABLE events",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "ALTER TABLE events OWNER TO CURRENT_USER",
    "DROP TRIGGER events_are_immutable ON events",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE TRIGGER mine BEFORE INSERT ON events EXECUTE FUNCTION refuse_change()",
    "CREATE RULE mine AS ON INSERT TO events DO INSTEAD NOTHING",
    "CREATE TABLE mine (id int)",
    "CREATE TEMP TABLE mine (id int)",
    "SET session_replication_role = replica",
    "SET ROLE capture_owner",
    "SET SESSION AUTHORIZATION waybill",
    "CREATE ROLE mine SUPERUSER",
    "SELECT pg_read_file('postgresql.conf')",
    "COPY events TO PROGRAM 'true'",
    "SELECT rolpassword FROM pg_authid",
)


class Made:
    """A server with all databases as `waybill up` makes them."""

    def __init__(self, postgres: EmbeddedPostgres, home: homes.Home) -> None:
        self.postgres = postgres
        self._home = home
        self.dsns: dict[str, str] = {}
        self.plan: plan.Plan

    def prepare(self) -> None:
        secrets = programs.Secrets(self._home)
        self.dsns = stores.create_databases(stores.Stores(self.postgres, ""), secrets)
        chosen = programs.Chosen(bus="postgres", warehouse="none", databases=self.dsns)
        self.plan = programs.Shop(chosen, secrets, {}, "").needs()
        asyncio.run(preparing.prepare(self.plan))
        password = secrets.get(f"database:{programs.READER}")
        for name in DATABASES:
            self.dsns[f"reader:{name}"] = server.into(
                self.postgres.dsn(), name, user=programs.READER, password=password
            )

    def superuser(self, database: str) -> str:
        return self.postgres.dsn(database)


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    folder = Path(tempfile.mkdtemp(prefix="waybill-roles-"))
    folder.chmod(0o711)
    postgres = EmbeddedPostgres(folder)
    try:
        postgres.start()
        found = Made(postgres, homes.Home(folder))
        found.prepare()
        yield found
    finally:
        postgres.stop("immediate")
        postgres.drop()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def entered(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        yield connection
    finally:
        await connection.close()


async def record(dsn: str) -> None:
    """One event, as a service writes it."""
    store = await PostgresStore.open(dsn, clock=SystemClock(), max_connections=2)
    try:
        await append(store, write(ORDER, 0))
    finally:
        await store.close()


@pytest.mark.parametrize("service", DATABASES)
async def test_a_role_enters_its_own_database_and_no_other(made: Made, service: str) -> None:
    for database in (*DATABASES, "postgres"):
        dsn = server.into(made.dsns[service], database)
        if database == service:
            async with entered(dsn) as connection:
                assert await connection.fetchval("SELECT current_user") == service
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                await asyncpg.connect(dsn, timeout=5)


@pytest.mark.parametrize("database", DATABASES)
async def test_a_service_may_do_with_each_table_what_is_granted_and_nothing_else(
    made: Made, database: str
) -> None:
    expected = MAY_ON_THE_BUS if database == "bus" else MAY
    async with entered(made.superuser(database)) as connection:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname='public'")
        assert {row["tablename"] for row in rows} == expected.keys()
        for table, granted in expected.items():
            may = [
                verb
                for verb in VERBS
                if await connection.fetchval(
                    "SELECT has_table_privilege($1, $2, $3)", database, table, verb
                )
            ]
            assert ", ".join(may) == granted, table
    assert {*schema.metadata.tables, "alembic_version"} == MAY.keys()


async def test_a_service_appends_events_and_is_denied_everything_else_with_them(made: Made) -> None:
    await record(made.dsns["inventory"])
    async with entered(made.dsns["inventory"]) as connection:
        for statement in (*MUTATIONS, *WAYS_AROUND):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        assert await connection.fetchval("SELECT data FROM events") == '{"n": 1}'


async def test_the_owner_migrates_and_changes_no_event_either(made: Made) -> None:
    await record(made.dsns["payment"])
    async with entered(made.dsns["payment_owner"]) as connection:
        for statement in MUTATIONS:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
                await connection.execute(statement)
        assert await connection.fetchval("SELECT data FROM events") == '{"n": 1}'


@pytest.mark.parametrize("service", SERVICES)
async def test_a_reader_looks_at_the_log_and_sees_no_vault(made: Made, service: str) -> None:
    async with entered(made.dsns[f"reader:{service}"]) as connection:
        for table in MAY:
            look = f'TABLE "{table}" LIMIT 1'
            if table in UNSEEN:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(look)
            else:
                await connection.execute(look)
            for change in ("DELETE FROM {}", "INSERT INTO {} DEFAULT VALUES", "TRUNCATE {}"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(change.format(table))


class Begun:
    """A listener that begins where each partition begins."""

    async def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return dict.fromkeys(partitions, 0)

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        return None


async def carried(dsn: str, group: str) -> list[bytes]:
    """What a member of a group is given that joins, takes, commits and leaves."""
    clock = SystemClock()
    bus = PostgresBus(dsn, clock, RandomIds(clock))
    try:
        await bus.ensure_topics(["orders"])
        await bus.ping()
        producer = await bus.producer()
        await producer.send([Message("orders", "k", b"said", (("id", b"1"),))])
        await producer.close()
        consumer = await bus.consumer(group, ["orders"], Begun())
        taken: list[bytes] = []
        async with asyncio.timeout(20):
            while not taken:
                for delivery in await consumer.poll(max_messages=10, timeout_s=1):
                    taken.append(delivery.message.value)
                    await consumer.commit({delivery.partition: delivery.offset + 1})
        await consumer.close()
        return taken
    finally:
        await bus.close()


async def test_the_bus_carries_messages_that_nobody_who_uses_it_can_change(made: Made) -> None:
    assert set(await carried(made.dsns["bus"], "payment")) == {b"said"}
    assert set(await carried(made.dsns["bus"], "payment")) == {b"said"}
    async with entered(made.dsns["bus"]) as connection:
        for change in ("UPDATE bus_log SET value = ''", "DELETE FROM bus_log", "TRUNCATE bus_log"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(change)


async def test_passwords_are_kept_and_asked_for_as_scram(made: Made) -> None:
    async with entered(made.superuser("postgres")) as connection:
        kept = await connection.fetch(
            "SELECT rolname, rolpassword FROM pg_authid WHERE rolcanlogin"
        )
        ways = await connection.fetch("SELECT auth_method FROM pg_hba_file_rules")
        much = await connection.fetch(
            "SELECT rolname FROM pg_roles WHERE rolcanlogin AND (rolsuper OR rolcreaterole OR"
            " rolcreatedb OR rolreplication OR rolbypassrls)"
        )
    owners = {programs.owner(name) for name in DATABASES}
    assert {row["rolname"] for row in kept} == {*DATABASES, *owners, programs.READER, "waybill"}
    assert all(row["rolpassword"].startswith("SCRAM-SHA-256$") for row in kept)
    assert {row["auth_method"] for row in ways} == {"scram-sha-256"}
    assert [row["rolname"] for row in much] == ["waybill"]
    wrong = server.into(made.dsns["capture"], "capture", user="capture", password="guessed")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong, timeout=5)


async def test_a_role_that_lost_its_grants_is_a_store_that_is_away(made: Made) -> None:
    """Never an answer made up: what may not be read is not there."""
    async with entered(made.superuser("tracking")) as connection:
        await connection.execute("REVOKE SELECT ON alembic_version FROM tracking")
    store = await PostgresStore.open(made.dsns["tracking"], clock=SystemClock(), max_connections=2)
    try:
        with pytest.raises((StoreUnavailable, asyncpg.InsufficientPrivilegeError)):
            await store.ping()
        await asyncio.to_thread(made.prepare)
        await store.ping()
    finally:
        await store.close()


async def test_a_database_of_an_earlier_release_is_handed_to_its_owner(made: Made) -> None:
    """Before there were owners, a service's role owned its database and all in it."""
    roles = {"early": "a", "early_owner": "b"}
    superuser = made.superuser("postgres")
    await asyncio.to_thread(server.create_database, superuser, "early", owner="early", password="a")
    dsn = server.into(superuser, "early", user="early", password="a")
    await migrate.upgrade(dsn, grants.Roles(application="early"))
    await record(dsn)
    for _ in range(2):
        await asyncio.to_thread(
            server.provide, superuser, roles=roles, owners={"early": "early_owner"}
        )
        owner = server.into(superuser, "early", user="early_owner", password="b")
        await migrate.upgrade(owner, grants.Roles(application="early"))
    async with entered(dsn) as connection:
        assert await connection.fetchval("SELECT data FROM events") == '{"n": 1}'
        for statement in (*MUTATIONS, "ALTER TABLE events DISABLE TRIGGER ALL"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
