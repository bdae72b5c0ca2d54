"""What a store takes and gives, and how it refuses. Times are UTC, JSON is kept as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from waybill_events.envelope import Recorded
from waybill_runtime.bus import Partition


class StoreUnavailable(Exception):
    """The store did not answer in time. Nothing of the transaction was committed."""


class CommitUnknown(Exception):
    """The connection was lost during COMMIT: it may or may not have happened.

    Never retried blindly: the caller looks by idempotency key, event id or position.
    """


class VersionConflict(Exception):
    """Another transaction wrote the stream first. Retry the whole load, decide and append."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"stream {stream} was written by another transaction")
        self.stream = stream


class LockTimeout(Exception):
    """A row stayed locked longer than the store's lock time-out. Retry the whole transaction."""


TRANSIENT = (StoreUnavailable, CommitUnknown, LockTimeout, VersionConflict)
"""Trouble of the store or of company, not of what was to be written: it passes by itself."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as loaded: `events` are those after the snapshot, in order.

    Version 0 with no events is a stream that does not exist yet.
    """

    version: int
    snapshot: str | None
    events: Sequence[Recorded]


@dataclass(frozen=True, slots=True)
class StreamWrite:
    """Events to append to one stream that stands at `expected_version`.

    `snapshot`, when given, is the folded state after these events, as JSON text.
    """

    stream: str
    expected_version: int
    events: Sequence[Recorded]
    snapshot: str | None = None


@dataclass(frozen=True, slots=True)
class Unpublished:
    """An outbox row: `position` orders the rows of one stream as they were committed.

    What `unpublish` has named stands below 0.
    """

    position: int
    event: Recorded

    @property
    def is_again(self) -> bool:
        return self.position < 0


@dataclass(frozen=True, slots=True)
class Advance:
    """Move a consumer's position on, if its owner is still the one of this epoch."""

    epoch: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class Ownership:
    """A partition taken: later epochs fence earlier ones off."""

    epoch: int
    next_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Work that is due at a time: a timer, or an effect outside to be carried out.

    Scheduling an id that exists replaces it: due time, payload, and attempts back to 0. An id is
    nobody else's, in no tenant: it names a stream, or a number that we drew.
    """

    id: str
    tenant: str
    kind: str
    due_at: datetime
    payload: str = "{}"
    """JSON text; no personal data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedJob:
    """A due job that is ours until its lease ends; `attempt` counts from 1.

    Carries the database's `now`, by which timers are decided.
    """

    id: str
    tenant: str
    kind: str
    due_at: datetime
    payload: str
    attempt: int
    token: str
    now: datetime


GENERATION = 1_000_000_000
"""More than any document's version. Revisions are JSON numbers: exact up to 9,000,000 rebuilds."""


@dataclass(frozen=True, slots=True)
class Document:
    """A keyed JSON text of a view, with the attributes it may be found by.

    `version` counts the changes that made it; it only grows within a generation. `generation` is
    the one it was read from; a write does not look at it.
    """

    body: str
    version: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    generation: int = 1

    @property
    def revision(self) -> int:
        """Generation and version in one number, which only grows: what readers may compare.

        A rebuild by a release that counts other events may give the same version to other bytes.
        """
        return (self.generation - 1) * GENERATION + self.version


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer to a request: replayed byte for byte."""

    fingerprint: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A delivery that could not be applied, kept in arrival order behind its key.

    `tenant` is its event's, and the default one where no event can be read from it.
    """

    position: int
    tenant: str
    key: str
    reason: str
    partition: Partition
    offset: int
    headers: Sequence[tuple[str, bytes]]
    value: bytes
    parked_at: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits, and for how long the oldest has (0.0 when nothing does)."""

    count: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit left for others of this process to do at once."""

    appended: bool
    scheduled: bool
