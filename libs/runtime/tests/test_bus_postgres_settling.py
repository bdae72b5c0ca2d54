"""The Postgres bus's group when several members change who owns what at one time."""

import asyncio
from typing import Any

import asyncpg
import pytest

from waybill_runtime.adapters.postgres import bus_schema
from waybill_runtime.adapters.postgres.bus_membership import Membership
from waybill_runtime.testing.postgres import Server

pytestmark = pytest.mark.postgres

MEMBERS = ("b", "c")


async def _until_both_wait(eye: Any) -> None:
    asked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
    )
    async with asyncio.timeout(5):
        while await eye.fetchval(asked) < len(MEMBERS):
            await asyncio.sleep(0.02)


async def test_two_whose_leases_lapsed_come_back_at_one_time_and_neither_fails(
    postgres: Server,
) -> None:
    """As after a database that was away for longer than a lease: each would expel the other.

    A third row, which both expel and somebody holds, stops them where each is a member again and
    has expelled nobody: without the group's lock they then wait for each other's rows.
    """
    dsn = postgres.create_database("bus_settling")
    async with (
        asyncpg.create_pool(dsn, min_size=4, max_size=4) as pool,
        pool.acquire() as holder,
        pool.acquire() as eye,
    ):
        await bus_schema.create_schema(holder)
        await holder.executemany(
            "INSERT INTO bus_member VALUES ('g', $1, '{t}', now() - interval '1 minute')",
            [(name,) for name in ("a", *MEMBERS)],
        )
        held = holder.transaction()
        await held.start()
        await holder.execute("SELECT FROM bus_member WHERE member = 'a' FOR UPDATE")

        async def settle(name: str) -> None:
            async with pool.acquire() as connection:
                await Membership("g", name, ["t"], 60.0).settle(connection, ())

        async with asyncio.TaskGroup() as group:
            for name in MEMBERS:
                group.create_task(settle(name))
            await _until_both_wait(eye)
            await held.rollback()
        left = await eye.fetch("SELECT member FROM bus_member ORDER BY member")
    assert [row["member"] for row in left] == list(MEMBERS)
