"""Each kind of breaking change to a schema is seen, on the side that it breaks."""

from typing import Any

import pytest

from waybill_events import schema_changes
from waybill_events.schema_changes import Use

Schema = dict[str, Any]
EVENT, REQUEST, RESPONSE = Use.EVENT, Use.REQUEST, Use.RESPONSE


def thing(said: Schema, *, required: bool = True) -> Schema:
    """An object with one field `x`."""
    return {
        "type": "object",
        "properties": {"x": said},
        "required": ["x"] if required else [],
    }


STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
OPTIONAL: Schema = {"anyOf": [STRING, {"type": "null"}]}
LIST: Schema = {"type": "array", "items": STRING}


@pytest.mark.parametrize(
    ("old", "new", "told", "breaks"),
    [
        (thing(STRING), {"type": "object"}, "/x: field removed", {EVENT, RESPONSE}),
        (
            thing(STRING, required=False),
            thing(STRING),
            "/x: field made required",
            {EVENT, REQUEST},
        ),
        ({"type": "object"}, thing(STRING), "/x: new field is required", {EVENT, REQUEST}),
        (
            thing(STRING),
            thing(STRING, required=False),
            "/x: field may now be absent",
            {EVENT, RESPONSE},
        ),
        (thing(STRING), thing(OPTIONAL), "/x: may now be null", {EVENT, RESPONSE}),
        (thing(OPTIONAL), thing(STRING), "/x: may no longer be null", {EVENT, REQUEST}),
        (
            thing({"type": "number"}),
            thing(INTEGER),
            "/x: may no longer be number",
            {EVENT, REQUEST},
        ),
        (thing(INTEGER), thing({"type": "number"}), "/x: may now be number", {EVENT, RESPONSE}),
        (
            thing({**STRING, "enum": ["a", "b"]}),
            thing({**STRING, "enum": ["a"]}),
            "/x: no longer allows b",
            {EVENT, REQUEST},
        ),
        (
            thing(STRING),
            thing({**STRING, "enum": ["a"]}),
            "/x: is now limited to a",
            {EVENT, REQUEST},
        ),
        (
            thing({**STRING, "const": "a"}),
            thing(STRING),
            "/x: may now be anything, not only a",
            {EVENT, RESPONSE},
        ),
        (
            thing(STRING),
            thing({**STRING, "pattern": "^a"}),
            "/x: pattern None became ^a",
            {EVENT, REQUEST},
        ),
        (
            thing({**STRING, "maxLength": 9}),
            thing({**STRING, "maxLength": 8}),
            "/x: maxLength 9 became 8",
            {EVENT, REQUEST},
        ),
        (
            thing(INTEGER),
            thing({**INTEGER, "minimum": 1}),
            "/x: minimum none became 1",
            {EVENT, REQUEST},
        ),
        (
            thing(LIST),
            thing({**LIST, "uniqueItems": True}),
            "/x: uniqueItems none became True",
            {EVENT, REQUEST},
        ),
        (
            thing(STRING),
            thing({**STRING, "format": "date"}),
            "/x: format None became date",
            {EVENT, REQUEST, RESPONSE},
        ),
        (
            thing(LIST),
            thing({**LIST, "items": {**STRING, "minLength": 1}}),
            "/x[]: minLength none became 1",
            {EVENT, REQUEST},
        ),
        (
            thing({"type": "object", "additionalProperties": OPTIONAL}),
            thing({"type": "object", "additionalProperties": STRING}),
            "/x/*: may no longer be null",
            {EVENT, REQUEST},
        ),
        (
            {"type": "object"},
            {"type": "object", "additionalProperties": False},
            "/: unknown fields are now refused",
            {EVENT, REQUEST},
        ),
        (
            {"type": "array", "prefixItems": [STRING]},
            {"type": "array", "prefixItems": [STRING, STRING]},
            "/: 1 fixed items became 2",
            {EVENT, REQUEST, RESPONSE},
        ),
        (
            {"oneOf": [thing(STRING), thing(INTEGER)]},
            {"oneOf": [thing(STRING)]},
            "/: an alternative was removed",
            {EVENT, REQUEST},
        ),
        (
            {"oneOf": [thing(STRING)]},
            {"oneOf": [thing(STRING), thing(INTEGER)]},
            "/: an alternative was added",
            {EVENT, RESPONSE},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("use", Use)
def test_a_change_is_told_where_it_breaks_and_only_there(
    old: Schema, new: Schema, told: str, breaks: set[Use], use: Use
) -> None:
    assert schema_changes.changes(old, new, use) == ([told] if use in breaks else [])


def test_a_changed_type_breaks_every_side() -> None:
    old, new = thing(STRING), thing(INTEGER)
    assert schema_changes.changes(old, new, EVENT) == [
        "/x: may no longer be string",
        "/x: may now be integer",
    ]
    assert schema_changes.changes(old, new, REQUEST) == ["/x: may no longer be string"]
    assert schema_changes.changes(old, new, RESPONSE) == ["/x: may now be integer"]


def test_a_field_taken_from_a_closed_request_breaks_whoever_sends_it() -> None:
    closed = {"type": "object", "additionalProperties": False}
    told = schema_changes.changes({**thing(STRING), **closed}, closed, REQUEST)
    assert told == ["/x: field removed"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type": "object"}, thing(STRING, required=False)),
        (thing({**STRING, "enum": ["a"]}), thing({**STRING, "enum": ["a", "b"]})),
        (thing({**STRING, "maxLength": 8}), thing({**STRING, "maxLength": 9})),
        (thing({**INTEGER, "minimum": 1}), thing({**INTEGER, "minimum": 0})),
        (thing(STRING), thing({**STRING, "description": "What it is."})),
        (thing(STRING), {**thing(STRING), "x-waybill": {"consumers": ["payment"]}}),
    ],
)
@pytest.mark.parametrize("use", Use)
def test_an_additive_change_breaks_nobody(old: Schema, new: Schema, use: Use) -> None:
    assert schema_changes.changes(old, new, use) == []


def test_a_change_behind_a_reference_is_seen_at_its_place() -> None:
    old = {**thing({"$ref": "#/$defs/Line"}), "$defs": {"Line": thing(STRING)}}
    new = {**thing({"$ref": "#/$defs/Line"}), "$defs": {"Line": {"type": "object"}}}
    assert schema_changes.changes(old, new) == ["/x/x: field removed"]


def test_a_reference_put_in_place_of_what_it_says_changes_nothing() -> None:
    new = {**thing({"$ref": "#/$defs/Line"}), "$defs": {"Line": thing(STRING)}}
    assert schema_changes.changes(thing(thing(STRING)), new) == []


def test_what_all_of_say_together_is_compared() -> None:
    old = {"allOf": [thing(STRING), {"properties": {"y": INTEGER}}]}
    new = {"allOf": [thing(STRING)]}
    assert schema_changes.changes(old, new) == ["/y: field removed"]


def test_a_shape_that_contains_itself_is_compared_to_its_end() -> None:
    def tree(leaf: Schema) -> Schema:
        node = {
            "type": "object",
            "properties": {
                "leaf": leaf,
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
        }
        return {"$ref": "#/$defs/Node", "$defs": {"Node": node}}

    told = schema_changes.changes(tree(OPTIONAL), tree(STRING))
    assert told == ["/leaf: may no longer be null"]


def test_a_reference_out_of_the_document_is_refused() -> None:
    with pytest.raises(LookupError, match="another document"):
        schema_changes.changes({"$ref": "other.json#/x"}, {})
