"""What tests on a real Postgres need: a database of their own, and to see somebody wait."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import asyncpg

from waybill_runtime.adapters.memory.broker import MemoryBroker
from waybill_runtime.adapters.memory.bus import MemoryBus
from waybill_runtime.adapters.postgres import migrate
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.clock import SystemClock
from waybill_runtime.ids import RandomIds
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping

WAIT_S_MAX = 10.0
_number = itertools.count(1)
_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


class Server(Protocol):
    """What the fixture `postgres` offers."""

    def dsn(self, database: str = "postgres") -> str: ...

    def create_database(self, name: str) -> str: ...

    def drop_database(self, name: str) -> None: ...


@asynccontextmanager
async def fresh_database(server: Server, name: str) -> AsyncIterator[str]:
    """The DSN of a migrated database that nobody else has; dropped at the end."""
    database = f"{name}_{os.getpid()}_{next(_number)}"
    dsn = await asyncio.to_thread(server.create_database, database)
    try:
        await migrate.upgrade(dsn)
        yield dsn
    finally:
        await asyncio.to_thread(server.drop_database, database)


@asynccontextmanager
async def process(
    dsn: str, name: str, *, broker: MemoryBroker | None = None
) -> AsyncIterator[Infrastructure]:
    """What one process stands on: this database, and a bus in memory; `broker` to share it."""
    clock = SystemClock()
    store = await PostgresStore.open(dsn, clock=clock, max_connections=8, name=name)
    try:
        bus = MemoryBus(broker or MemoryBroker(clock), name)
        yield Infrastructure(store, bus, clock, RandomIds(clock), Stopping())
    finally:
        await store.close()


async def somebody_waits(dsn: str, *, at_least: int = 1) -> None:
    """Returns once so many connections wait for a lock that another one holds.

    Raises:
        TimeoutError: they did not, for WAIT_S_MAX.
    """
    looking = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(WAIT_S_MAX):
            while await looking.fetchval(_WAITING) < at_least:  # noqa: ASYNC110  no event for it
                await asyncio.sleep(0.01)
    finally:
        await looking.close()
