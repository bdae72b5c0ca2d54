"""The sides of one transaction: streams, inbox, jobs, documents, answers, parking, numbers.

Each call is one statement or few, however many rows it concerns.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Protocol

from waybill_events.envelope import Recorded
from waybill_runtime.bus import Partition
from waybill_runtime.stored import (
    Advance,
    Answer,
    Backlog,
    ClaimedJob,
    Document,
    Job,
    Ownership,
    Parked,
    Stream,
    StreamWrite,
    Unpublished,
)


class Streams(Protocol):
    """Events with expected versions, and the outbox that is written with them."""

    async def load(self, streams: Collection[str], *, lock: bool) -> Mapping[str, Stream]:
        """Every stream asked for, missing ones at version 0.

        With `lock`, rows are locked in sorted order until the transaction ends, so that an
        append after it cannot conflict on a stream that existed.
        """
        ...

    async def append(self, writes: Sequence[StreamWrite]) -> None:
        """Append to many streams at once, and put every event into the outbox.

        Writes without events are left out.

        Raises:
            VersionConflict: a stream is not at its expected version; the transaction must end.
            ValueError: a stream twice, versions with a gap, an event id that was used before.
        """
        ...

    async def unpublished(self, limit: int) -> Sequence[Unpublished]:
        """What is still to be sent, found by flag, in an order that keeps each stream's."""
        ...

    async def published(self, positions: Sequence[int]) -> None:
        """These were acknowledged by the bus; may be told twice."""
        ...

    async def known(self, event_ids: Collection[str]) -> Mapping[str, tuple[str, int]]:
        """Those of these ids that stand in the log, with their streams and versions."""
        ...

    async def outbox_backlog(self) -> Backlog: ...

    async def unpublish(self) -> int:
        """Name every event as still to be sent, before all that waits; answers how many.

        For a bus that was lost. Only for the holder of the relay's leadership: what a relay has
        in hand would come between. May be told again before all is sent.
        """
        ...

    def scan(self, category: str | None = None) -> AsyncIterator[Recorded]:
        """Every event of the store (or of one category), each stream in order, from its first."""
        ...

    async def stream_ids(
        self, tenant: str, category: str, *, after: str, limit: int
    ) -> Sequence[str]:
        """Streams of a category greater than `after` (a stream, or ""), in order."""
        ...


class Inbox(Protocol):
    """What a consumer has taken: fenced positions, and the last version of each source stream."""

    async def take(
        self, consumer: str, partitions: Collection[Partition]
    ) -> Mapping[Partition, Ownership]:
        """Own these from now on: each epoch grows by one, and older owners are fenced off."""
        ...

    async def advance(
        self, consumer: str, moves: Mapping[Partition, Advance]
    ) -> Mapping[Partition, int]:
        """Compare-and-set of positions: answers the next offset as it stood before.

        A partition that is missing in the answer belongs to another epoch: stop owning it.
        Positions never go back. Rows are locked in sorted order until the transaction ends.
        """
        ...

    async def positions(self, consumer: str) -> Mapping[Partition, int]: ...

    async def seen(self, consumer: str, sources: Collection[str]) -> Mapping[str, int]:
        """The last version taken of each source stream; unknown streams are left out."""
        ...

    async def mark(self, consumer: str, versions: Mapping[str, int]) -> None:
        """These versions were taken; never goes back."""
        ...

    async def restart(self, consumer: str, offsets: Mapping[Partition, int]) -> None:
        """Have every consumer here that has read these partitions, and this one, start there.

        Marks stay, so that what was taken is known; owners of before are fenced off.
        """
        ...

    async def forget(self, consumer: str) -> None:
        """Positions back to 0, marks dropped: for projections that are built again.

        Epochs go on growing, so that owners of before are fenced off.
        """
        ...


