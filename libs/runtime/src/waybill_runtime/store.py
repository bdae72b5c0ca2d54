"""A service's store: streams of events, and all that must commit together with them.

One transaction holds everything that one decision changes: events and their place in the outbox,
consumer positions, inbox, jobs, documents, answers. Two adapters (Postgres, memory) under one
conformance suite. Stream ids are text as `waybill_events.envelope.StreamId` writes them.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from waybill_runtime.facets import (
    Answers,
    Documents,
    Inbox,
    Jobs,
    Numbers,
    Parking,
    Streams,
)
from waybill_runtime.stored import Committed


class Transaction(Protocol):
    """All facets of one transaction. Used by one task."""

    @property
    def streams(self) -> Streams: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def documents(self) -> Documents: ...
    @property
    def answers(self) -> Answers: ...
    @property
    def parking(self) -> Parking: ...
    @property
    def numbers(self) -> Numbers: ...


class Store(Protocol):
    """The store of one service, as one process sees it."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Commits on leaving, rolls back on an exception. A cancel never interrupts a COMMIT.

        Raises (on entering or leaving):
            StoreUnavailable, CommitUnknown, LockTimeout, VersionConflict.
        """
        ...

    def marking(self) -> AbstractAsyncContextManager[Transaction]:
        """For one write that may be lost, or told twice, without harm: a lease, a mark.

        Committed by itself as it is made, whatever comes after; a server that crashes in the next
        moment may have forgotten it.
        """
        ...

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        """For reads alone: each statement sees what is committed when it starts."""
        ...

    def now(self) -> datetime:
        """The database's clock, in UTC, near enough for deadlines; answers at once."""
        ...

    def on_commit(self, listener: Callable[[Committed], None]) -> None:
        """Call after each commit of this process that appended or scheduled; must not block."""
        ...

    def leadership(self, name: str, *, insist_s: float = 0.0) -> AbstractAsyncContextManager[bool]:
        """Whether this process alone holds the name, for as long as the context is open.

        Held on a connection of its own; lost with it (then the next `still_leader` is False).
        `insist_s`: ask the holder to give way, and wait so long for it: for operators.
        """
        ...

    async def still_leader(self, name: str) -> bool:
        """False when the name is lost, or, within two seconds, when somebody insists on it."""
        ...

    async def ping(self) -> None:
        """Return when the store answers and its schema is at head; StoreUnavailable otherwise."""
        ...

    async def close(self) -> None: ...
