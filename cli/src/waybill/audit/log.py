"""The log and its readers: whole, in order, on the bus, applied once (I9 to I11)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TypeAlias

from waybill.audit.evidence import Evidence, Finding, OnBus
from waybill.audit.facts import Json
from waybill_events.catalogue import SUBSCRIPTIONS, TOPICS
from waybill_events.envelope import Recorded

_FIELDS = tuple(field.name for field in fields(Recorded))
TOLD_MAX = 20
"""Versions named of a stream that is not whole."""


def i9_streams_are_whole(evidence: Evidence) -> Finding:
    """The bus got each event when it was new: what was changed in a store since differs from it."""
    finding = Finding(
        "I9",
        "streams are contiguous from 1 and immutable",
        must_see=("events", "streams", "events compared with the bus"),
    )
    if evidence.events:
        finding.needs("the bus", evidence.bus)
    finding.looked("events", len(evidence.events))
    finding.looked("streams", len(evidence.by_stream))
    for stream, events in evidence.by_stream.items():
        found = sorted(event.version for event in events)
        if found != list(range(1, len(found) + 1)):
            finding.violations.append(
                finding.says("not-whole", f"{stream} has versions {found[:TOLD_MAX]}", stream)
            )
    if len(evidence.stored) < len(evidence.events):
        ids = Counter(event.event_id for event in evidence.events)
        finding.violations += [
            finding.says("id-twice", f"event id {i} occurs {n} times", i)
            for i, n in ids.items()
            if n > 1
        ]
    finding.violations += [
        finding.says(
            "unreadable",
            f"{bad.recorded.event_id} ({bad.recorded.type}) cannot be read: {bad.why}",
            bad.recorded.event_id,
        )
        for bad in evidence.unreadable
    ]
    for message in evidence.bus or ():
        kept = evidence.stored.get(message.event.event_id)
        if kept is not None:
            finding.looked("events compared with the bus")
            if kept is not message.event and (names := _differing(kept, message.event)):
                finding.violations.append(
                    finding.says(
                        "differs",
                        f"{kept.event_id} differs between store and bus in {', '.join(names)}",
                        kept.event_id,
                    )
                )
    return finding


def _differing(one: Recorded, other: Recorded) -> Sequence[str]:
    return [name for name in _FIELDS if getattr(one, name) != getattr(other, name)]


def i10_published_and_applied_once(evidence: Evidence) -> Finding:
    finding = Finding(
        "I10",
        "each event reaches the bus, and each consumer applies it once",
        must_see=(
            "events looked for on the bus",
            "messages looked for in the stores",
            "consumers' partitions",
            "decisions",
        ),
    )
    stored = evidence.stored
    if stored:
        finding.needs("the bus", evidence.bus)
        finding.needs("the consumers' positions", evidence.consumers)
        finding.needs("what people discarded", evidence.given_up, may_be_empty=True)
    if evidence.bus is not None:
        on_bus = {message.event.event_id for message in evidence.bus}
        finding.looked("events looked for on the bus", len(stored))
        finding.looked("messages looked for in the stores", len(evidence.bus))
        finding.violations += [
            finding.says(
                "unpublished", f"{event.event_id} ({event.type}) is not on the bus", event.event_id
            )
            for event in evidence.events
            if event.event_id not in on_bus
        ]
        strays = [message for message in evidence.bus if message.event.event_id not in stored]
        left = _not_given_up(strays, evidence.given_up or {})
        finding.violations += [
            finding.says(
                "stray",
                f"{message.event.event_id} is on the bus and in no store",
                message.event.event_id,
                message.place,
            )
            for message in left
        ]
        if gone := len(strays) - len(left):
            finding.notes.append(
                f"{gone:,} in no store, and discarded by people in every service that reads it"
            )
    for taken in evidence.consumers or ():
        finding.looked("consumers' partitions")
        if taken.applied < taken.written:
            behind = taken.written - taken.applied
            finding.violations.append(
                finding.says(
                    "behind",
                    f"{taken.consumer} is {behind} behind on {taken.place}",
                    taken.consumer,
                    taken.place,
                )
            )
        if taken.beyond:
            finding.violations.append(
                finding.says(
                    "past-the-end",
                    f"{taken.consumer} stands {taken.beyond} past the end of {taken.place}",
                    taken.consumer,
                    taken.place,
                )
            )
    _decided_once(evidence, finding)
    return finding


def _not_given_up(
    strays: Sequence[OnBus], given_up: Mapping[str, Sequence[Json]]
) -> Sequence[OnBus]:
    """Without what a person has discarded in every service that reads its topic.

    An event goes by its id and its place in the stream, anything else by where it stands.
    """
    gone = {name: {_told(record) for record in records} for name, records in given_up.items()}
    readers = {
        topic: [name for name, topics in SUBSCRIPTIONS.items() if topic in topics]
        for topic in TOPICS
    }
    return [
        stray
        for stray in strays
        if not all(
            gone.get(name, set()) & {_named(stray), _placed(stray)}
            for name in readers[stray.event.topic]
        )
    ]


Named: TypeAlias = tuple[object, object, object]


def _named(message: OnBus) -> Named:
    return message.event.event_id, message.event.stream, message.event.version


def _placed(message: OnBus) -> Named:
    return message.event.topic, message.partition, message.offset


def _told(record: Json) -> Named:
    """What a record of a discard is of; the one that says what was taken instead is of nothing."""
    if (event := record.get("event")) is not None:
        return event["event_id"], event["stream"], event["version"]
    return record.get("topic"), record.get("partition"), record.get("offset")


def _decided_once(evidence: Evidence, finding: Finding) -> None:
    """No event led to the same words twice on one stream, as it would if it was taken twice."""
    for stream, events in evidence.by_stream.items():
        caused = [event for event in events if event.causation_id in evidence.stored]
        said = Counter((event.causation_id, event.type, event.data) for event in caused)
        finding.looked("decisions", len(said))
        if len(said) < len(caused):
            finding.violations += [
                finding.says(
                    "decided-twice",
                    f"{stream}: {cause} led to {type_} {count} times",
                    stream,
                    cause,
                )
                for (cause, type_, _), count in said.items()
                if count > 1
            ]


def i11_order_is_kept(evidence: Evidence) -> Finding:
    finding = Finding(
        "I11",
        "per-order order is kept; a poison event parks its key alone",
        must_see=("messages on the bus", "consumers' partitions"),
    )
    last: dict[str, int] = {}
    home: dict[str, tuple[str, int]] = {}
    if evidence.events:
        finding.needs("the bus", evidence.bus)
        finding.needs("the parked keys", evidence.consumers)
    finding.looked("messages on the bus", len(evidence.bus or ()))
    for message in sorted(evidence.bus or (), key=_position):
        stream, version = message.event.stream, message.event.version
        place = (message.event.topic, message.partition)
        if home.setdefault(stream, place) != place:
            finding.violations.append(
                finding.says(
                    "on-two-partitions", f"{stream} is on {home[stream]} and {place}", stream
                )
            )
        before = last.get(stream, 0)
        if version > before + 1:
            finding.violations.append(
                finding.says(
                    "out-of-order", f"{stream} goes from {before} to {version} at {place}", stream
                )
            )
        last[stream] = max(before, version)
    for taken in evidence.consumers or ():
        finding.looked("consumers' partitions")
        if taken.parked:
            finding.violations.append(
                finding.says(
                    "parked",
                    f"{taken.consumer} has parked {taken.parked} deliveries of {taken.place}",
                    taken.consumer,
                    taken.place,
                )
            )
        finding.violations += [
            finding.says(
                "marked-too-much",
                f"{taken.consumer} has marked {stream} on {taken.place}",
                taken.consumer,
                taken.place,
            )
            for stream in taken.ahead
        ]
        if not taken.parked:
            finding.violations += [
                finding.says(
                    "passed-over",
                    f"{taken.consumer} passed over {stream} on {taken.place}",
                    taken.consumer,
                    taken.place,
                )
                for stream in taken.passed_over
            ]
    return finding


def _position(message: OnBus) -> tuple[str, int, int]:
    return message.event.topic, message.partition, message.offset
