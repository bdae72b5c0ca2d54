"""Names that one process holds alone, each by a session's advisory lock.

The session is a connection outside the pool with no transaction open: an idle transaction would
hold back vacuum, and a pooled connection would hand the lock to whoever comes next.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg

from waybill_runtime.adapters.postgres import connections
from waybill_runtime.adapters.postgres.keys import lock_key
from waybill_runtime.adapters.postgres.session import GONE, translated

if TYPE_CHECKING:
    from waybill_runtime.adapters.postgres.session import Row

CHECK_S = 2.0
_TRY = "SELECT pg_try_advisory_lock($1)"


class Leaderships:
    """The names that this process holds, or tries to."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = f"{name} leadership"
        self._held: dict[str, asyncpg.Connection[Row]] = {}

    @contextlib.asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[bool]:
        """Whether the name is ours; given back on leaving.

        Raises:
            StoreUnavailable: nobody can say.
        """
        connection = await self._connect()
        try:
            is_ours = await self._try(connection, name)
            if is_ours:
                self._held[name] = connection
            yield is_ours
        finally:
            if self._held.get(name) is connection:
                del self._held[name]
            # Closing the socket gives the lock back even when nobody has time to say goodbye.
            connection.terminate()

    async def still_held(self, name: str) -> bool:
        """Whether the session that holds the name still answers; False at once when it is gone."""
        connection = self._held.get(name)
        if connection is None or connection.is_closed():
            return False
        try:
            async with asyncio.timeout(CHECK_S):
                await connection.execute("SELECT 1")
        except (asyncpg.PostgresError, *GONE):
            connection.terminate()
            return False
        return True

    async def close(self) -> None:
        for connection in self._held.values():
            connection.terminate()
        self._held.clear()

    async def _connect(self) -> "asyncpg.Connection[Row]":
        try:
            return await connections.dedicated(self._dsn, name=self._name)
        except (asyncpg.PostgresError, *GONE) as error:
            raise translated(error) from error

    async def _try(self, connection: "asyncpg.Connection[Row]", name: str) -> bool:
        try:
            return bool(await connection.fetchval(_TRY, lock_key("leadership", name)))
        except (asyncpg.PostgresError, *GONE) as error:
            raise translated(error) from error
