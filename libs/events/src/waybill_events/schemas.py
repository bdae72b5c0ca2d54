"""The JSON Schema of every event type, told from its model and the catalogue. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from waybill_events.catalogue import CATALOGUE, SUBSCRIPTIONS, Entry

Json = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = "libs/events/schemas"

_KEYS: Mapping[str, tuple[str, ...]] = {"stock": ("sku",)}
_KEYS_ELSEWHERE = ("order_id", "customer_ref")


def key_field(entry: Entry) -> str:
    """The field whose value is the message key: same key, same partition, kept in order.

    Raises:
        LookupError: the event has none of the fields that its topic is keyed by.
    """
    candidates = _KEYS.get(entry.topic, _KEYS_ELSEWHERE)
    for field in candidates:
        if field in entry.model.model_fields:
            return field
    raise LookupError(f"{entry.model.TYPE}: topic {entry.topic} is keyed by one of {candidates}")


def consumers(entry: Entry) -> tuple[str, ...]:
    """Whom a breaking change breaks beside its producer; `tracking` shows all it reads."""
    shown = ("tracking",) if entry.topic in SUBSCRIPTIONS["tracking"] else ()
    return (*entry.consumers, *shown)


def meaning(entry: Entry) -> str:
    """What the event says, as one line: its docstring's first sentences, else its name."""
    if entry.model.__doc__:
        return " ".join(entry.model.__doc__.split("\n\n")[0].split())
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", entry.model.__name__).lower()
    return f"{words.capitalize()}."


def schema(entry: Entry, ref_template: str = "#/$defs/{model}") -> Json:
    """What every event of this type that was ever written looks like.

    A field with a default is not required: events older than the field lack it.
    """
    told = entry.model.model_json_schema(
        mode="serialization", schema_generator=_Plain, ref_template=ref_template
    )
    told["description"] = meaning(entry)
    for part in (told, *told.get("$defs", {}).values()):
        _require_only_what_old_events_have(part)
    return {
        "$schema": DIALECT,
        "$id": f"urn:waybill:schema:{entry.model.TYPE}",
        "title": told.pop("title"),
        "description": told.pop("description"),
        "x-waybill": {
            "topic": entry.topic,
            "key": key_field(entry),
            "producer": entry.producer,
            "consumers": list(consumers(entry)),
        },
        **told,
    }


def text(document: Mapping[str, object]) -> str:
    """A generated JSON document as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def documents(entries: Iterable[Entry] = tuple(CATALOGUE.values())) -> dict[str, str]:
    """Every schema file there is to be: its text by its path in the repository."""
    return {f"{FOLDER}/{entry.model.TYPE}.json": text(schema(entry)) for entry in entries}


class _Plain(GenerateJsonSchema):
    """Without a title on each field: it would only repeat the field's name."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def _require_only_what_old_events_have(part: Json) -> None:
    fields = part.get("properties", {})
    required = [name for name in part.pop("required", ()) if "default" not in fields[name]]
    if required:
        part["required"] = required
