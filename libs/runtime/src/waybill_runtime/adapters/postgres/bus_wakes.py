"""Wake-up calls: NOTIFY after a commit, LISTEN on one dedicated connection per bus.

A call may get lost (a restart, a broken connection): whoever waits also looks by himself twice a
second. So nothing here ever raises or holds anybody up for long.
"""

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

import structlog

from waybill_runtime.adapters.postgres import connections
from waybill_runtime.adapters.postgres.bus_connections import CLOSE_S, FAILURES
from waybill_runtime.clock import Clock

if TYPE_CHECKING:
    import asyncpg

    Raw = asyncpg.Connection[asyncpg.Record]

log = structlog.get_logger(__name__)

_CHANNEL = "waybill_bus"
_TELL_S = 1.0
_RETRY_S = 2.0

_TELL = "SELECT pg_notify('waybill_bus', name) FROM unnest($1::text[]) AS name"


class Watch:
    """What one waiter is interested in, and what it was told since it last asked."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)
        self._told: set[str] = set()
        self._event = asyncio.Event()

    def tell(self, name: str) -> None:
        if name in self.names:
            self._told.add(name)
            self._event.set()

    def take(self) -> set[str]:
        """What was told; told again from here on. Take first, then look: no call is missed."""
        told, self._told = self._told, set()
        self._event.clear()
        return told

    async def wait(self, timeout_s: float) -> None:
        """Return when told, or after the time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return


class Wakes:
    """One connection that listens for a bus's waiters and calls for its producers."""

    def __init__(self, dsn: str, clock: Clock) -> None:
        self._dsn = dsn
        self._clock = clock
        self._connection: Raw | None = None
        self._lock = asyncio.Lock()
        self._watches: list[Watch] = []
        self._untold: set[str] = set()
        self._try_again_s = 0.0
        self._closed = False

    def watch(self, names: Collection[str]) -> Watch:
        watch = Watch(names)
        self._watches.append(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        if watch in self._watches:
            self._watches.remove(watch)

    async def tell(self, names: Collection[str]) -> None:
        """Call everybody who watches one of these, in any process.

        In a transaction of its own, which waits for no disk: NOTIFY takes a lock of the whole
        server at commit, and would make every send wait for every other's.
        """
        self._untold |= set(names)
        if self._lock.locked():
            return  # whoever holds the lock tells these too
        async with self._lock:
            while self._untold and (connection := await self._connected()):
                names, self._untold = self._untold, set()
                await self._call(connection, sorted(names))

    async def listen(self) -> None:
        """Make sure that calls can arrive, if they can."""
        if not self._lock.locked() and (self._connection is None or self._connection.is_closed()):
            async with self._lock:
                await self._connected()

    async def close(self) -> None:
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=CLOSE_S)
            except FAILURES:
                connection.terminate()

    async def _call(self, connection: "Raw", names: list[str]) -> None:
        try:
            async with asyncio.timeout(_TELL_S):
                await connection.execute(_TELL, names)
        except FAILURES as error:
            log.debug("bus.tell_failed", error=repr(error))
            self._drop()

    async def _connected(self) -> "Raw | None":
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if self._closed or self._clock.monotonic_s() < self._try_again_s:
            return None
        self._try_again_s = self._clock.monotonic_s() + _RETRY_S
        try:
            async with asyncio.timeout(_TELL_S):
                self._connection = await connections.dedicated(self._dsn, name="waybill bus wakes")
                await self._connection.execute("SET synchronous_commit = off")
                await self._connection.add_listener(_CHANNEL, self._heard)
        except FAILURES as error:
            log.debug("bus.listen_failed", error=repr(error))
            self._drop()
            return None
        self._try_again_s = 0.0
        for watch in self._watches:  # calls may have come while nobody listened
            for name in watch.names:
                watch.tell(name)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def _heard(self, connection: object, pid: int, channel: str, payload: object) -> None:
        for watch in self._watches:
            watch.tell(str(payload))
