"""What an auditor looks at: logs, bus, ledgers, views, and what clients saw. No opinions."""

from collections.abc import Collection, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from waybill.audit import facts
from waybill.audit.facts import Fact, Json, Unreadable
from waybill.ledger import Polled, Posted
from waybill_events.envelope import Recorded
from waybill_runtime.bus import Partition


def place(partition: Partition, offset: int) -> str:
    """Where a message stands, in words: as violations name it among their ids."""
    return f"{partition.topic}/{partition.number} offset {offset}"


@dataclass(frozen=True, slots=True)
class OnBus:
    """One message of the bus, where it stood, and the event that it carries.

    Where that is the stored event to the last letter, it is the same object: kept once in memory.
    """

    partition: int
    offset: int
    event: Recorded

    @property
    def place(self) -> str:
        return place(Partition(self.event.topic, self.partition), self.offset)


@dataclass(frozen=True, slots=True)
class Compared:
    """A read model beside its rebuild from offset 0.

    `missing` is what the live view has taken and the log does not give: one text for each place.
    """

    view: str
    live_hash: str
    rebuilt_hash: str
    documents: int
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """How far a consumer is on one partition of a topic: applied, on the bus, parked.

    `beyond`: how far it says it is past the end that the bus had when it was asked afterwards.
    `passed_over`: streams whose next event it left behind, in words. `ahead`: streams of which it
    says that it took more than there is, in words.
    """

    consumer: str
    topic: str
    partition: int
    applied: int
    written: int
    parked: int
    beyond: int
    passed_over: Sequence[str]
    ahead: Sequence[str]

    @property
    def place(self) -> str:
        return f"{self.topic}/{self.partition}"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a service logged, and where."""

    where: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything the oracles may look at. What is None could not be had, and is not checked.

    There are no defaults: who gathers says of each what it had, or that it had none.
    """

    at: datetime
    events: Sequence[Recorded]
    bus: Sequence[OnBus] | None
    gateway: Sequence[Json] | None
    carrier: Sequence[Json] | None
    mail: Sequence[Json] | None
    stock: Mapping[str, Json] | None
    views: Sequence[Compared] | None
    tracked: Mapping[str, int] | None
    """The version of each order's tracking view, as its store has it."""
    shown: Mapping[str, int] | None
    """The version that the tracking API shows of each order whose token a client wrote down."""
    consumers: Sequence[Taken] | None
    given_up: Mapping[str, Sequence[Json]] | None
    """By service: the records of what a person discarded there."""
    personal: Sequence[str] | None
    recipients: Collection[str] | None
    """References of the recipient vault that are there, or were erased since the log was read."""
    logs: Iterable[LogLine] | None
    """Read as they are gone through, and again each time: there may be gigabytes."""
    clients: Sequence[Posted | Polled]
    """Empty where no client kept a ledger."""
    require_settled: bool

    @classmethod
    def of_the_log_alone(cls, at: datetime, events: Sequence[Recorded]) -> "Evidence":
        """All else could not be had; whoever had some of it replaces that."""
        return cls(
            at=at,
            events=events,
            bus=None,
            gateway=None,
            carrier=None,
            mail=None,
            stock=None,
            views=None,
            tracked=None,
            shown=None,
            consumers=None,
            given_up=None,
            personal=None,
            recipients=None,
            logs=None,
            clients=(),
            require_settled=False,
        )

    @cached_property
    def _read(self) -> tuple[Sequence[Fact], Sequence[Unreadable]]:
        return facts.read(self.events)

    @property
    def facts(self) -> Sequence[Fact]:
        return self._read[0]

    @property
    def unreadable(self) -> Sequence[Unreadable]:
        """Events whose data is not what their type says; they are no facts."""
        return self._read[1]

    @cached_property
    def stored(self) -> Mapping[str, Recorded]:
        """Events by id."""
        return {event.event_id: event for event in self.events}

    @cached_property
    def by_stream(self) -> Mapping[str, Sequence[Recorded]]:
        """Events by stream, as they were read."""
        found: dict[str, list[Recorded]] = {}
        for event in self.events:
            found.setdefault(event.stream, []).append(event)
        return found

    @cached_property
    def by_type(self) -> Mapping[str, Sequence[Fact]]:
        """Facts by type without version: `capture.order_placed`."""
        found: dict[str, list[Fact]] = {}
        for fact in self.facts:
            found.setdefault(fact.kind, []).append(fact)
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


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong: what kind of thing, of what, and the sentence for people.

    `what` is one word or a few with hyphens, the same for all of its kind, and the guarantee's own.
    """

    guarantee: str
    what: str
    ids: Sequence[str]
    text: str


@dataclass(slots=True)
class Finding:
    """What one oracle says: what it looked at, and every violation with its ids.

    `must_see`: of what is counted, each that there must be some of, or nothing that matters was
    looked at. `notes` name what is worth knowing and breaks no guarantee; `missing` what could not
    be had.
    """

    guarantee: str
    promise: str
    must_see: Sequence[str] = ()
    looked_at: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """`holds`, `violated`, or `not checked`: not all that matters was there to look at."""
        if self.violations:
            return "violated"
        return "holds" if self.must_see and not self.unchecked else "not checked"

    @property
    def said(self) -> Sequence[str]:
        """Its violations as sentences."""
        return [one.text for one in self.violations]

    @property
    def unseen(self) -> Sequence[str]:
        """What it must see and saw none of."""
        return [what for what in self.must_see if not self.looked_at.get(what)]

    @property
    def unchecked(self) -> Sequence[str]:
        """Why it cannot hold, in words: what could not be had, and what it saw none of."""
        return [*self.missing, *(f"no {what}" for what in self.unseen)]

    @property
    def is_refused(self) -> bool:
        """Whether somebody has to act: it is violated, or something to look at was kept from us."""
        return bool(self.violations or self.missing)

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> "Finding":
        """A finding as it was written down as JSON; what is worked out of it is not read."""
        kept = {one.name: told[one.name] for one in fields(cls) if one.name in told}
        return cls(**{**kept, "violations": [Violation(**one) for one in told["violations"]]})

    def says(self, what: str, text: str, *ids: str) -> Violation:
        """One violation of this guarantee."""
        return Violation(self.guarantee, what, ids, text)

    def looked(self, what: str, count: int = 1) -> None:
        self.looked_at[what] = self.looked_at.get(what, 0) + count

    def needs(self, what: str, source: object, *, may_be_empty: bool = False) -> None:
        """Without this source the guarantee is not checked, whatever else was looked at.

        One with nothing in it was not had either, unless it may honestly be empty.
        """
        is_empty = isinstance(source, Sized) and not len(source)
        if source is None or (is_empty and not may_be_empty):
            self.missing.append(what)


def add_up(whole: dict[str, Finding], found: Finding, of: str = "") -> None:
    """Add what an oracle found to what it found elsewhere; `of` says before each text where."""
    sum_ = whole.setdefault(found.guarantee, Finding(found.guarantee, found.promise))
    sum_.must_see = found.must_see or sum_.must_see
    for what, count in found.looked_at.items():
        sum_.looked(what, count)
    sum_.violations += [replace(one, text=of + one.text) for one in found.violations]
    sum_.missing += [f"{of}{what}" for what in found.missing]
