"""The AsyncAPI document is whole: every reference leads somewhere, every service is there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from waybill_events import asyncapi, schema_changes
from waybill_events.catalogue import CATALOGUE, SUBSCRIPTIONS, TOPICS

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = json.loads((ROOT / asyncapi.PATH).read_text())
REFERENCE = {
    "type": "object",
    "required": ["$ref"],
    "properties": {"$ref": {"type": "string"}},
    "additionalProperties": False,
}


# What AsyncAPI 3.0.0 asks of the parts that we use; kept by hand.
def _map(of: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "propertyNames": {"pattern": r"^[\w.\-]+$"},
        "additionalProperties": of,
    }


SPECIFICATION: dict[str, Any] = {
    "type": "object",
    "required": ["asyncapi", "info", "channels", "operations", "components"],
    "additionalProperties": False,
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "defaultContentType": {"const": "application/json"},
        "info": {
            "required": ["title", "version"],
            "properties": {"title": {"type": "string"}, "version": {"type": "string"}},
        },
        "channels": _map(
            {
                "required": ["address", "messages"],
                "additionalProperties": False,
                "properties": {
                    "address": {"type": "string"},
                    "title": {"type": "string"},
                    "description": {"type": "string"},
                    "messages": _map(REFERENCE),
                    "bindings": {"type": "object"},
                },
            }
        ),
        "operations": _map(
            {
                "required": ["action", "channel"],
                "additionalProperties": False,
                "properties": {
                    "action": {"enum": ["send", "receive"]},
                    "channel": REFERENCE,
                    "summary": {"type": "string"},
                    "tags": {"items": {"required": ["name"]}},
                    "messages": {"type": "array", "items": REFERENCE},
                    "bindings": {"type": "object"},
                },
            }
        ),
        "components": {
            "additionalProperties": False,
            "properties": {
                "schemas": _map({"type": "object"}),
                "messages": _map(
                    {
                        "required": ["name", "payload", "headers"],
                        "additionalProperties": False,
                        "patternProperties": {"^x-": {}},
                        "properties": {
                            "name": {"type": "string"},
                            "title": {"type": "string"},
                            "summary": {"type": "string"},
                            "contentType": {"type": "string"},
                            "headers": REFERENCE,
                            "payload": {"type": "object"},
                            "bindings": {"type": "object"},
                        },
                    }
                ),
            },
        },
    },
}


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_the_document_has_the_structure_of_asyncapi_3() -> None:
    jsonschema.Draft202012Validator(SPECIFICATION).validate(DOCUMENT)


def test_every_reference_leads_to_a_part_of_the_document() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > len(CATALOGUE)
    for reference in found:
        assert schema_changes.resolve(DOCUMENT, reference)


def test_every_topic_is_a_channel_with_all_its_messages() -> None:
    assert DOCUMENT["channels"].keys() == TOPICS.keys()
    for topic, channel in DOCUMENT["channels"].items():
        assert set(channel["messages"]) == {t for t, e in CATALOGUE.items() if e.topic == topic}


def test_every_payload_is_a_schema() -> None:
    for message in DOCUMENT["components"]["messages"].values():
        jsonschema.Draft7Validator.check_schema(message["payload"])


def test_each_topic_is_sent_by_its_service_and_by_no_other() -> None:
    sends = [o for o in DOCUMENT["operations"].values() if o["action"] == "send"]
    assert {(o["channel"]["$ref"], o["tags"][0]["name"]) for o in sends} == {
        (f"#/channels/{topic}", service) for topic, service in TOPICS.items()
    }


def test_each_subscription_is_received_by_its_group() -> None:
    receives = [o for o in DOCUMENT["operations"].values() if o["action"] == "receive"]
    assert {
        (o["bindings"]["kafka"]["groupId"]["const"], o["channel"]["$ref"]) for o in receives
    } == {
        (service, f"#/channels/{topic}")
        for service, topics in SUBSCRIPTIONS.items()
        for topic in topics
    }


@pytest.mark.parametrize("type_", CATALOGUE)
def test_every_consumer_receives_what_it_acts_on(type_: str) -> None:
    entry = CATALOGUE[type_]
    for service in entry.consumers:
        operation = DOCUMENT["operations"][f"{service}.receive.{entry.topic}"]
        wanted = f"#/channels/{entry.topic}/messages/{type_}"
        assert {"$ref": wanted} in operation["messages"]
