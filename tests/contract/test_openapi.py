"""The committed OpenAPI documents say what the applications do, and every route is guarded."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from waybill import openapi
from waybill.simulation import system
from waybill_events.compatibility import APIS
from waybill_runtime.http.auth import ROLES, KeyRing
from waybill_runtime.service import Service
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

ROOT = Path(__file__).parents[2]
DOCUMENTS: Mapping[str, Any] = {
    Path(name).stem: json.loads(text) for name, text in openapi.documents().items()
}
PUBLIC = {"track", "track_events"}
SIGNED = {"hear_gateway", "carrier_callback"}
KEYS = {role: f"wb_{role}_secret" for role in ROLES}

S, W, O = "storefront", "warehouse", "operator"  # noqa: E741 - columns of the table
MAY: Mapping[str, set[str]] = {
    "place_order": {S, O},
    "list_orders": {S, O},
    "read_order": {S, O},
    "cancel_order": {S, O},
    "read_recipient": set(),
    "erase_recipients": {O},
    "receive_stock": {W, O},
    "adjust_stock": {W, O},
    "count_stock": {W, O},
    "set_reorder_point": {W, O},
    "read_stock": {S, W, O},
    "read_availability": {S, W, O},
    "list_payments": {O},
    "read_payment": {O},
    "refund_payment": {O},
    "list_fulfillment_orders": {W, O},
    "read_fulfillment_order": {W, O},
    "accept_fulfillment_order": {W, O},
    "reject_fulfillment_order": {W, O},
    "pick_fulfillment_order": {W, O},
    "pack_fulfillment_order": {W, O},
    "ship_fulfillment_order": {W, O},
    "read_fulfillment_feed": {W, O},
    "read_preferences": {O},
    "set_preference": {O},
    "list_deliveries": {O},
    "order_timeline": {O},
}
"""Which role may call what. A `service` key may read recipients, and nothing else."""


def operations() -> Iterator[tuple[str, str, str, Any]]:
    """(service, method, path, operation) of every route."""
    for service, document in DOCUMENTS.items():
        for path, item in document["paths"].items():
            for method, operation in item.items():
                yield service, method, path, operation


ALL = list(operations())
NAMES = [operation["operationId"] for *_, operation in ALL]
each = pytest.mark.parametrize(("service", "method", "path", "operation"), ALL, ids=NAMES)


def query_of(operation: Mapping[str, Any]) -> dict[str, str]:
    """The query parameters that an operation cannot do without, and no other: it refuses those."""
    return {
        one["name"]: one["schema"].get("examples", ["A"])[0]
        for one in operation.get("parameters", [])
        if one["in"] == "query" and one["required"]
    }


def body_of(operation: Any, document: Any) -> Any:
    """An example of what the operation takes; None where it takes nothing."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return None if content is None else resolve(content["schema"], document)["examples"][0]


def resolve(schema: Any, document: Any) -> Any:
    name = schema["$ref"].rpartition("/")[2]
    return document["components"]["schemas"][name]


def test_what_is_committed_is_what_the_applications_say() -> None:
    assert openapi.differences(ROOT) == []


def test_the_documents_are_the_same_each_time() -> None:
    assert openapi.documents() == openapi.documents()


def test_check_tells_a_missing_a_changed_and_an_orphaned_file(tmp_path: Path) -> None:
    openapi.write(tmp_path)
    assert openapi.main(["--check", "--root", str(tmp_path)]) == 0
    (tmp_path / APIS / "capture.json").unlink()
    (tmp_path / APIS / "payment.json").write_text("{}")
    (tmp_path / APIS / "billing.json").write_text("{}")
    assert openapi.differences(tmp_path) == [
        f"{APIS}/billing.json is the document of no service",
        f"{APIS}/capture.json is missing",
        f"{APIS}/payment.json differs from what the application says",
    ]
    assert openapi.main(["--check", "--root", str(tmp_path)]) == 1


def test_operation_ids_are_unique_and_the_table_names_each_guarded_one() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert set(NAMES) == MAY.keys() | PUBLIC | SIGNED


def test_every_document_names_its_callers() -> None:
    for service, document in DOCUMENTS.items():
        assert document["x-waybill-consumers"] == list(openapi.CONSUMERS[service])


