"""A service's store on Postgres, for one process: a pool, transactions, the database's clock.

Every wait has a limit, here and in the settings that each session asks of the server. A cancel
never interrupts a COMMIT, and never leaves a backend behind that still runs or holds a lock.

A process works with the database that it first saw: one that was made in its place, from a backup,
is refused, for what this process knows of the other one does not hold there.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import asyncpg
import structlog

from waybill_runtime import store, stored
from waybill_runtime.adapters.postgres import connections, schema
from waybill_runtime.adapters.postgres.answers import PostgresAnswers
from waybill_runtime.adapters.postgres.documents import PostgresDocuments
from waybill_runtime.adapters.postgres.inbox import PostgresInbox
from waybill_runtime.adapters.postgres.jobs import PostgresJobs
from waybill_runtime.adapters.postgres.leadership import Leaderships
from waybill_runtime.adapters.postgres.numbers import PostgresNumbers
from waybill_runtime.adapters.postgres.parking import PostgresParking
from waybill_runtime.adapters.postgres.session import GONE, Session, translated
from waybill_runtime.adapters.postgres.streams import PostgresStreams
from waybill_runtime.clock import Clock

if TYPE_CHECKING:
    from waybill_runtime.adapters.postgres.session import PooledConnection, Row

_log = structlog.get_logger(__name__)

ACQUIRE_S = 2.0
ROLLBACK_S = 2.0
CLOSE_S = 5.0
CLOCK_AGE_S = 30.0


class PostgresTransaction:
    """All facets on one connection."""

    def __init__(self, session: Session) -> None:
        self.streams = PostgresStreams(session)
        self.inbox = PostgresInbox(session)
        self.jobs = PostgresJobs(session)
        self.documents = PostgresDocuments(session)
        self.answers = PostgresAnswers(session)
        self.parking = PostgresParking(session)
        self.numbers = PostgresNumbers(session)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the database's clock said, and when by our monotonic one."""

    database: datetime
    monotonic_s: float


