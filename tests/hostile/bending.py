"""Hostile events: real messages of the bus, bent in one of many ways, each under a key of its own.

Each way says what must become of it: `parked` by all who read its topic, `unreadable` where its
type is acted on (others only note it), `stranger` where unknown types are poison, `known` where
it was taken before.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from waybill_events import codec
from waybill_events.catalogue import TOPICS
from waybill_events.envelope import InvalidEnvelope, Recorded, from_message
from waybill_runtime.bus import Message

Bend = Callable[[random.Random, Message], Message]
MARK = "hostile"


@dataclass(frozen=True, slots=True)
class Hostile:
    """One bent message: how it was bent, and what must become of it."""

    way: str
    fate: str
    message: Message
    stream: str


def headers(message: Message, **changes: bytes | None) -> Message:
    """With other values for some headers; None leaves one out."""
    kept = [(name, changes.get(name, raw)) for name, raw in message.headers]
    return replace(message, headers=tuple((name, raw) for name, raw in kept if raw is not None))


def also(message: Message, *more: tuple[str, bytes]) -> Message:
    return replace(message, headers=(*message.headers, *more))


def header(message: Message, name: str) -> str:
    return dict(message.headers)[name].decode()


def _data(message: Message, data: Any) -> Message:
    return replace(message, value=json.dumps(data).encode())


def _leaf(dice: random.Random, message: Message, values: Sequence[Any]) -> Message:
    """One field of the data set to something else."""
    data = json.loads(message.value)
    at: Any = data
    while True:
        places = list(at) if isinstance(at, dict) else list(range(len(at)))
        place = dice.choice(places)
        if isinstance(at[place], dict | list) and at[place] and dice.random() < 0.8:
            at = at[place]
            continue
        at[place] = dice.choice(values)
        return _data(message, data)


def _less(dice: random.Random, message: Message) -> Message:
    data = json.loads(message.value)
    del data[dice.choice(list(data))]
    return _data(message, data)


def _deep(dice: random.Random, message: Message) -> Message:
    depth = dice.choice((200, 5_000, 100_000))
    nest = b"[" * depth + b"]" * dice.choice((0, depth))
    return replace(message, value=b'{"a":' + nest + b"}")


def _drop(dice: random.Random, message: Message) -> Message:
    names = [n for n, _ in message.headers if n not in UNREAD]
    return headers(message, **{dice.choice(names): None})


def _double(dice: random.Random, message: Message) -> Message:
    return also(message, dice.choice([pair for pair in message.headers if pair[0] not in UNREAD]))


def _spoil(dice: random.Random, message: Message) -> Message:
    name = dice.choice([n for n, _ in message.headers if n not in UNREAD])
    raw = dice.choice((b"\xff\xfe", b"a\0b", b"x" * 5_000, b"\xed\xa0\x80", b"\xc0\xaf"))
    return headers(message, **{name: raw})


def _foreign(dice: random.Random, message: Message) -> Message:
    """A foreign producer's message: nothing of it is ours."""
    names = ("", "x", "content-type", "CE_ID", "ce_id\u2028", "é", "x" * 3_000, "traceparent")
    found = tuple((dice.choice(names), dice.randbytes(20)) for _ in range(dice.randint(0, 5)))
    return replace(message, headers=found, value=dice.randbytes(dice.randint(0, 300)))


def _version(dice: random.Random, message: Message) -> Message:
    wrong = ("0", "-1", "1.0", " 1", "\uff11", "9" * 30, "", "one", "0x1", "+1", "1_0")
    return headers(message, ce_streamversion=dice.choice(wrong).encode())


def _time(dice: random.Random, message: Message) -> Message:
    wrong = ("", "now", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "99999-01-01T00:00:00Z", "0")
    return headers(message, ce_time=dice.choice(wrong).encode())


def _topic(dice: random.Random, message: Message) -> Message:
    return replace(message, topic=dice.choice([t for t in TOPICS if t != message.topic]))


def _cut(dice: random.Random, message: Message) -> Message:
    return replace(message, value=message.value[: dice.randrange(len(message.value))])


def _type(text: str) -> Bend:
    return lambda _, message: headers(message, ce_type=text.encode())