@each
def test_every_route_is_described(service: str, method: str, path: str, operation: Any) -> None:
    assert operation["tags"] == [service], (method, path)
    assert operation["description"]
    keyless = operation["operationId"] in PUBLIC | SIGNED
    assert operation["security"] == ([] if keyless else [{"HTTPBearer": []}])
    refusals = {k: v for k, v in operation["responses"].items() if k[0] in "45"}
    assert {"404", "422", "503"} <= refusals.keys()
    assert ("401" in refusals) == (operation["operationId"] not in PUBLIC)
    assert ("403" in refusals) == (not keyless)
    for answer in refusals.values():
        assert answer["content"] == {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        }


@each
def test_every_body_and_every_answer_has_an_example(
    service: str, method: str, path: str, operation: Any
) -> None:
    document = DOCUMENTS[service]
    parts = [operation.get("requestBody", {})]
    if operation["operationId"] != "track_events":  # a stream, which no JSON describes
        parts += [v for k, v in operation["responses"].items() if k[0] == "2"]
    for part in parts:
        content = part.get("content", {})
        assert content.keys() <= {"application/json"}, (method, path)
        for told in content.values():
            assert resolve(told["schema"], document)["examples"]


SCHEMAS = [
    (service, name) for service, d in DOCUMENTS.items() for name in d["components"]["schemas"]
]


@pytest.mark.parametrize(("service", "name"), SCHEMAS)
def test_every_example_fits_its_own_schema(service: str, name: str) -> None:
    document = DOCUMENTS[service]
    schema = document["components"]["schemas"][name]
    jsonschema.Draft202012Validator.check_schema(schema)
    whole = {**document, "$ref": f"#/components/schemas/{name}"}
    for example in schema.get("examples", ()):
        jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(
            example
        )


Cell = tuple[str, str | None]


async def _statuses(loop: SeededLoop) -> dict[Cell, httpx.Response]:
    """What each route answers to each role and to nobody, sent its own example."""
    world = World()
    whole = system.make(world, loop)
    found: dict[Cell, httpx.Response] = {}
    for name, document in DOCUMENTS.items():
        on = world.infrastructure(name)
        ring = KeyRing(on.store, on.clock, system.PEPPER)
        for known, scopes in ROLES.items():
            await ring.add(KEYS[known], name=known, scopes=scopes)
        app = Service(system.COMPOSE[name](whole, on, whole.outside), on).app(ring)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            for service, method, path, operation in ALL:
                if service != name:
                    continue
                body = body_of(operation, document)
                url = path.replace("{", "").replace("}", "")
                for role in (None, *ROLES):
                    headers = {"Idempotency-Key": f"{role}-{url}", "If-Match": "*"}
                    if role is not None:
                        headers["Authorization"] = f"Bearer {KEYS[role]}"
                    answer = await http.request(
                        method, url, headers=headers, json=body, params=query_of(operation)
                    )
                    found[operation["operationId"], role] = answer
        await asyncio.sleep(0)
    return found


@pytest.fixture(scope="module")
def answers() -> dict[Cell, httpx.Response]:
    loop = SeededLoop.of(1)
    return loop.run(_statuses(loop))


WANTS = {"Idempotency-Key", "If-Match"}


def test_a_header_that_is_wanted_is_required_in_the_documents() -> None:
    found = [
        one
        for document in DOCUMENTS.values()
        for item in document["paths"].values()
        for operation in item.values()
        for one in operation.get("parameters", ())
        if one["in"] == "header" and one["name"] in WANTS
    ]
    assert {one["name"] for one in found} == WANTS
    assert {(one["required"], one["schema"]["type"]) for one in found} == {(True, "string")}


def test_nobody_is_let_in_without_a_key(answers: dict[Cell, httpx.Response]) -> None:
    anonymous = {name: answers[name, None] for name in NAMES}
    let_in = {name for name, answer in anonymous.items() if answer.status_code != 401}
    assert let_in == PUBLIC
    for answer in anonymous.values():
        assert answer.headers["content-type"] == "application/problem+json"
    for name in MAY:
        assert anonymous[name].headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("role", ["storefront", "warehouse", "operator"])
@pytest.mark.parametrize("name", sorted(MAY))
def test_a_key_opens_what_its_role_may_and_nothing_else(
    answers: dict[Cell, httpx.Response], name: str, role: str
) -> None:
    answer = answers[name, role]
    assert (answer.status_code != 403) == (role in MAY[name])
    assert answer.status_code not in (400, 401, 415, 422, 500), answer.text
    if role not in MAY[name]:
        assert "lacks the scope" in answer.json()["detail"]


@pytest.mark.parametrize("name", sorted(MAY))
def test_a_services_own_key_reads_recipients_and_nothing_else(
    answers: dict[Cell, httpx.Response], name: str
) -> None:
    assert (answers[name, "service"].status_code == 403) == (name != "read_recipient")
