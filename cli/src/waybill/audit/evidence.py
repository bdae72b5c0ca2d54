"""What an auditor looks at: logs, bus, ledgers, views, and what clients saw. No opinions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from waybill.ledger import Polled, Posted
from waybill_events.envelope import Recorded

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fact:
    """One event with its data parsed."""

    recorded: Recorded
    data: Json


@dataclass(frozen=True, slots=True)
class OnBus:
    """One message of the bus, where it stood, and its value as it came."""

    topic: str
    partition: int
    offset: int
    event_id: str
    stream: str
    version: int
    value: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A read model beside its rebuild from offset 0."""

    view: str
    live_hash: str
    rebuilt_hash: str
    documents: int


@dataclass(frozen=True, slots=True)
class Taken:
    """How far a consumer is on one topic: applied, on the bus, parked."""

    consumer: str
    topic: str
    applied: int
    written: int
    parked: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a service logged, and where."""

    where: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything the oracles may look at. What is None could not be had, and is not checked."""

    at: datetime
    events: Sequence[Recorded]
    bus: Sequence[OnBus] | None = None
    gateway: Sequence[Json] | None = None
    carrier: Sequence[Json] | None = None
    mail: Sequence[Json] | None = None
    stock: Mapping[str, Json] | None = None
    views: Sequence[Compared] | None = None
    tracked: Mapping[str, int] | None = None
    consumers: Sequence[Taken] | None = None
    personal: Sequence[str] | None = None
    logs: Sequence[LogLine] | None = None
    clients: Sequence[Posted | Polled] = ()
    require_settled: bool = False

    @cached_property
    def facts(self) -> Sequence[Fact]:
        return [Fact(recorded, json.loads(recorded.data)) for recorded in self.events]

    @cached_property
    def by_type(self) -> Mapping[str, Sequence[Fact]]:
        """Facts by type without version: `capture.order_placed`."""
        found: dict[str, list[Fact]] = {}
        for fact in self.facts:
            found.setdefault(fact.recorded.type.rpartition(".")[0], []).append(fact)
        return found

    @cached_property
    def by_order(self) -> Mapping[str, Sequence[Fact]]:
        """Facts by order id, each stream in its order."""
        found: dict[str, list[Fact]] = {}
        for fact in self.facts:
            if order_id := fact.data.get("order_id"):
                found.setdefault(order_id, []).append(fact)
        return found

    def of(self, type_: str) -> Sequence[Fact]:
        return self.by_type.get(type_, ())


@dataclass(slots=True)
class Finding:
    """What one oracle says: what it looked at, and every violation with its ids.

    `notes` name what is worth knowing and breaks no guarantee; `missing` what could not be had.
    """

    guarantee: str
    promise: str
    looked_at: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """`holds`, `violated`, or `not checked`: nothing to look at, or not all could be had."""
        if self.violations:
            return "violated"
        return "holds" if any(self.looked_at.values()) and not self.missing else "not checked"

    @property
    def is_refused(self) -> bool:
        """Whether somebody has to act: it is violated, or something to look at was kept from us."""
        return bool(self.violations or self.missing)

    def looked(self, what: str, count: int = 1) -> None:
        self.looked_at[what] = self.looked_at.get(what, 0) + count

    def needs(self, what: str, source: object) -> None:
        """Without this source the guarantee is not checked, whatever else was looked at."""
        if source is None:
            self.missing.append(what)
