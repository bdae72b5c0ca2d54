"""A database that another one takes the place of, under a process at work."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from waybill_runtime.adapters.postgres import migrate
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.clock import SystemClock
from waybill_runtime.stored import StoreUnavailable
from waybill_runtime.testing.postgres import Server, fresh_database
from waybill_runtime.testing.store_harness import ORDER, OTHER, append, write

pytestmark = pytest.mark.postgres

NAME = "store exchanged"


@pytest.fixture
async def dsn(postgres: Server) -> AsyncIterator[str]:
    async with fresh_database(postgres, "store_exchanged") as dsn:
        yield dsn


async def test_a_leader_whose_log_was_restored_in_its_place_leads_no_longer(
    dsn: str,
) -> None:
    store = await PostgresStore.open(dsn, clock=SystemClock(), name=NAME)
    eye = await asyncpg.connect(dsn)
    async with store.leadership("relay") as leads:
        assert leads
        assert await store.still_leader("relay")
        await eye.execute("ALTER TABLE events RENAME TO gone")
        await eye.execute("CREATE TABLE events (LIKE gone)")
        assert not await store.still_leader("relay")
    async with store.leadership("relay") as leads:
        assert leads
        assert await store.still_leader("relay")
    await store.close()
    await eye.close()


async def test_a_database_made_in_the_place_of_the_one_before_is_refused_and_told(
    postgres: Server, dsn: str
) -> None:
    told: list[None] = []
    store = await PostgresStore.open(
        dsn, clock=SystemClock(), name=NAME, exchanged=lambda: told.append(None)
    )
    other = await PostgresStore.open(dsn, clock=SystemClock(), name=NAME)
    await append(store, write(ORDER, 0))
    name = dsn.rpartition("/")[2].partition("?")[0]
    await asyncio.to_thread(postgres.drop_database, name)
    with pytest.raises((StoreUnavailable, asyncpg.InvalidCatalogNameError)):
        await append(store, write(OTHER, 0))
    assert not told
    await asyncio.to_thread(postgres.create_database, name)
    await migrate.upgrade(dsn)
    with pytest.raises(StoreUnavailable, match="another database"):
        await append(store, write(OTHER, 0))
    assert told
    await append(other, write(OTHER, 0))  # had seen none before
    await store.close()
    await other.close()