TYPES: Sequence[Any] = (None, True, -1, 1.5, "x", "", [], {}, "\0", "null", ["x"])
HUGE: Sequence[Any] = (10**30, -(10**30), 1e308, 10**400, -(2**63) - 1, "9" * 5_000)
SURROGATES = ("\ud800", "a\udfffb", "\udcff")
NO_JSON = (b"\xef\xbb\xbf", b"<a/>", b"NaN", b"{'a':1}", b'{"a":1', b"{}{}", b"\x80\x04K\x01.")
NO_UTF8 = (b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf8\x88\x80\x80\x80")
UNREAD = ("ce_source", "ce_subject", "ce_dataschema", "content-type")
"""Headers that nobody reads: without them an event is none the worse."""

WAYS: Mapping[str, tuple[str, Bend]] = {
    "truncated": ("unreadable", _cut),
    "null value": ("unreadable", lambda _, m: replace(m, value=b"")),
    "wrong types": ("unreadable", lambda d, m: _leaf(d, m, TYPES)),
    "huge numbers": ("unreadable", lambda d, m: _leaf(d, m, HUGE)),
    "lone surrogates": ("unreadable", lambda d, m: _leaf(d, m, SURROGATES)),
    "field missing": ("unreadable", _less),
    "deep nest": ("unreadable", _deep),
    "no object": ("unreadable", lambda d, m: _data(m, d.choice(TYPES))),
    "no JSON": ("unreadable", lambda d, m: replace(m, value=d.choice(NO_JSON))),
    "NUL in value": ("parked", lambda _, m: replace(m, value=m.value[:9] + b"\0" + m.value[9:])),
    "bad UTF-8": ("parked", lambda d, m: replace(m, value=m.value + d.choice(NO_UTF8))),
    "header missing": ("parked", _drop),
    "header doubled": ("parked", _double),
    "header spoilt": ("parked", _spoil),
    "foreign message": ("parked", _foreign),
    "wrong version": ("parked", _version),
    "wrong time": ("parked", _time),
    "wrong specversion": ("parked", lambda _, m: headers(m, ce_specversion=b"2.0")),
    "version gap": ("parked", lambda d, m: headers(m, ce_streamversion=b"%d" % d.randint(2, 9))),
    "null key": ("parked", lambda _, m: replace(m, key="")),
    "wrong key": ("parked", lambda d, m: replace(m, key=f"{MARK}-other-{d.random()}")),
    "monstrous key": (
        "parked",
        lambda d, m: replace(m, key=f"{MARK}\0" + "k" * d.randint(1, 9_999)),
    ),
    "other tenant's stream": ("parked", lambda _, m: headers(m, ce_tenant=b"other")),
    "wrong topic": ("parked", _topic),
    "future schema": ("stranger", lambda _, m: _type(header(m, "ce_type")[:-1] + "99")(_, m)),
    "unknown type": ("stranger", _type("loyalty.points_won.v1")),
    "type of spaces": ("stranger", _type("  ")),
}


def bend(dice: random.Random, corpus: Sequence[Message], number: int, way: str) -> Hostile:
    """A message bent this way; the first that is truly broken of those that come."""
    fate, how = WAYS[way]
    while True:
        fresh = _renamed(dice.choice(corpus), f"{MARK}-{number}")
        bent = how(dice, fresh)
        if _is_broken(bent, fate):
            return Hostile(way, fate, bent, header(fresh, "ce_stream"))


def again(dice: random.Random, corpus: Sequence[Message]) -> Hostile:
    """A message that was taken before, decorated; whatever its data, its version is known."""
    message = dice.choice(corpus)
    if dice.random() < 0.5:
        message = replace(message, value=message.value[: dice.randrange(len(message.value))])
    decorated = also(message, ("x-foreign", dice.randbytes(9)), ("é\0\ud800"[:2], b""))
    return Hostile("known before", "known", decorated, header(message, "ce_stream"))


def _renamed(message: Message, key: str) -> Message:
    """The same as the first event of a stream of its own."""
    old = message.key.encode()
    new = key.encode()
    renamed = [(name, raw.replace(old, new)) for name, raw in message.headers]
    found = replace(message, key=key, headers=tuple(renamed), value=message.value.replace(old, new))
    stream = b"default/hostile/" + new
    return headers(found, ce_id=b"evt_" + new, ce_stream=stream, ce_streamversion=b"1")


def _is_broken(message: Message, fate: str) -> bool:
    """Not by chance an event like any other: a bend may leave data as good as they were."""
    if fate != "unreadable":
        return True
    try:
        recorded: Recorded = from_message(message.topic, message.headers, message.value)
    except InvalidEnvelope:
        return False  # then it is parked by all, which is another way
    try:
        codec.decode(recorded)
    except codec.InvalidEvent:
        return True
    return False
