"""Rows in memory: what is committed, and what one transaction has changed and not committed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from waybill_events.envelope import Recorded
from waybill_runtime.bus import Partition
from waybill_runtime.stored import Answer, Document, Job, Ownership, Parked

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class StreamRow:
    """Where a stream stands, and its newest snapshot."""

    version: int
    snapshot: str | None
    snapshot_version: int


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An event that is still to be published."""

    event: Recorded
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job; `ready_at` is its due time, the end of its lease or the end of its delay."""

    job: Job
    ready_at: datetime
    attempts: int = 0
    claim: int | None = None


@dataclass(frozen=True, slots=True)
class ParkedRow:
    """A parked delivery of one consumer."""

    consumer: str
    parked: Parked


DocumentKey = tuple[str, int, str, str]
"""View, generation, tenant and key."""


class Table(Generic[K, V]):
    """Committed rows, through the changes of one transaction. `commit` makes them everyone's."""

    __slots__ = ("_changes", "_dropped", "_rows")

    def __init__(self, rows: dict[K, V]) -> None:
        self._rows = rows
        self._changes: dict[K, V] = {}
        self._dropped: set[K] = set()

    def get(self, key: K) -> V | None:
        if key in self._changes:
            return self._changes[key]
        if key in self._dropped:
            return None
        return self._rows.get(key)

    def put(self, key: K, value: V) -> None:
        self._dropped.discard(key)
        self._changes[key] = value

    def drop(self, key: K) -> None:
        self._changes.pop(key, None)
        self._dropped.add(key)

    def items(self) -> Iterator[tuple[K, V]]:
        """Every row: those untouched in the order they came, then the changed ones.

        Not to be held over an `await`.
        """
        if not self._changes and not self._dropped:
            yield from self._rows.items()
            return
        for key, value in self._rows.items():
            if key not in self._changes and key not in self._dropped:
                yield key, value
        yield from self._changes.items()

    def values(self) -> Iterator[V]:
        """As `items`."""
        if not self._changes and not self._dropped:
            return iter(self._rows.values())
        return (value for _, value in self.items())

    def commit(self) -> None:
        for key in self._dropped:
            self._rows.pop(key, None)
        if self._changes:
            self._rows.update(self._changes)


class Rows:
    """All that a database holds."""

    def __init__(self) -> None:
        self.streams: dict[str, StreamRow] = {}
        self.events: dict[tuple[str, int], Recorded] = {}
        self.event_ids: dict[str, tuple[str, int]] = {}
        self.outbox: dict[int, OutboxRow] = {}
        self.positions: dict[tuple[str, Partition], Ownership] = {}
        self.marks: dict[tuple[str, str], int] = {}
        self.jobs: dict[str, JobRow] = {}
        self.documents: dict[DocumentKey, Document] = {}
        self.generations: dict[str, int] = {}
        self.answers: dict[tuple[str, str], Answer] = {}
        self.parked: dict[int, ParkedRow] = {}
        self.numbers: dict[str, int] = {}


class Tables:
    """A database as one transaction sees it; a table is opened when it is first asked for."""

    streams: Table[str, StreamRow]
    events: Table[tuple[str, int], Recorded]
    event_ids: Table[str, tuple[str, int]]
    outbox: Table[int, OutboxRow]
    positions: Table[tuple[str, Partition], Ownership]
    marks: Table[tuple[str, str], int]
    jobs: Table[str, JobRow]
    documents: Table[DocumentKey, Document]
    generations: Table[str, int]
    answers: Table[tuple[str, str], Answer]
    parked: Table[int, ParkedRow]
    numbers: Table[str, int]

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __getattr__(self, name: str) -> Any:
        table: Table[Any, Any] = Table(getattr(self._rows, name))
        setattr(self, name, table)
        return table

    def commit(self) -> None:
        for opened in vars(self).values():
            if isinstance(opened, Table):
                opened.commit()
