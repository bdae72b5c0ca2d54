"""A service's store in memory, as one process sees it: deterministic, no threads.

The database outlives its views, so that a simulator can kill a process and start it again.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime

from waybill_runtime import stored
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

    streams: MemoryStreams
    inbox: MemoryInbox
    jobs: MemoryJobs
    documents: MemoryDocuments
    answers: MemoryAnswers
    parking: MemoryParking
    numbers: MemoryNumbers

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> object:
        if name not in _FACETS:
            raise AttributeError(name)
        facet = self.__dict__[name] = _FACETS[name](self._session)
        return facet


_FACETS: Mapping[str, Callable[[Session], object]] = {
    "streams": MemoryStreams,
    "inbox": MemoryInbox,
    "jobs": MemoryJobs,
    "documents": MemoryDocuments,
    "answers": MemoryAnswers,
    "parking": MemoryParking,
    "numbers": MemoryNumbers,
}


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

    def transaction(self) -> "_Writing":
        return _Writing(self, Session(self._database, self._faults, writable=True))

    def marking(self) -> "_Writing":
        return self.transaction()

    def reading(self) -> "_Reading":
        return _Reading(self, Session(self._database, self._faults, writable=False))

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

    async def _commit(self, session: Session) -> None:
        if session.failure is not None:
            raise session.failure
        await session.reads("commit.before")
        session.tables.commit()

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


class _Writing:
    """One transaction, committed when its block ends without an exception."""

    __slots__ = ("_session", "_store")

    def __init__(self, store: MemoryStore, session: Session) -> None:
        self._store = store
        self._session = session

    async def __aenter__(self) -> MemoryTransaction:
        await self._store._begin(self._session)
        return MemoryTransaction(self._session)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        store, session = self._store, self._session
        try:
            if kind is None:
                await store._commit(session)
        finally:
            store._open.pop(id(session), None)
            store._database.leave(session)
        if kind is None:
            store._tell(session)
            await store._faults.at("commit.after")


class _Reading:
    """One reading, from the start of its block to its end."""

    __slots__ = ("_session", "_store")

    def __init__(self, store: MemoryStore, session: Session) -> None:
        self._store = store
        self._session = session

    async def __aenter__(self) -> MemoryTransaction:
        self._store._check_here()
        self._store._open[id(self._session)] = self._session
        return MemoryTransaction(self._session)

    async def __aexit__(self, *_: object) -> None:
        self._store._open.pop(id(self._session), None)
