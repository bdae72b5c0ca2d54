"""What a delivery means, told once: for the live consumer, for a retry, and for a rebuild.

Pure. A read model equals its rebuild only if all three judge alike.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from waybill_events import codec, envelope
from waybill_events.catalogue import CATALOGUE, TOPICS
from waybill_events.codec import InvalidEvent
from waybill_events.envelope import DEFAULT_TENANT, InvalidEnvelope, Recorded
from waybill_events.event import Event
from waybill_events.upcast import STEPS, Step, newest
from waybill_runtime.bus import Delivery, Message
from waybill_runtime.stored import Document, Parked


class Poison(Exception):
    """A delivery that can never be applied as it is."""


class Gap(Poison):
    """An event that came before the one it follows."""


@dataclass(frozen=True, slots=True)
class Apply:
    """The next of its stream; `event` None where nobody handles its type: then it is noted only."""

    event: Event | None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """It was taken before, or given up."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Of one stream: the events that a person gave up, and who stands in their place if anybody."""

    events: Mapping[int, Collection[str]] = field(default_factory=dict)
    """Their ids, by version."""
    taken: Mapping[int, str] = field(default_factory=dict)
    """By version: the id of the event that was taken there after all."""

    def concerns(self, recorded: Recorded) -> bool:
        """Whether another event was given up where this one belongs."""
        return recorded.version in self.events

    def taking(self, recorded: Recorded) -> "GivenUp":
        return replace(self, taken={**self.taken, recorded.version: recorded.event_id})


NOTHING_GIVEN_UP = GivenUp()

Verdict: TypeAlias = Apply | Duplicate | Gap | Poison
"""Gap and Poison are exceptions, for whoever cannot go on to raise."""


def said(message: Message) -> Recorded:
    """The event that a message carries. Read once, and kept on the message.

    Raises:
        Poison: as `opened`.
    """
    if message.said is None:
        recorded = opened(message.topic, message.key, message.headers, message.value)
        object.__setattr__(message, "said", recorded)
        return recorded
    return message.said


def opened(topic: str, key: str, headers: Sequence[tuple[str, bytes]], value: bytes) -> Recorded:
    """The event that a delivery carries.

    Raises:
        Poison: it is none of ours, or not where it belongs: under another key than its own it
            would be read beside that key's events by another consumer, and park what is not its.
    """
    try:
        recorded = envelope.from_message(topic, headers, value)
    except InvalidEnvelope as error:
        raise Poison(str(error)) from error
    if recorded.key != key:
        raise Poison("the message's key is not that of header ce_partitionkey")
    entry = CATALOGUE.get(recorded.type)
    if entry is not None and topic in TOPICS and entry.topic != topic:
        raise Poison(f"type {recorded.type} does not belong on topic {topic}")
    return recorded


def judge(
    recorded: Recorded,
    seen: Mapping[str, int],
    handles: Collection[str],
    *,
    strict: bool,
    given_up: GivenUp = NOTHING_GIVEN_UP,
    steps: Mapping[str, Step] = STEPS,
) -> Verdict:
    """What to do with an event, given the last version taken of each stream.

    `handles` are today's types: an older one counts as what it has become. `strict`: a type that
    nobody knows is poison, whether it is handled or not. `given_up` of the event's stream: such
    an event is known, by its id; another of its version is not, and a later one steps over it.
    """
    last, version = seen.get(recorded.stream, 0), recorded.version
    gone = given_up.events.get(version, ())
    if recorded.event_id in gone:
        return Duplicate()
    if version <= last:
        if gone and version not in given_up.taken:
            return Poison(f"{recorded.stream} went on without {version}, given up as {min(gone)}")
        return Duplicate()
    if any(missing not in given_up.events for missing in range(last + 1, version)):
        return Gap(f"{recorded.stream} is at {last}, this is {version}")
    if strict and recorded.type not in CATALOGUE and recorded.type not in steps:
        return Poison(f"type {recorded.type} is unknown to this release")
    if newest(recorded.type, steps) not in handles:
        return Apply(None)
    try:
        return Apply(codec.decode(recorded, steps=steps))
    except InvalidEvent as error:
        return Poison(str(error))


KEY_CHARACTERS_MAX = 200


def key_to_keep(key: str) -> str:
    """A foreign message's key as a store takes it: no NUL, and short enough for an index."""
    readable = key.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if len(readable) <= KEY_CHARACTERS_MAX:
        return readable
    return f"{readable[:KEY_CHARACTERS_MAX]}~{hashlib.sha256(key.encode()).hexdigest()}"


def aside(delivery: Delivery, reason: str, now: datetime) -> Parked:
    """The delivery as it is set aside behind its key, or as it came where it has none of ours."""
    try:
        recorded = said(delivery.message)
        tenant, key = recorded.tenant, recorded.key
    except Poison:
        tenant, key = DEFAULT_TENANT, key_to_keep(delivery.message.key)
    return Parked(
        position=0,
        tenant=tenant,
        key=key,
        reason=reason,
        partition=delivery.partition,
        offset=delivery.offset,
        headers=delivery.message.headers,
        value=delivery.message.value,
        parked_at=now,
    )


REPAIRED = "repaired"
"""The view that keeps the bodies that stand in for what could not be applied, by whom and why.

Events never change: the bus and the log keep what was said, and this says how it is taken.
"""

DISCARDED = "discarded"
"""The view that keeps what was discarded, by whom and why; its events are left out."""


def left_out(consumer: str, recorded: Recorded) -> str:
    """The key in `repaired` of an event."""
    return f"{consumer}:{recorded.stream}@{recorded.version}"


def repaired(recorded: Recorded, record: Document | None) -> Recorded:
    """The event as it is taken: under its own id, with the body that a person gave it, if any."""
    if record is None:
        return recorded
    return replace(recorded, data=str(json.loads(record.body)["data"]))