class PostgresStore:
    """`Store` on a raw asyncpg pool. Made by `open`; owed a `close`."""

    def __init__(
        self, dsn: str, clock: Clock, name: str, exchanged: Callable[[], None] | None = None
    ) -> None:
        self._clock = clock
        self._exchanged = exchanged
        self._database: tuple[object, ...] | None = None
        self._measured: _Reading | None = None
        self._listeners: list[Callable[[stored.Committed], None]] = []
        self._leaderships = Leaderships(dsn, name)
        self._pool: asyncpg.Pool[Row]
        self._marks: asyncpg.Pool[Row]

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        clock: Clock,
        max_connections: int = 10,
        name: str = "waybill",
        exchanged: Callable[[], None] | None = None,
    ) -> "PostgresStore":
        """A store that connects when first used: a database that is down does not stop a start.

        `name` is what the sessions are called in `pg_stat_activity`. `exchanged` is called when
        another database stands in the place of the one first seen.
        """
        opened = cls(dsn, clock, name, exchanged)
        opened._pool = await connections.pool(
            dsn, name=name, max_connections=max_connections, greet=opened._greet
        )
        opened._marks = await connections.pool(
            dsn,
            name=f"{name} marks",
            max_connections=1,
            greet=opened._greet,
            waits_for_disk=False,
        )
        return opened

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[store.Transaction]:
        connection = await self._begin()
        session = Session(connection, writable=True)
        try:
            yield PostgresTransaction(session)
            if session.failure is not None:
                raise session.failure
        except BaseException:
            await _to_the_end(self._roll_back(connection))
            raise
        await _to_the_end(self._commit(connection, session))

    @contextlib.asynccontextmanager
    async def marking(self) -> AsyncIterator[store.Transaction]:
        # No BEGIN, so each statement is a transaction: one way to the server instead of three.
        async with self._session(self._marks, writable=True) as session:
            yield PostgresTransaction(session)
        self._tell(session)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[store.Transaction]:
        async with self._session(self._pool, writable=False) as session:
            yield PostgresTransaction(session)

    @contextlib.asynccontextmanager
    async def _session(
        self, pool: "asyncpg.Pool[Row]", *, writable: bool
    ) -> AsyncIterator[Session]:
        """Statements that each commit by themselves."""
        connection = await self._acquire(pool)
        try:
            yield Session(connection, writable=writable)
        finally:
            await _to_the_end(self._release(connection, pool))

    def now(self) -> datetime:
        # Counted on with the monotonic clock, so that a jump of this machine's wall clock moves
        # no deadline (reliability F11).
        if self._measured is None:
            return self._clock.now()
        passed_s = self._clock.monotonic_s() - self._measured.monotonic_s
        return self._measured.database + timedelta(seconds=passed_s)

    def on_commit(self, listener: Callable[[stored.Committed], None]) -> None:
        self._listeners.append(listener)

    def leadership(
        self, name: str, *, insist_s: float = 0.0
    ) -> contextlib.AbstractAsyncContextManager[bool]:
        return self._leaderships.hold(name, insist_s)

    async def still_leader(self, name: str) -> bool:
        return await self._leaderships.still_held(name)

    async def ping(self) -> None:
        connection = await self._acquire()
        try:
            rows = await Session(connection, writable=False).read(_REVISION)
        except asyncpg.UndefinedTableError:
            rows = []
        finally:
            await _to_the_end(self._release(connection))
        revisions = [row["version_num"] for row in rows]
        if len(revisions) != 1 or not schema.serves(revisions[0]):
            raise stored.StoreUnavailable(f"the schema is at {revisions}, not at {schema.HEAD}")

    async def close(self) -> None:
        await self._leaderships.close()
        for pool in (self._marks, self._pool):
            try:
                await asyncio.wait_for(pool.close(), CLOSE_S)
            except TimeoutError:
                pool.terminate()

    async def _begin(self) -> "PooledConnection":
        """A connection inside a transaction.

        A pooled connection may have died unseen while idle. Nothing of the transaction was sent
        on it, so another one is tried, once, and no pooled one of its age is used again.
        """
        try:
            return await self._begun(await self._acquire())
        except _Lost:
            await self._pool.expire_connections()
        try:
            return await self._begun(await self._acquire())
        except _Lost as error:
            raise translated(error.cause) from error

    async def _begun(self, connection: "PooledConnection") -> "PooledConnection":
        try:
            await connection.execute("BEGIN")
            if self._is_clock_old():
                await self._measure(connection)
        except (asyncpg.PostgresError, *GONE) as error:
            _cut(connection)
            await _to_the_end(self._release(connection))
            raise _Lost(error) from error
        except BaseException:
            await _to_the_end(self._roll_back(connection))
            raise
        return connection

    async def _acquire(self, pool: "asyncpg.Pool[Row] | None" = None) -> "PooledConnection":
        try:
            return await (pool or self._pool).acquire(timeout=ACQUIRE_S)
        except (asyncpg.PostgresError, *GONE) as error:
            raise translated(error) from error

    async def _release(
        self, connection: "PooledConnection", pool: "asyncpg.Pool[Row] | None" = None
    ) -> None:
        """Give the connection back; one that will not be cleaned in time is cut off."""
        try:
            await (pool or self._pool).release(connection, timeout=ROLLBACK_S)
        except (asyncpg.PostgresError, *GONE) as error:
            _log.warning("a connection was cut off", error=repr(error))

    async def _roll_back(self, connection: "PooledConnection") -> None:
        """Waits for the statement that a cancel interrupted to end on the server."""
        try:
            async with asyncio.timeout(ROLLBACK_S):
                await connection.execute("ROLLBACK")
        except (asyncpg.PostgresError, *GONE):
            _cut(connection)
        await self._release(connection)

    async def _commit(self, connection: "PooledConnection", session: Session) -> None:
        try:
            if _is_lost(connection):
                raise stored.StoreUnavailable("the connection was lost before COMMIT")
            await connection.execute("COMMIT")
        except GONE as error:
            _cut(connection)
            if session.wrote:
                raise stored.CommitUnknown(f"{type(error).__name__}: {error}") from error
            raise translated(error) from error
        except asyncpg.PostgresError as error:
            raise translated(error) from error
        finally:
            await self._release(connection)
        self._tell(session)

    def _tell(self, session: Session) -> None:
        if session.appended or session.scheduled:
            committed = stored.Committed(session.appended, session.scheduled)
            for listener in self._listeners:
                listener(committed)

    def _is_clock_old(self) -> bool:
        if self._measured is None:
            return True
        return self._clock.monotonic_s() - self._measured.monotonic_s > CLOCK_AGE_S

    async def _greet(self, connection: "asyncpg.Connection[Row]") -> None:
        """Know the database again, and take its time."""
        found = tuple(await connection.fetchrow(_IDENTITY) or ())
        if self._database not in (None, found):
            if self._exchanged is not None:
                self._exchanged()
            raise stored.StoreUnavailable("another database stands in the place of the one before")
        self._database = found
        await self._measure(connection)

    async def _measure(self, connection: "PooledConnection | asyncpg.Connection[Row]") -> None:
        """Ask the database for the time; half the way there and back is added to none."""
        before_s = self._clock.monotonic_s()
        said = await connection.fetchval("SELECT clock_timestamp()")
        after_s = self._clock.monotonic_s()
        self._measured = _Reading(said, (before_s + after_s) / 2)


_IDENTITY = """/* identity: which database of which cluster this is */
SELECT d.oid, c.system_identifier
  FROM pg_database d, pg_control_system() c WHERE d.datname = current_database()
"""
_REVISION = (
    "/* ping: the migration that the database is at */ SELECT version_num FROM alembic_version"
)

T = TypeVar("T")


class _Lost(Exception):
    """A connection failed before anything of the transaction was sent on it."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _is_lost(connection: "PooledConnection") -> bool:
    """A connection that was lost is taken back by the pool at once, and then answers nothing."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


def _cut(connection: "PooledConnection") -> None:
    """Use the connection never again, and tell the server nothing more on it."""
    if not _is_lost(connection):
        connection.terminate()


async def _to_the_end(work: Coroutine[None, None, T]) -> T:
    """The answer of `work`, which no cancel interrupts: one that came meanwhile is raised after.

    `work` has a limit of its own.
    """
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            _log.warning("failed under a cancel", error=repr(failure))
        raise cancelled
    return task.result()
