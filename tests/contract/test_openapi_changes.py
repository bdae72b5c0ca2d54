"""Each kind of breaking change to an API is seen and its operation named."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from waybill_events import openapi_changes

Document = dict[str, Any]

ORDERS: Document = {
    "openapi": "3.1.0",
    "x-waybill-consumers": ["storefront"],
    "paths": {
        "/v1/orders": {
            "get": {
                "parameters": [
                    {"name": "status", "in": "query", "schema": {"enum": ["placed", "confirmed"]}},
                    {"$ref": "#/components/parameters/Cursor"},
                ],
                "responses": {
                    "200": {
                        "headers": {"ETag": {"schema": {"type": "string"}}},
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Order"}}
                        },
                    },
                    "404": {"content": {"application/problem+json": {"schema": {}}}},
                },
            },
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/NewOrder"}}
                    },
                },
                "responses": {"201": {}},
            },
        }
    },
    "components": {
        "parameters": {
            "Cursor": {"name": "cursor", "in": "query", "schema": {"type": "string"}},
        },
        "schemas": {
            "Order": {
                "type": "object",
                "required": ["id", "status"],
                "properties": {
                    "id": {"type": "string"},
                    "status": {"enum": ["placed", "confirmed"]},
                },
            },
            "NewOrder": {
                "type": "object",
                "additionalProperties": False,
                "required": ["channel"],
                "properties": {
                    "channel": {"enum": ["web", "phone"]},
                    "note": {"type": "string"},
                },
            },
        },
    },
}

Change = Callable[[Document], object]


def orders(document: Document) -> Document:
    found: Document = document["paths"]["/v1/orders"]
    return found


def shape(document: Document, name: str) -> Document:
    found: Document = document["components"]["schemas"][name]
    return found


def changed(change: Change) -> Document:
    document = copy.deepcopy(ORDERS)
    change(document)
    return document


def parameter(name: str, *, required: bool) -> Document:
    return {"name": name, "in": "header", "required": required, "schema": {"type": "string"}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d["paths"].clear(), ["GET /v1/orders: removed", "POST /v1/orders: removed"]),
        (lambda d: orders(d).pop("post"), ["POST /v1/orders: removed"]),
        (
            lambda d: shape(d, "Order")["properties"].pop("id"),
            ["GET /v1/orders response 200 /id: field removed"],
        ),
        (
            lambda d: shape(d, "Order")["required"].remove("id"),
            ["GET /v1/orders response 200 /id: field may now be absent"],
        ),
        (
            lambda d: shape(d, "Order")["properties"].update(id={"type": "integer"}),
            ["GET /v1/orders response 200 /id: may now be integer"],
        ),
        (
            lambda d: shape(d, "NewOrder")["required"].append("note"),
            ["POST /v1/orders request /note: field made required"],
        ),
        (
            lambda d: shape(d, "NewOrder")["properties"]["channel"]["enum"].remove("phone"),
            ["POST /v1/orders request /channel: no longer allows phone"],
        ),
        (
            lambda d: shape(d, "NewOrder")["properties"].pop("note"),
            ["POST /v1/orders request /note: field removed"],
        ),
        (
            lambda d: orders(d)["get"]["parameters"].append(parameter("If-Match", required=True)),
            ["GET /v1/orders header parameter If-Match: new parameter is required"],
        ),
        (
            lambda d: orders(d).update(parameters=[parameter("Tenant", required=True)]),
            [
                "GET /v1/orders header parameter Tenant: new parameter is required",
                "POST /v1/orders header parameter Tenant: new parameter is required",
            ],
        ),
        (
            lambda d: orders(d)["get"]["parameters"].pop(),
            ["GET /v1/orders query parameter cursor: parameter removed"],
        ),
        (
            lambda d: d["components"]["parameters"]["Cursor"].update(required=True),
            ["GET /v1/orders query parameter cursor: parameter made required"],
        ),
        (
            lambda d: orders(d)["get"]["parameters"][0]["schema"]["enum"].pop(),
            ["GET /v1/orders query parameter status /: no longer allows confirmed"],
        ),
        (
            lambda d: orders(d)["get"]["responses"].pop("200"),
            ["GET /v1/orders response 200: removed"],
        ),
        (
            lambda d: orders(d)["get"]["responses"]["200"]["headers"].clear(),
            ["GET /v1/orders response 200: header ETag removed"],
        ),
        (
            lambda d: orders(d)["get"]["responses"]["404"]["content"].clear(),
            ["GET /v1/orders response 404: application/problem+json removed"],
        ),
        (
            lambda d: orders(d)["get"].update(requestBody={"required": True, "content": {}}),
            ["GET /v1/orders request: a body is now required"],
        ),
        (
            lambda d: d.update(security=[{"key": []}]),
            ["GET /v1/orders: now needs credentials", "POST /v1/orders: now needs credentials"],
        ),
    ],
)
def test_a_breaking_change_is_told(change: Change, told: list[str]) -> None:
    assert openapi_changes.changes(ORDERS, changed(change)) == told


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["paths"].update({"/v1/returns": {"get": {"responses": {}}}}),
        lambda d: orders(d).update(put={"responses": {}}),
        lambda d: shape(d, "Order")["properties"].update(note={"type": "string"}),
        lambda d: shape(d, "Order")["properties"]["status"]["enum"].append("expired"),
        lambda d: shape(d, "Order")["properties"]["status"]["enum"].pop(),
        lambda d: shape(d, "NewOrder")["properties"].update(gift={"type": "boolean"}),
        lambda d: shape(d, "NewOrder")["properties"]["channel"]["enum"].append("chat"),
        lambda d: shape(d, "NewOrder")["required"].clear(),
        lambda d: orders(d)["get"]["parameters"].append(parameter("Accept", required=False)),
        lambda d: orders(d)["get"]["responses"].update({"429": {}}),
        lambda d: orders(d)["get"]["responses"].pop("404"),
    ],
)
def test_an_additive_change_breaks_nobody(change: Change) -> None:
    assert changed(change) != ORDERS
    assert openapi_changes.changes(ORDERS, changed(change)) == []


@pytest.mark.parametrize("says", ["Required. The same for every try.", "What you like."])
def test_marking_what_was_required_in_words_breaks_nobody(says: str) -> None:
    before = parameter("If-Match", required=False) | {"description": says}
    before["schema"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    old = changed(lambda d: orders(d)["get"]["parameters"].append(before))
    new = changed(
        lambda d: orders(d)["get"]["parameters"].append(parameter("If-Match", required=True))
    )
    told = openapi_changes.changes(old, new)
    assert (told == []) == says.startswith("Required")


def test_a_document_names_who_calls_it() -> None:
    assert openapi_changes.consumers(ORDERS) == ("storefront",)
    assert openapi_changes.consumers({}) == ()
