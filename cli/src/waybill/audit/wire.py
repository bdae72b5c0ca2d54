"""What crosses the bus, and what a rebuild came to, as evidence: of real and simulated systems."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from waybill.audit.evidence import Compared, OnBus
from waybill_events import envelope
from waybill_events.catalogue import SUBSCRIPTIONS, TOPICS
from waybill_events.envelope import InvalidEnvelope, Recorded
from waybill_runtime.bus import Bus, Delivery, Partition
from waybill_runtime.infrastructure import Infrastructure
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


async def passed_over(
    name: str, on: Infrastructure, bus: Iterable[OnBus], stored: Mapping[str, Recorded]
) -> Mapping[Partition, Sequence[str]]:
    """Streams of which a consumer has not taken all that the bus has, by where they are.

    Only what the stores have as well is asked for, and of one that stands at the end of the
    bus: what it has parked, it says; the rest it has taken, or has passed over in silence.
    """
    last: dict[str, tuple[Partition, int]] = {}
    for message in bus:
        event = message.event
        if event.topic in SUBSCRIPTIONS[name] and stored.get(event.event_id) is event:
            before = last.get(event.stream, (None, 0))[1]
            place = Partition(event.topic, message.partition)
            last[event.stream] = (place, max(before, event.version))
    found: dict[Partition, list[str]] = {}
    streams = sorted(last)
    async with on.store.reading() as reading:
        for at in range(0, len(streams), PAGE):
            page = streams[at : at + PAGE]
            seen = await reading.inbox.seen(name, page)
            for stream in page:
                place, version = last[stream]
                if (taken := seen.get(stream, 0)) < version:
                    found.setdefault(place, []).append(f"{stream} after version {taken}")
    return found


def compared(service: str, comparison: Comparison) -> Compared:
    """A comparison as evidence."""
    return Compared(
        f"{service} {comparison.view}",
        comparison.live_hash,
        comparison.rebuilt_hash,
        comparison.documents,
        tuple(comparison.missing),
    )
