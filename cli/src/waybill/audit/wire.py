"""What crosses the bus, and what a rebuild came to, as evidence: of real and simulated systems."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from waybill.audit.evidence import Compared, OnBus
from waybill.audit.facts import Json
from waybill_events import envelope
from waybill_events.catalogue import SUBSCRIPTIONS, TOPICS
from waybill_events.envelope import DEFAULT_TENANT, InvalidEnvelope, Recorded
from waybill_runtime.bus import Bus, Delivery, Partition
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.intake import DISCARDED
from waybill_runtime.rebuild import Comparison

PAGE = 1_000
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


async def messages(bus: Bus, at: dict[Partition, int]) -> AsyncIterator[Delivery]:
    """What came since `at` on every partition of ours; moves `at` on."""
    bounds = await bus.bounds(sorted(TOPICS))
    for partition, (first, end) in bounds.items():
        at.setdefault(partition, first)
        while at[partition] < end:
            batch = await bus.read(partition, at[partition], PAGE)
            if not batch:
                break
            for delivery in batch:
                yield delivery
            at[partition] = batch[-1].offset + 1


def on_bus(delivery: Delivery, stored: Mapping[str, Recorded]) -> OnBus:
    """A message as evidence. One that says what the store says is the stored event itself.

    What is no event of ours is named by its place: it is in no store.
    """
    partition, message = delivery.partition, delivery.message
    try:
        event = envelope.from_message(message.topic, message.headers, message.value)
    except InvalidEnvelope as error:
        event = _unknown(delivery, error)
    if event.key != message.key:  # it went to the partition of this key, whatever its header says
        event = replace(event, key=message.key)
    kept = stored.get(event.event_id)
    said = event if kept is None or kept != event else kept
    return OnBus(partition.number, delivery.offset, said)


def _unknown(delivery: Delivery, error: InvalidEnvelope) -> Recorded:
    partition, message = delivery.partition, delivery.message
    name = f"message {partition.topic}/{partition.number} offset {delivery.offset} ({error})"
    return Recorded(
        event_id=name,
        type="",
        stream=name,
        version=1,
        tenant="",
        topic=partition.topic,
        key=message.key,
        occurred_at=_NEVER,
        causation_id="",
        correlation_id="",
        actor="",
        origin="",
        data=message.value.decode(errors="backslashreplace"),
    )


async def discards(on: Infrastructure, bus: Iterable[OnBus]) -> Sequence[Json]:
    """What a person gave up in a service, in any tenant that the bus knows: the records."""
    found: list[Json] = []
    async with on.store.reading() as reading:
        for tenant in sorted({DEFAULT_TENANT, *(message.event.tenant for message in bus)}):
            after: str | None = None
            while page := await reading.documents.find(
                tenant, DISCARDED, {}, after=after, limit=PAGE
            ):
                found += [json.loads(document.body) for _, document in page]
                after = page[-1][0]
    return found


async def passed_over(
    name: str,
    on: Infrastructure,
    bus: Iterable[OnBus],
    stored: Mapping[str, Recorded],
    given_up: Sequence[Json],
) -> Mapping[Partition, Sequence[str]]:
    """Streams of which a consumer has not taken all that the bus has, by where they are.

    Only what the stores have as well is asked for, and of one that stands at the end of the
    bus: what it has parked, it says; the rest it has taken, or has passed over in silence. What
    was `given_up` is no silence; another event of such a version, not taken either, is.
    """
    gone = _Gone.of(given_up)
    ours: dict[str, dict[int, tuple[Partition, str]]] = {}
    for message in bus:
        event = message.event
        if event.topic in SUBSCRIPTIONS[name] and stored.get(event.event_id) is event:
            place = Partition(event.topic, message.partition)
            versions = ours.setdefault(event.stream, {})
            if event.stream not in gone.streams:  # then the last is all that matters
                if event.version < max(versions, default=0):
                    continue
                versions.clear()
            versions[event.version] = place, event.event_id
    found: dict[Partition, list[str]] = {}
    streams = sorted(ours)
    async with on.store.reading() as reading:
        for at in range(0, len(streams), PAGE):
            page = streams[at : at + PAGE]
            seen = await reading.inbox.seen(name, page)
            for stream in page:
                taken, versions = seen.get(stream, 0), ours[stream]
                for version in sorted(versions):
                    place, event_id = versions[version]
                    if gone.swallowed(stream, version, event_id, taken):
                        found.setdefault(place, []).append(f"{stream} at version {version}")
                while taken + 1 in versions and gone.knows(
                    stream, taken + 1, versions[taken + 1][1]
                ):
                    taken += 1
                if taken < (last := max(versions)):
                    place = versions[last][0]
                    found.setdefault(place, []).append(f"{stream} after version {taken}")
    return found


async def ahead(
    name: str, on: Infrastructure, bus: Iterable[OnBus]
) -> Mapping[Partition, Sequence[str]]:
    """Streams of which a consumer has marked more than the bus has: what comes next would be lost.

    Of partitions alone that still end where `bus` ends, once the marks are read: elsewhere more
    may have come and been taken since.
    """
    ends: dict[Partition, int] = {}
    last: dict[str, tuple[Partition, int]] = {}
    for message in bus:
        event, place = message.event, Partition(message.event.topic, message.partition)
        ends[place] = max(ends.get(place, 0), message.offset + 1)
        if event.topic in SUBSCRIPTIONS[name]:
            last[event.stream] = place, max(last.get(event.stream, (place, 0))[1], event.version)
    marked: dict[str, int] = {}
    streams = sorted(last)
    async with on.store.reading() as reading:
        for at in range(0, len(streams), PAGE):
            marked |= await reading.inbox.seen(name, streams[at : at + PAGE])
    found: dict[Partition, list[str]] = {}
    after = await on.bus.bounds(SUBSCRIPTIONS[name])
    for stream, (place, version) in last.items():
        if marked.get(stream, 0) > version and after[place][1] == ends[place]:
            said = f"{stream} at version {marked[stream]}, beyond its last, {version},"
            found.setdefault(place, []).append(said)
    return found


@dataclass(slots=True)
class _Gone:
    """Places of streams where a person gave something up, and what was taken there instead."""

    streams: set[str] = field(default_factory=set)
    ids: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    taken: dict[tuple[str, int], str] = field(default_factory=dict)

    @staticmethod
    def of(records: Sequence[Json]) -> "_Gone":
        gone = _Gone()
        for record in records:
            if "taken" in record:
                gone.taken[record["stream"], record["version"]] = record["taken"]
            elif (event := record["event"]) is not None and not record.get("known"):
                gone.streams.add(event["stream"])
                place = event["stream"], event["version"]
                gone.ids.setdefault(place, set()).add(event["event_id"])
        return gone

    def knows(self, stream: str, version: int, event_id: str) -> bool:
        return event_id in self.ids.get((stream, version), ())

    def swallowed(self, stream: str, version: int, event_id: str, taken: int) -> bool:
        """Whether the consumer has gone by without this event, for another that was given up."""
        place = stream, version
        if version > taken or place not in self.ids or self.knows(stream, version, event_id):
            return False
        return self.taken.get(place) != event_id


def compared(service: str, comparison: Comparison) -> Compared:
    """A comparison as evidence."""
    return Compared(
        f"{service} {comparison.view}",
        comparison.live_hash,
        comparison.rebuilt_hash,
        comparison.documents,
        tuple(comparison.missing),
    )
