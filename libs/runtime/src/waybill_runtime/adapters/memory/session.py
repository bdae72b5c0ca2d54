"""One transaction (or reading) on a database in memory, as its facets share it."""

import asyncio
import itertools
from collections import Counter
from datetime import datetime
from typing import NoReturn, Protocol

from waybill_runtime import stored
from waybill_runtime.adapters.memory.tables import Rows, Tables
from waybill_runtime.clock import Clock

LOCK_S = 2.0
KILLED = "the process was killed"


class Faults(Protocol):
    """Where a simulator may interfere with one process's use of its database.

    Points: `begin`, `<facet>.<call>` before each statement, `commit.before` (raise, and nothing
    was committed), `commit.after` (raise CommitUnknown, and all was), `ping`.
    """

    async def at(self, point: str) -> None:
        """Return at once, sleep, or raise what the process is to see."""
        ...


class NoFaults:
    """Nothing ever goes wrong."""

    async def at(self, point: str) -> None:
        """Interfere with nothing."""


class MemoryDatabase:
    """What outlives a process: the committed rows, the clock, and who holds which lock.

    Transactions are serialised: one fair lock is held for a transaction's whole life, and whoever
    waits longer than two seconds of loop time is told LockTimeout. Sequences never go back.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rows = Rows()
        self.leaders: dict[str, tuple[object, object]] = {}
        self.insisting: Counter[str] = Counter()
        self.sequence = itertools.count(1)
        self._holder: object | None = None
        self._queue: dict[object, asyncio.Future[None]] = {}

    async def enter(self, holder: object) -> None:
        """Wait for the lock in order of arrival.

        Raises:
            LockTimeout: the one before did not end in time.
        """
        if self._holder is None:
            self._holder = holder
            return
        turn = self._queue[holder] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(LOCK_S):
                await turn
        except TimeoutError:
            self.leave(holder)
            raise stored.LockTimeout("another transaction stayed open too long") from None
        except BaseException:
            self.leave(holder)
            raise

    def leave(self, holder: object) -> None:
        """Let the next one in; may be called twice, and by one who waits or never held the lock."""
        self._queue.pop(holder, None)
        if self._holder is not holder:
            return
        self._holder = None
        while self._queue and self._holder is None:
            following, turn = next(iter(self._queue.items()))
            del self._queue[following]
            if not turn.done():
                self._holder = following
                turn.set_result(None)


class Session:
    """What the facets of one transaction share. Every statement is a point to interleave at."""

    def __init__(self, database: MemoryDatabase, faults: Faults, *, writable: bool) -> None:
        self.database = database
        self.tables = Tables(database.rows)
        self.failure: Exception | None = None
        self.is_dead = False
        self.appended = False
        self.scheduled = False
        self._faults = faults
        self._writable = writable

    @property
    def now(self) -> datetime:
        return self.database.clock.now()

    async def reads(self, point: str) -> None:
        """Call before a statement that changes nothing.

        Raises:
            StoreUnavailable: the process was killed.
        """
        if self.is_dead:
            raise stored.StoreUnavailable(KILLED)
        try:
            await self._faults.at(point)
        except Exception as error:
            self.failure = error
            raise
        await asyncio.sleep(0)
        if self.is_dead:
            raise stored.StoreUnavailable(KILLED)

    async def writes(self, point: str) -> None:
        """Call before a statement that changes or locks something.

        Raises:
            RuntimeError: this is a reading.
        """
        if not self._writable:
            raise RuntimeError("a reading changes nothing: open a transaction")
        await self.reads(point)

    def conflict(self, stream: str) -> NoReturn:
        """End the transaction: the stream is not where the writer thought."""
        self.failure = stored.VersionConflict(stream)
        raise self.failure
