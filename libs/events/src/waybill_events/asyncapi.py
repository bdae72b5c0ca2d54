"""The AsyncAPI 3.0 document of the bus: topics, messages, and which service does what. Pure."""

from collections.abc import Mapping

from waybill_events import schemas
from waybill_events.catalogue import CATALOGUE, SUBSCRIPTIONS, TOPICS, Entry
from waybill_events.schemas import Json

PATH = "docs/reference/asyncapi.json"
PARTITIONS = 12
BINDING_VERSION = "0.5.0"
SHAPES = "#/components/schemas/{model}"

# The CloudEvents headers of binary mode, in the order they are written, and what each one says.
HEADERS: Mapping[str, Json] = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": {"description": "Unique for ever; the same event redelivered has the same id."},
    "ce_source": {"pattern": "^/waybill/[a-z]+$"},
    "ce_type": {"description": "Names the schema of the value.", "pattern": r"\.v[1-9][0-9]*$"},
    "ce_time": {"description": "When it happened, in UTC.", "format": "date-time"},
    "ce_subject": {"description": "What it is about; equals ce_partitionkey."},
    "ce_dataschema": {"pattern": "^urn:waybill:schema:"},
    "ce_partitionkey": {"description": "The message's key."},
    "ce_stream": {"description": "tenant/category/id of the stream it stands in."},
    "ce_streamversion": {
        "description": "Its place in its stream: 1, 2, 3 and so on without a gap.",
        "pattern": "^[1-9][0-9]*$",
    },
    "ce_tenant": {"description": "Whose it is."},
    "ce_causationid": {"description": "The event or command that it follows from."},
    "ce_correlationid": {"description": "The order id, or the SKU for stock."},
    "ce_actor": {"description": "kind:id of who wanted it.", "pattern": "^[a-z]+:"},
    "ce_origin": {"enum": ["live", "import", "repair"]},
    "content-type": {"const": "application/json"},
}


def document(entries: Mapping[str, Entry] = CATALOGUE) -> Json:
    """The whole document, self-contained: no reference leaves it."""
    messages: Json = {}
    shapes: Json = {"CloudEventHeaders": _headers()}
    for entry in entries.values():
        messages[entry.model.TYPE] = _message(entry, shapes)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Waybill events",
            "version": "1",
            "description": (
                "Every message on the bus: a CloudEvent 1.0 in binary mode, its attributes as "
                "headers, its data as the value. At least once, in order per key."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic, entries) for topic in TOPICS},
        "operations": _operations(entries),
        "components": {"schemas": shapes, "messages": messages},
    }


def _headers() -> Json:
    return {
        "type": "object",
        "required": list(HEADERS),
        "properties": {name: {"type": "string", **said} for name, said in HEADERS.items()},
    }


def _message(entry: Entry, shapes: Json) -> Json:
    """The message of one type; the shapes it refers to are added to `shapes`.

    Raises:
        ValueError: two shapes of one name differ.
    """
    told = schemas.schema(entry, SHAPES)
    for name, shape in told.pop("$defs", {}).items():
        if shapes.setdefault(name, shape) != shape:
            raise ValueError(f"two shapes are named {name}, and they differ")
    for attribute in ("$schema", "$id"):
        del told[attribute]
    facts = told.pop("x-waybill")
    return {
        "name": entry.model.TYPE,
        "title": told.pop("title"),
        "summary": told.pop("description"),
        "contentType": "application/json",
        "headers": {"$ref": SHAPES.format(model="CloudEventHeaders")},
        "payload": told,
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"The event's {facts['key']}."},
                "bindingVersion": BINDING_VERSION,
            }
        },
        "x-waybill": facts,
    }


def _channel(topic: str, entries: Mapping[str, Entry]) -> Json:
    return {
        "address": topic,
        "title": topic,
        "description": f"What {TOPICS[topic]} says; no other service writes here.",
        "messages": {
            type_: {"$ref": f"#/components/messages/{type_}"}
            for type_, entry in entries.items()
            if entry.topic == topic
        },
        "bindings": {
            "kafka": {
                "topic": topic,
                "partitions": PARTITIONS,
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _operations(entries: Mapping[str, Entry]) -> Json:
    sends = {
        f"{service}.send.{topic}": _operation("send", service, topic, entries)
        for topic, service in TOPICS.items()
    }
    receives = {
        f"{service}.receive.{topic}": _operation("receive", service, topic, entries)
        for service, topics in SUBSCRIPTIONS.items()
        for topic in topics
    }
    return sends | receives


def _operation(action: str, service: str, topic: str, entries: Mapping[str, Entry]) -> Json:
    """What one service does on one topic.

    Messages are named only where a service acts on some of them; a list view takes them all.
    """
    told: Json = {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "summary": f"{service} {action}s {topic}",
        "tags": [{"name": service}],
    }
    named = [
        {"$ref": f"#/channels/{topic}/messages/{type_}"}
        for type_, entry in entries.items()
        if action == "receive" and entry.topic == topic and service in entry.consumers
    ]
    if named:
        told["messages"] = named
    if action == "receive":
        group = {"type": "string", "const": service}
        told["bindings"] = {"kafka": {"groupId": group, "bindingVersion": BINDING_VERSION}}
    return told