class Jobs(Protocol):
    """Timers and effects, due by the database's clock."""

    async def schedule(self, jobs: Sequence[Job]) -> None: ...

    async def cancel(self, ids: Collection[str]) -> None:
        """Unknown ids are fine: the job has run."""
        ...

    async def claim(
        self, kinds: Collection[str], *, limit: int, lease_s: float
    ) -> Sequence[ClaimedJob]:
        """Due jobs that nobody holds, oldest first; two claimers never get the same one.

        A job that is neither finished nor retried within its lease is claimed again.
        """
        ...

    async def finish(self, tokens: Collection[str]) -> int:
        """Drop claimed jobs; answers how many were still ours."""
        ...

    async def retry(self, delays_s: Mapping[str, float]) -> None:
        """Let claimed jobs, by token, become due again, each after its delay in seconds."""
        ...

    async def next_due_s(self, kinds: Collection[str]) -> float | None:
        """Seconds until the next of these is due (0.0 when one is); None when there is none."""
        ...

    async def job_backlog(self) -> Mapping[str, Backlog]:
        """Jobs that are due and not done, by kind, aged by their due time.

        Those claimed and those put off count too: what fails and comes back grows old.
        """
        ...


class Documents(Protocol):
    """Keyed documents by view: read models in generations, and small records of a service's own.

    Every call takes the tenant and the view; `generation` None means the one that is live.
    """

    async def get(
        self, tenant: str, view: str, keys: Collection[str], *, generation: int | None = None
    ) -> Mapping[str, Document]: ...

    async def put(
        self,
        tenant: str,
        view: str,
        documents: Mapping[str, Document],
        *,
        generation: int | None = None,
    ) -> None:
        """Write documents; one older than what is there is left out, its attributes too."""
        ...

    async def drop(self, tenant: str, view: str, keys: Collection[str]) -> None:
        """Forget documents in every generation; unknown keys are fine."""
        ...

    async def find(
        self,
        tenant: str,
        view: str,
        attributes: Mapping[str, str],
        *,
        after: str | None = None,
        descending: bool = False,
        limit: int = 20,
    ) -> Sequence[tuple[str, Document]]:
        """Documents that have all these attributes, in key order, beyond the key `after`."""
        ...

    async def generation(self, view: str) -> int:
        """The live generation; 1 for a view never rebuilt."""
        ...

    async def share_view(self, views: Collection[str]) -> None:
        """Keep the views' live generations as they are until this transaction ends."""
        ...

    async def switch_generation(self, view: str, generation: int) -> None:
        """Make a generation live. Waits for every transaction that shares the view."""
        ...

    async def drop_generation(self, view: str, generation: int) -> None:
        """Forget a generation of every tenant.

        Raises:
            ValueError: it is live.
        """
        ...

    async def digest(self, view: str, generation: int) -> tuple[str, int]:
        """A hash over all documents of a generation, whatever their order; their number.

        Keys, bodies, attributes and index rows of all tenants, as `adapters.digests` tells: the
        same from every adapter.
        """
        ...


class Answers(Protocol):
    """Stored answers to idempotent requests, written in the transaction of what they answer."""

    async def claim(self, tenant: str, key: str, fingerprint: str) -> Answer | None:
        """None: the key is ours, and nobody else gets it until this transaction ends.

        An Answer: the key was used before (the caller compares fingerprints).

        Raises:
            LockTimeout: another request with this key is still in flight.
        """
        ...

    async def kept(self, tenant: str, key: str) -> Answer | None:
        """The committed answer of a key, if it has one. Claims nothing, waits for nobody."""
        ...

    async def keep(self, tenant: str, key: str, answer: Answer) -> None:
        """Store the answer of a key claimed in this transaction."""
        ...


class Parking(Protocol):
    """Keys that wait for a person, with all their later events behind them."""

    async def parked_keys(self, consumer: str, keys: Collection[str]) -> Collection[str]: ...

    async def park(self, consumer: str, deliveries: Sequence[Parked]) -> None:
        """Append behind what is parked of the key already; `position` is given by the store."""
        ...

    async def parked(
        self, consumer: str, *, key: str | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[Parked]: ...

    async def unpark(self, consumer: str, positions: Collection[int]) -> None: ...

    async def parked_backlog(self, consumer: str) -> Backlog: ...


class Numbers(Protocol):
    """Gapless numbers in commit order."""

    async def take_numbers(self, series: str, count: int) -> int:
        """The first of `count` consecutive numbers, from 1; the series is locked until the end.

        A rollback gives the numbers back.
        """
        ...
