"""One connection in the hands of one task: every statement goes through here.

Errors are told in the words of the port. The first failure is kept: a transaction that failed
once never commits, even when its body swallowed the error.
"""

from typing import TYPE_CHECKING, NoReturn

import asyncpg

from waybill_runtime import stored

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Row = asyncpg.Record
    PooledConnection = PoolConnectionProxy[Row]

BUSY = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
"""Another transaction was in the way; this one was rolled back whole."""

GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""No answer, or one that says: not now. OSError is what a refused or reset socket raises."""

STALE = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
"""A migration ran under a prepared statement; asyncpg has dropped its cache, so try again."""


class Session:
    """What the facets of one transaction (or reading) share. Used by one task."""

    def __init__(self, connection: "PooledConnection", *, writable: bool) -> None:
        self._connection = connection
        self._writable = writable
        self.failure: Exception | None = None
        self.wrote = False
        self.appended = False
        self.scheduled = False

    async def read(self, sql: str, *arguments: object) -> "list[Row]":
        """Rows of a statement that changes nothing."""
        try:
            return await self._connection.fetch(sql, *arguments)
        except (*GONE, *STALE, asyncpg.PostgresError) as error:
            self._fail(error)

    async def write(self, sql: str, *arguments: object) -> "list[Row]":
        """Rows of a statement that changes or locks something.

        Raises:
            RuntimeError: this is a reading; what it changed would be committed at once.
        """
        if not self._writable:
            raise RuntimeError("a reading changes nothing: open a transaction")
        self.wrote = True
        return await self.read(sql, *arguments)

    def conflict(self, stream: str) -> NoReturn:
        """End the transaction: the stream is not where the writer thought."""
        self.failure = stored.VersionConflict(stream)
        raise self.failure

    def _fail(self, error: Exception) -> NoReturn:
        self.failure = translated(error)
        if self.failure is error:
            raise error
        raise self.failure from error


def translated(error: Exception) -> Exception:
    """The port's word for an error of asyncpg; the error itself when the port has none."""
    if isinstance(error, BUSY):
        return stored.LockTimeout(str(error))
    if isinstance(error, GONE + STALE):
        return stored.StoreUnavailable(f"{type(error).__name__}: {error}")
    if isinstance(error, asyncpg.UniqueViolationError):
        return _taken(error)
    return error


def _taken(error: asyncpg.UniqueViolationError) -> Exception:
    if error.constraint_name in ("events_pkey", "streams_pkey"):
        return stored.VersionConflict(str(error.detail))
    if error.constraint_name == "events_event_id_key":
        return ValueError(f"an event was appended twice: {error.detail}")
    return error
