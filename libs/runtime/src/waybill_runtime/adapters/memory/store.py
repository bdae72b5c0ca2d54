"""A service's store in memory, as one process sees it: deterministic, no threads.

The database outlives its views, so that a simulator can kill a process and start it again.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import cached_property

from waybill_runtime import store, stored
from waybill_runtime.adapters.memory.answers import MemoryAnswers
from waybill_runtime.adapters.memory.documents import MemoryDocuments
from waybill_runtime.adapters.memory.inbox import MemoryInbox
from waybill_runtime.adapters.memory.jobs import MemoryJobs
from waybill_runtime.adapters.memory.numbers import MemoryNumbers
from waybill_runtime.adapters.memory.parking import MemoryParking
from waybill_runtime.adapters.memory.session import Faults, MemoryDatabase, NoFaults, Session
from waybill_runtime.adapters.memory.streams import MemoryStreams

__all__ = ["Faults", "MemoryDatabase", "MemoryStore"]


class MemoryTransaction:
    """All facets on one session, each made when it is first asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @cached_property
    def streams(self) -> MemoryStreams:
        return MemoryStreams(self._session)

    @cached_property
    def inbox(self) -> MemoryInbox:
        return MemoryInbox(self._session)

    @cached_property
    def jobs(self) -> MemoryJobs:
        return MemoryJobs(self._session)

    @cached_property
    def documents(self) -> MemoryDocuments:
        return MemoryDocuments(self._session)

    @cached_property
    def answers(self) -> MemoryAnswers:
        return MemoryAnswers(self._session)

    @cached_property
    def parking(self) -> MemoryParking:
        return MemoryParking(self._session)

    @cached_property
    def numbers(self) -> MemoryNumbers:
        return MemoryNumbers(self._session)


class MemoryStore:
    """One process's view of a database. A killed or closed view answers StoreUnavailable."""

    def __init__(self, database: MemoryDatabase, faults: Faults | None = None) -> None:
        self._database = database
        self._faults = faults or NoFaults()
        self._listeners: list[Callable[[stored.Committed], None]] = []
        self._open: dict[int, Session] = {}
        self._gone: str | None = None

    def kill(self) -> None:
        """End the process: what is open is rolled back, locks and leaderships are free at once."""
        self._end("the process was killed")

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[store.Transaction]:
        session = Session(self._database, self._faults, writable=True)
        await self._begin(session)
        try:
            yield MemoryTransaction(session)
            if session.failure is not None:
                raise session.failure
            await session.reads("commit.before")
            session.tables.commit()
        finally:
            self._open.pop(id(session), None)
            self._database.leave(session)
        self._tell(session)
        await self._faults.at("commit.after")

    def marking(self) -> contextlib.AbstractAsyncContextManager[store.Transaction]:
        return self.transaction()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[store.Transaction]:
        self._check_here()
        session = Session(self._database, self._faults, writable=False)
        self._open[id(session)] = session
        try:
            yield MemoryTransaction(session)
        finally:
            self._open.pop(id(session), None)

    def now(self) -> datetime:
        return self._database.clock.now()

    def on_commit(self, listener: Callable[[stored.Committed], None]) -> None:
        self._listeners.append(listener)

    @contextlib.asynccontextmanager
    async def leadership(self, name: str, *, insist_s: float = 0.0) -> AsyncIterator[bool]:
        self._check_here()
        await asyncio.sleep(0)
        leaders, term = self._database.leaders, (self, object())
        if name in leaders and insist_s:
            await self._insist(name, insist_s)
        is_ours = name not in leaders
        if is_ours:
            leaders[name] = term
        try:
            yield is_ours
        finally:
            if leaders.get(name) is term:
                del leaders[name]

    async def still_leader(self, name: str) -> bool:
        await asyncio.sleep(0)
        term = self._database.leaders.get(name)
        return term is not None and term[0] is self and not self._database.insisting[name]

    async def ping(self) -> None:
        self._check_here()
        await self._faults.at("ping")

    async def close(self) -> None:
        self._end("the store was closed")

    async def _insist(self, name: str, insist_s: float) -> None:
        """Wait until the name is free, as its holder sees."""
        self._database.insisting[name] += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(insist_s):
                    while name in self._database.leaders:  # noqa: ASYNC110 - another process's
                        await asyncio.sleep(0.05)
        finally:
            self._database.insisting[name] -= 1

    async def _begin(self, session: Session) -> None:
        self._check_here()
        await self._faults.at("begin")
        self._open[id(session)] = session
        try:
            await self._database.enter(session)
            self._check_here()
        except BaseException:
            self._open.pop(id(session), None)
            self._database.leave(session)
            raise

    def _tell(self, session: Session) -> None:
        if session.appended or session.scheduled:
            committed = stored.Committed(session.appended, session.scheduled)
            for listener in self._listeners:
                listener(committed)

    def _end(self, why: str) -> None:
        self._gone = why
        for session in self._open.values():
            session.is_dead = True
            self._database.leave(session)
        self._open.clear()
        for name, (view, _) in list(self._database.leaders.items()):
            if view is self:
                del self._database.leaders[name]

    def _check_here(self) -> None:
        if self._gone is not None:
            raise stored.StoreUnavailable(self._gone)
