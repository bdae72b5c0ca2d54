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
_LOG = "/* leadership: which table the log is */ SELECT to_regclass('events')::oid"
GIVE_WAY_S = 1.0
"""How often a holder looks whether somebody insists on its name."""
_TRY = "SELECT pg_try_advisory_lock($1)"
_WAIT = "SELECT pg_advisory_lock($1)"

# This session holds one advisory lock. Others only try for it; who waits for it insists.
_UNDISPUTED = """/* leadership: nobody waits for what this session holds */
SELECT NOT EXISTS (
  SELECT FROM pg_locks held
    JOIN pg_locks waits USING (locktype, database, classid, objid, objsubid)
   WHERE held.pid = pg_backend_pid() AND held.granted AND locktype = 'advisory'
     AND NOT waits.granted)
"""


class Leaderships:
    """The names that this process holds, or tries to."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = f"{name} leadership"
        self._held: dict[str, asyncpg.Connection[Row]] = {}
        self._log: dict[str, object] = {}
        self._look_s: dict[str, float] = {}

    @contextlib.asynccontextmanager
    async def hold(self, name: str, insist_s: float = 0.0) -> AsyncIterator[bool]:
        """Whether the name is ours; given back on leaving. `insist_s`: wait so long for it.

        Raises:
            StoreUnavailable: nobody can say.
        """
        connection = await self._connect()
        try:
            is_ours = await self._try(connection, name)
            if not is_ours and insist_s:
                is_ours = await self._insist(connection, name, insist_s)
            if is_ours:
                self._log[name] = await self._of_log(connection)
                self._held[name] = connection
            yield is_ours
        finally:
            if self._held.get(name) is connection:
                del self._held[name]
            # Closing the socket gives the lock back even when nobody has time to say goodbye.
            connection.terminate()

    async def still_held(self, name: str) -> bool:
        """Whether the session that holds the name still answers; False at once when it is gone.

        And when the log is another table than it was: a backup was restored in its place.
        """
        connection = self._held.get(name)
        if connection is None or connection.is_closed():
            return False
        now_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(CHECK_S):
                if await connection.fetchval(_LOG) != self._log[name]:
                    return False
                if now_s < self._look_s.get(name, 0.0):
                    return True
                self._look_s[name] = now_s + GIVE_WAY_S
                return bool(await connection.fetchval(_UNDISPUTED))
        except (asyncpg.PostgresError, *GONE):
            connection.terminate()
            return False

    async def close(self) -> None:
        for connection in self._held.values():
            connection.terminate()
        self._held.clear()

    async def _connect(self) -> "asyncpg.Connection[Row]":
        try:
            return await connections.dedicated(self._dsn, name=self._name)
        except (asyncpg.PostgresError, *GONE) as error:
            raise translated(error) from error

    async def _insist(
        self, connection: "asyncpg.Connection[Row]", name: str, insist_s: float
    ) -> bool:
        """Stand in the queue for the name, in waits that the session's lock time-out ends."""
        key = lock_key("leadership", name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(insist_s):
                while True:
                    try:
                        await connection.execute(_WAIT, key)
                    except asyncpg.LockNotAvailableError:
                        continue
                    except (asyncpg.PostgresError, *GONE) as error:
                        if isinstance(error, TimeoutError):
                            raise
                        raise translated(error) from error
                    return True
        return False

    async def _of_log(self, connection: "asyncpg.Connection[Row]") -> object:
        try:
            return await connection.fetchval(_LOG)
        except (asyncpg.PostgresError, *GONE) as error:
            raise translated(error) from error

    async def _try(self, connection: "asyncpg.Connection[Row]", name: str) -> bool:
        try:
            return bool(await connection.fetchval(_TRY, lock_key("leadership", name)))
        except (asyncpg.PostgresError, *GONE) as error:
            raise translated(error) from error
