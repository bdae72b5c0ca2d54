"""The bus's database as its parts see it: connections by turns, and every failure by one name.

After a restart of the server the pool connects anew by itself: what was under way is
BusUnavailable, what comes next works.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import asyncpg

from waybill_runtime.adapters.postgres import connections
from waybill_runtime.bus import BusUnavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Row = asyncpg.Record
    Connection = PoolConnectionProxy[Row]

ACQUIRE_S = 2.0
CLOSE_S = 3.0

FAILURES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # What a call meets whose connection was cut between its preparation and its execution.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""All that a database, a socket or a deadline can do to us."""


class BusDatabase:
    """A small pool, made when first used."""

    def __init__(self, dsn: str, *, max_connections: int) -> None:
        self.dsn = dsn
        self._max_connections = max_connections
        self._pool: asyncpg.Pool[Row] | None = None
        self._making = asyncio.Lock()
        self.closed = False

    @contextlib.asynccontextmanager
    async def connection(self) -> "AsyncIterator[Connection]":
        """A connection for some statements; never for two tasks.

        Raises:
            BusUnavailable: whatever went wrong, inside the block as well.
        """
        with unavailable():
            pool = await self._open()
            async with pool.acquire(timeout=ACQUIRE_S) as connection:
                yield connection

    async def close(self) -> None:
        """Let go of everything within a few seconds; may be called twice."""
        self.closed = True
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await pool.close()
        except FAILURES:
            pool.terminate()

    async def _open(self) -> "asyncpg.Pool[Row]":
        if self.closed:
            raise BusUnavailable("this bus was closed")
        async with self._making:
            if self._pool is None:
                self._pool = await connections.pool(
                    self.dsn,
                    name="waybill bus",
                    max_connections=self._max_connections,
                    greet=_nothing_to_say,
                )
        return self._pool


@contextlib.contextmanager
def unavailable() -> Iterator[None]:
    """Turn the database's failures into the port's."""
    try:
        yield
    except FAILURES as error:
        raise BusUnavailable(f"{type(error).__name__}: {error}") from error


async def _nothing_to_say(connection: "asyncpg.Connection[Row]") -> None:
    """The bus keeps no session state."""
