"""What stands around every event: who, when, why, and where in which stream.

On the bus an event travels as a CloudEvent 1.0 in binary mode: this envelope is the headers, the
event's JSON the value (CloudEvents Kafka protocol binding 1.0.2, section 3.2).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

SPECVERSION = "1.0"
DEFAULT_TENANT = "default"


class StreamId(NamedTuple):
    """A stream: one aggregate of one tenant. Written `tenant/category/id`."""

    tenant: str
    category: str
    id: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.category}/{self.id}"

    @classmethod
    def parse(cls, text: str) -> "StreamId":
        """The stream that `text` names.

        Raises:
            ValueError: the text has not three parts.
        """
        tenant, category, name = text.split("/", 2)
        return cls(tenant, category, name)


class InvalidEnvelope(ValueError):
    """A message that is no event of ours; says which header is missing or wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One immutable event as it is stored and sent. `data` is its JSON text, byte for byte."""

    event_id: str
    type: str
    stream: str
    version: int
    tenant: str
    topic: str
    key: str
    occurred_at: datetime
    causation_id: str
    """The event or command that this one follows from."""
    correlation_id: str
    """What the whole journey is about: the order id, or the SKU for stock."""
    actor: str
    """`kind:id` of who wanted it: customer, staff, system, gateway, carrier, warehouse."""
    origin: str
    """`live`, `import` or `repair`: imports and repairs never notify."""
    data: str
    model: object = field(default=None, init=False, repr=False, compare=False)
    """What `codec.decode` made of it, so that it is made once; a copy begins without."""


def headers(event: Recorded) -> tuple[tuple[str, bytes], ...]:
    """The CloudEvents headers of an event, in a fixed order."""
    type_, key = event.type, event.key.encode()
    moment = event.occurred_at.isoformat().replace("+00:00", "Z")
    return (
        ("ce_specversion", SPECVERSION.encode()),
        ("ce_id", event.event_id.encode()),
        ("ce_source", f"/waybill/{type_.partition('.')[0]}".encode()),
        ("ce_type", type_.encode()),
        ("ce_time", moment.encode()),
        ("ce_subject", key),
        ("ce_dataschema", f"urn:waybill:schema:{type_}".encode()),
        ("ce_partitionkey", key),
        ("ce_stream", event.stream.encode()),
        ("ce_streamversion", str(event.version).encode()),
        ("ce_tenant", event.tenant.encode()),
        ("ce_causationid", event.causation_id.encode()),
        ("ce_correlationid", event.correlation_id.encode()),
        ("ce_actor", event.actor.encode()),
        ("ce_origin", event.origin.encode()),
        ("content-type", b"application/json"),
    )


def from_message(topic: str, pairs: Iterable[tuple[str, bytes]], value: bytes) -> Recorded:
    """The event that a message of the bus carries.

    Raises:
        InvalidEnvelope: a header of ours is missing, is there twice, is not text, or is not what
            it should be. Others may be whatever tracers and proxies make them.
    """
    text: dict[str, str] = {}
    for name, raw in pairs:
        if name not in _READ:
            continue
        if name in text:  # which of two counts, nobody can know
            raise InvalidEnvelope(f"header {name} is there twice")
        if len(raw) > HEADER_BYTES_MAX:
            raise InvalidEnvelope(f"header {name} is longer than {HEADER_BYTES_MAX} bytes")
        text[name] = _text("header ", name, raw)
    try:
        event = Recorded(
            event_id=text["ce_id"],
            type=text["ce_type"],
            stream=text["ce_stream"],
            version=_version(text["ce_streamversion"]),
            tenant=text["ce_tenant"],
            topic=topic,
            key=text["ce_partitionkey"],
            occurred_at=_time(text["ce_time"]),
            causation_id=text["ce_causationid"],
            correlation_id=text["ce_correlationid"],
            actor=text["ce_actor"],
            origin=text["ce_origin"],
            data=_text("the value", "", value),
        )
        if text["ce_specversion"] != SPECVERSION:
            raise InvalidEnvelope(f"header ce_specversion is not {SPECVERSION}")
    except KeyError as error:
        raise InvalidEnvelope(f"header {error.args[0]} is missing") from error
    for name in _NEVER_EMPTY:
        if not text[name]:
            raise InvalidEnvelope(f"header {name} is empty")
    if event.stream.count("/") > 1 and not event.stream.startswith(f"{event.tenant}/"):
        raise InvalidEnvelope("header ce_stream names a stream of another tenant than ce_tenant")
    return event


_READ = frozenset(
    {
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_time",
        "ce_partitionkey",
        "ce_stream",
        "ce_streamversion",
        "ce_tenant",
        "ce_causationid",
        "ce_correlationid",
        "ce_actor",
        "ce_origin",
    }
)
_NEVER_EMPTY = ("ce_id", "ce_type", "ce_stream", "ce_tenant", "ce_partitionkey")


HEADER_BYTES_MAX = 1_024
"""Ours are far shorter; a store's index takes no more than some 2,700."""


def _text(place: str, name: str, raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidEnvelope(f"{place}{name} is not UTF-8: {error.reason}") from error
    if "\0" in text:  # no text for Postgres; whoever keeps it would fail on it for ever
        raise InvalidEnvelope(f"{place}{name} holds a NUL")
    return text


def _version(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0):
        raise InvalidEnvelope("header ce_streamversion is not a number of 1 or more")
    return int(text)


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidEnvelope("header ce_time is not a time of RFC 3339") from error
    if moment.tzinfo is None:
        raise InvalidEnvelope("header ce_time has no time zone")
    return moment


def structured(event: Recorded, data: Mapping[str, object]) -> dict[str, object]:
    """The event as a CloudEvent in structured mode, with its stream and version."""
    return {
        "specversion": SPECVERSION,
        "id": event.event_id,
        "source": f"/waybill/{event.type.partition('.')[0]}",
        "type": event.type,
        "time": event.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "subject": event.key,
        "dataschema": f"urn:waybill:schema:{event.type}",
        "datacontenttype": "application/json",
        "partitionkey": event.key,
        "stream": event.stream,
        "streamversion": event.version,
        "tenant": event.tenant,
        "causationid": event.causation_id,
        "correlationid": event.correlation_id,
        "actor": event.actor,
        "origin": event.origin,
        "data": data,
    }
