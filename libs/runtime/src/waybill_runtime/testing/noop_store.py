"""A store that does nothing, politely. The conformance suite must fail on it, case by case."""

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

from waybill_events.envelope import Recorded
from waybill_runtime import store, stored
from waybill_runtime.bus import Partition

_NOTHING = stored.Backlog(0, 0.0)


class NoopStreams:
    async def load(self, streams: Collection[str], *, lock: bool) -> Mapping[str, stored.Stream]:
        return {stream: stored.Stream(0, None, ()) for stream in streams}

    async def append(self, writes: Sequence[stored.StreamWrite]) -> None:
        """Nothing is appended."""

    async def unpublished(self, limit: int) -> Sequence[stored.Unpublished]:
        return ()

    async def published(self, positions: Sequence[int]) -> None:
        """Nothing was waiting."""

    async def known(self, event_ids: Collection[str]) -> Mapping[str, tuple[str, int]]:
        return {}

    async def outbox_backlog(self) -> stored.Backlog:
        return _NOTHING

    async def unpublish(self) -> int:
        return 0

    async def scan(self, category: str | None = None) -> AsyncIterator[Recorded]:
        nothing: tuple[Recorded, ...] = ()
        for event in nothing:
            yield event

    async def stream_ids(
        self, tenant: str, category: str, *, after: str, limit: int
    ) -> Sequence[str]:
        return ()


class NoopInbox:
    async def take(
        self, consumer: str, partitions: Collection[Partition]
    ) -> Mapping[Partition, stored.Ownership]:
        return {}

    async def advance(
        self, consumer: str, moves: Mapping[Partition, stored.Advance]
    ) -> Mapping[Partition, int]:
        return {}

    async def positions(self, consumer: str) -> Mapping[Partition, int]:
        return {}

    async def seen(self, consumer: str, sources: Collection[str]) -> Mapping[str, int]:
        return {}

    async def mark(self, consumer: str, versions: Mapping[str, int]) -> None:
        """Nothing is marked."""

    async def restart(self, consumer: str, offsets: Mapping[Partition, int]) -> None:
        """Nobody stood anywhere."""

    async def forget(self, consumer: str) -> None:
        """Nothing was known."""


class NoopJobs:
    async def schedule(self, jobs: Sequence[stored.Job]) -> None:
        """Nothing is scheduled."""

    async def cancel(self, ids: Collection[str]) -> None:
        """Nothing was scheduled."""

    async def claim(
        self, kinds: Collection[str], *, limit: int, lease_s: float
    ) -> Sequence[stored.ClaimedJob]:
        return ()

    async def finish(self, tokens: Collection[str]) -> int:
        return 0

    async def retry(self, delays_s: Mapping[str, float]) -> None:
        """Nothing was claimed."""

    async def next_due_s(self, kinds: Collection[str]) -> float | None:
        return None

    async def job_backlog(self) -> Mapping[str, stored.Backlog]:
        return {}


class NoopDocuments:
    async def get(
        self, tenant: str, view: str, keys: Collection[str], *, generation: int | None = None
    ) -> Mapping[str, stored.Document]:
        return {}

    async def put(
        self,
        tenant: str,
        view: str,
        documents: Mapping[str, stored.Document],
        *,
        generation: int | None = None,
    ) -> None:
        """Nothing is kept."""

    async def drop(self, tenant: str, view: str, keys: Collection[str]) -> None:
        """Nothing was kept."""

    async def find(
        self,
        tenant: str,
        view: str,
        attributes: Mapping[str, str],
        *,
        after: str | None = None,
        descending: bool = False,
        limit: int = 20,
    ) -> Sequence[tuple[str, stored.Document]]:
        return ()

    async def generation(self, view: str) -> int:
        return 1

    async def share_view(self, views: Collection[str]) -> None:
        """Nothing is held."""

    async def switch_generation(self, view: str, generation: int) -> None:
        """Nothing is switched."""

    async def drop_generation(self, view: str, generation: int) -> None:
        """Nothing was kept."""

    async def digest(self, view: str, generation: int) -> tuple[str, int]:
        return "0" * 64, 0


class NoopAnswers:
    async def claim(self, tenant: str, key: str, fingerprint: str) -> stored.Answer | None:
        return None

    async def kept(self, tenant: str, key: str) -> stored.Answer | None:
        return None

    async def keep(self, tenant: str, key: str, answer: stored.Answer) -> None:
        """Nothing is kept."""


class NoopParking:
    async def parked_keys(self, consumer: str, keys: Collection[str]) -> Collection[str]:
        return ()

    async def park(self, consumer: str, deliveries: Sequence[stored.Parked]) -> None:
        """Nothing is parked."""

    async def parked(
        self, consumer: str, *, key: str | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[stored.Parked]:
        return ()

    async def unpark(self, consumer: str, positions: Collection[int]) -> None:
        """Nothing was parked."""

    async def parked_backlog(self, consumer: str) -> stored.Backlog:
        return _NOTHING


class NoopNumbers:
    async def take_numbers(self, series: str, count: int) -> int:
        return 0


class NoopTransaction:
    def __init__(self) -> None:
        self.streams = NoopStreams()
        self.inbox = NoopInbox()
        self.jobs = NoopJobs()
        self.documents = NoopDocuments()
        self.answers = NoopAnswers()
        self.parking = NoopParking()
        self.numbers = NoopNumbers()


class NoopStore:
    """Takes everything, keeps nothing, never complains, leads nobody."""

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[store.Transaction]:
        yield NoopTransaction()

    @contextlib.asynccontextmanager
    async def marking(self) -> AsyncIterator[store.Transaction]:
        yield NoopTransaction()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[store.Transaction]:
        yield NoopTransaction()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def on_commit(self, listener: Callable[[stored.Committed], None]) -> None:
        """Nobody is told."""

    @contextlib.asynccontextmanager
    async def leadership(self, name: str, *, insist_s: float = 0.0) -> AsyncIterator[bool]:
        yield False

    async def still_leader(self, name: str) -> bool:
        return False

    async def ping(self) -> None:
        """All is well."""

    async def close(self) -> None:
        """There is nothing to let go of."""
