"""A bus and the stores compared, event by event: what either has and the other lacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from waybill.failure import CONFLICT, Failure
from waybill_events import envelope
from waybill_events.catalogue import SUBSCRIPTIONS, TOPICS
from waybill_events.envelope import InvalidEnvelope
from waybill_runtime import republish as runtime
from waybill_runtime import setback
from waybill_runtime.infrastructure import Infrastructure

PAGE = 1_000
WAITING_MAX = 100_000


@dataclass(slots=True)
class Compared:
    """What was looked at, and what was found to be missing."""

    events: int = 0
    lacks: dict[str, int] = field(default_factory=dict)
    """By service: published events that the bus does not hold."""
    beyond: list[str] = field(default_factory=list)
    """Consumers that stand beyond the end of a partition."""
    unknown: dict[str, int] = field(default_factory=dict)
    """By service: what its store has lost, and the bus alone still holds."""

    @property
    def is_lost(self) -> bool:
        return bool(self.lacks or self.beyond)

    def lines(self) -> Sequence[str]:
        """What was found, for people."""
        found = [f"The bus lacks {n:,} events of {name}." for name, n in self.lacks.items()]
        return [*found, *(f"{one} beyond the end of the bus." for one in self.beyond)]


def topics_of(service: str) -> Sequence[str]:
    return sorted(topic for topic, owner in TOPICS.items() if owner == service)


def publishers(only: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """The services that publish anything, with their topics."""
    return {name: topics_of(name) for name in only if topics_of(name)}


async def compare(on: Mapping[str, Infrastructure], names: Sequence[str]) -> Compared:
    """Read the whole bus and the whole log of these services.

    The bus is read after the stores and once more at its end, so that what is on its way meanwhile
    is not missed.
    """
    found = Compared()
    for name, topics in publishers(names).items():
        waiting = await _waiting(on[name])
        stored = await _stored(on[name])
        on_bus = await _on_bus(on[name], topics)
        lacking = stored - on_bus - waiting
        if lacking:
            lacking -= await _waiting(on[name]) | await _on_bus(on[name], topics)
        if lacking:
            found.lacks[name] = len(lacking)
        if on_bus - stored and (gone := await setback.lost(on[name].store, on[name].bus, topics)):
            found.unknown[name] = len(gone)
        found.events += len(stored)
    found.beyond = await _beyond(on, {t for ts in publishers(names).values() for t in ts})
    return found


async def _waiting(on: Infrastructure) -> set[str]:
    async with on.store.reading() as reading:
        rows = await reading.streams.unpublished(WAITING_MAX)
    return {row.event.event_id for row in rows}


async def _stored(on: Infrastructure) -> set[str]:
    async with on.store.reading() as reading:
        return {event.event_id async for event in reading.streams.scan()}


async def _on_bus(on: Infrastructure, topics: Sequence[str]) -> set[str]:
    """The ids of all events there; what is no event of ours is left out."""
    found: set[str] = set()
    for partition, (first, end) in (await on.bus.bounds(topics)).items():
        at = first
        while at < end and (batch := await on.bus.read(partition, at, min(PAGE, end - at))):
            for delivery in batch:
                sent = delivery.message
                try:
                    event = envelope.from_message(sent.topic, sent.headers, sent.value)
                except InvalidEnvelope:
                    continue
                found.add(event.event_id)
            at = batch[-1].offset + 1
    return found


async def _beyond(on: Mapping[str, Infrastructure], topics: set[str]) -> list[str]:
    found = []
    for name, reads in SUBSCRIPTIONS.items():
        if wanted := sorted(topics.intersection(reads)):
            ends = await on[name].bus.bounds(wanted)
            async with on[name].store.reading() as reading:
                positions = await reading.inbox.positions(name)
            over = sum(positions.get(p, 0) > end for p, (_, end) in ends.items())
            if over:
                found.append(f"{name} stands at {over} partitions")
    return found


async def republish(on: Mapping[str, Infrastructure], names: Sequence[str]) -> Mapping[str, int]:
    """Have everything of these services sent again.

    Raises:
        Failure: a relay does not give way; nothing was changed.
    """
    first = next(iter(on.values()))
    try:
        told = await runtime.republish(
            {name: each.store for name, each in on.items()},
            first.bus,
            first.ids,
            publishers=publishers(names),
            subscriptions=SUBSCRIPTIONS,
        )
    except runtime.RelayAtWork as busy:
        what = f"Nothing was changed: {busy}."
        raise Failure(what, "Stop that service, then say it again.", code=CONFLICT) from busy
    return told.named
