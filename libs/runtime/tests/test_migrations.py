"""A database of an earlier release is brought to head with its rows, while that release works."""

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import timedelta

import asyncpg
import pytest
from alembic import command
from sqlalchemy import Connection

from waybill_runtime.adapters.postgres import migrate, schema
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.clock import SystemClock
from waybill_runtime.stored import Job, StoreUnavailable
from waybill_runtime.testing.postgres import Server
from waybill_runtime.testing.store_harness import claim

pytestmark = pytest.mark.postgres

_number = itertools.count(1)


@pytest.fixture
async def empty(postgres: Server) -> AsyncIterator[str]:
    name = f"migrated_{os.getpid()}_{next(_number)}"
    yield postgres.create_database(name)
    connection = await asyncpg.connect(postgres.dsn())
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


async def _upgrade(dsn: str, revision: str) -> None:
    def to(connection: Connection) -> None:
        settings = migrate._settings()
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)

    async with migrate._connection(dsn) as connection:
        await connection.run_sync(to)


_SCHEDULE = """
INSERT INTO jobs (id, kind, due_at, ready_at, payload, attempts, claim)
SELECT id, kind, due_at, due_at, payload, 0, NULL
  FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::json[])
    AS j (id, kind, due_at, payload)
 ORDER BY id COLLATE "C"
ON CONFLICT (id) DO UPDATE
   SET kind = excluded.kind, due_at = excluded.due_at, ready_at = excluded.ready_at,
       payload = excluded.payload, attempts = 0, claim = NULL
"""
_CLAIM = """
WITH ready AS (
  SELECT id, ready_at AS was_ready_at FROM jobs
   WHERE kind = ANY($1::text[]) AND ready_at <= statement_timestamp()
   ORDER BY ready_at, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
  UPDATE jobs j
     SET ready_at = statement_timestamp() + make_interval(secs => $3),
         attempts = j.attempts + 1, claim = nextval('job_claims')
    FROM ready r WHERE j.id = r.id
  RETURNING j.id, j.kind, j.due_at, j.payload, j.attempts, j.claim, r.was_ready_at
)
SELECT *, statement_timestamp() AS now FROM claimed ORDER BY was_ready_at, id
"""
_PARK = """
INSERT INTO parked (consumer, key, reason, topic, number, "offset", headers, value, parked_at)
SELECT $1, key, reason, 'orders', 0, at, '[]', ''::bytea, now()
  FROM unnest($2::text[], $3::text[], $4::bigint[]) AS p (key, reason, at)
"""
_PARKED = """
SELECT position, consumer, key, reason, topic, number, "offset", headers, value, parked_at
  FROM parked WHERE consumer = $1 ORDER BY position
"""
"""What the release before said to these tables."""


async def test_jobs_and_parked_get_their_tenant_while_the_release_before_is_at_work(
    empty: str,
) -> None:
    await _upgrade(empty, "0001_pre_the_store")
    old = await asyncpg.connect(empty)
    due_at = SystemClock().now() - timedelta(seconds=5)

    async def said(id: str) -> tuple[list[str], list[str]]:
        """The old release writes and reads; its statements are prepared once and kept."""
        await old.execute(_SCHEDULE, [id], ["timer"], [due_at], ["{}"])
        taken = [row["id"] for row in await old.fetch(_CLAIM, ["timer"], 9, 60.0)]
        await old.execute(_PARK, "payment", [id], ["poison"], [1])
        return taken, [row["key"] for row in await old.fetch(_PARKED, "payment")]

    assert await said("before") == (["before"], ["before"])
    await old.execute(_SCHEDULE, ["waiting"], ["sweep"], [due_at], ["{}"])
    await migrate.upgrade(empty)
    assert await said("after") == (["after"], ["before", "after"])
    await old.execute(_SCHEDULE, ["also"], ["sweep"], [due_at], ["{}"])
    await old.close()

    new = await PostgresStore.open(empty, clock=SystemClock())
    await new.ping()
    async with new.transaction() as transaction:
        ours = Job(id="ours", tenant="other", kind="sweep", due_at=due_at)
        await transaction.jobs.schedule([ours])
    tenants = {job.id: job.tenant for job in await claim(new, kind="sweep")}
    assert tenants == {"also": "default", "ours": "other", "waiting": "default"}
    async with new.reading() as reading:
        parked = await reading.parking.parked("payment")
    assert [(one.key, one.tenant) for one in parked] == [
        ("before", "default"),
        ("after", "default"),
    ]
    await new.close()


@pytest.mark.parametrize(
    ("revision", "is_served"),
    [
        ("0002_pre_ours", True),
        ("0003_pre_the_next", True),
        ("0003_post_the_next", False),
        ("0004_pre_further_on", False),
        ("0001_pre_of_before", False),
    ],
)
async def test_a_release_stays_ready_while_the_next_one_is_prepared(
    empty: str, monkeypatch: pytest.MonkeyPatch, revision: str, is_served: bool
) -> None:
    monkeypatch.setattr(schema, "HEAD", "0002_pre_ours")
    await migrate.upgrade(empty)
    connection = await asyncpg.connect(empty)
    await connection.execute("UPDATE alembic_version SET version_num = $1", revision)
    await connection.close()
    old = await PostgresStore.open(empty, clock=SystemClock())
    with nullcontext() if is_served else pytest.raises(StoreUnavailable, match="the schema is at"):
        await old.ping()
    await old.close()
