"""S1, S4, S7, S9, S23: one table of who may call what, and every cell of it is asked."""

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from waybill import openapi
from waybill.simulation import system
from waybill_runtime.http.auth import ROLES, KeyRing, new_key
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

DOCUMENTS: Mapping[str, Any] = {
    name.rpartition("/")[2].removesuffix(".json"): json.loads(text)
    for name, text in openapi.documents().items()
}

SCOPES: Mapping[str, str | None] = {
    "place_order": "orders:write",
    "list_orders": "orders:read",
    "read_order": "orders:read",
    "cancel_order": "orders:write",
    "read_recipient": "recipients:read",
    "erase_recipients": "recipients:erase",
    "receive_stock": "stock:write",
    "adjust_stock": "stock:write",
    "count_stock": "stock:write",
    "set_reorder_point": "stock:write",
    "read_stock": "stock:read",
    "read_availability": "stock:read",
    "list_payments": "payments:read",
    "read_payment": "payments:read",
    "refund_payment": "payments:write",
    "list_fulfillment_orders": "fulfillment:read",
    "read_fulfillment_order": "fulfillment:read",
    "accept_fulfillment_order": "fulfillment:write",
    "reject_fulfillment_order": "fulfillment:write",
    "pick_fulfillment_order": "fulfillment:write",
    "pack_fulfillment_order": "fulfillment:write",
    "ship_fulfillment_order": "fulfillment:write",
    "read_fulfillment_feed": "fulfillment:read",
    "read_preferences": "notifications:read",
    "set_preference": "notifications:write",
    "list_deliveries": "notifications:read",
    "order_timeline": "timeline:read",
    "hear_gateway": "a signature",
    "carrier_callback": "a signature",
    "track": None,
    "track_events": None,
}
"""What each route asks for: a scope, a signature, or nothing but the token in its path."""

SIGNED = {name for name, needs in SCOPES.items() if needs == "a signature"}
PUBLIC = {name for name, needs in SCOPES.items() if needs is None}
GUARDED = SCOPES.keys() - SIGNED - PUBLIC
ALL_SCOPES = sorted({scope for scopes in ROLES.values() for scope in scopes})

PRINCIPALS: Mapping[str, frozenset[str] | None] = {
    "anonymous": None,
    "a wrong secret": None,
    "another scheme": None,
    "a revoked key": None,
    "a key with no scope": frozenset(),
    **{role: frozenset(scopes) for role, scopes in ROLES.items()},
    **{f"only {scope}": frozenset({scope}) for scope in ALL_SCOPES},
}
"""Who calls, with which scopes; None is not let in at all."""

OPEN_BESIDE_THE_DOCUMENTS = {
    *("/livez", "/readyz", "/metrics"),
    *("/docs", "/docs/oauth2-redirect", "/openapi.json"),
}
LEAKS = re.compile(
    r"Traceback|File \"|\.py\b|\bline \d+, in\b|SELECT |INSERT |asyncpg|sqlalchemy|postgres"
    r"|localhost|127\.0\.0\.1|/home/|/usr/|site-packages|pydantic|starlette|fastapi"
)


def operations() -> Iterator[tuple[str, str, str, Any]]:
    """(service, method, path, operation) of every route."""
    for service, document in DOCUMENTS.items():
        for path, item in document["paths"].items():
            for method, operation in item.items():
                yield service, method, path, operation


ALL = list(operations())


def example(service: str, operation: Any) -> Any:
    """A body that the operation takes; None where it takes none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None or "$ref" not in content["schema"]:
        return None
    name = content["schema"]["$ref"].rpartition("/")[2]
    return DOCUMENTS[service]["components"]["schemas"][name]["examples"][0]


def query(operation: Any) -> dict[str, str]:
    return {
        one["name"]: one["schema"].get("examples", ["A"])[0]
        for one in operation.get("parameters", [])
        if one["in"] == "query" and one["required"]
    }


def plain(path: str) -> str:
    return path.replace("{", "").replace("}", "")


class Shop:
    """The whole system in memory, and a key for each principal in every service."""

    def __init__(self) -> None:
        self.loop = SeededLoop.of(1)
        self.whole = system.make(World(), self.loop)
        self.headers: dict[str, dict[str, str]] = {}
        self.loop.run(self._begin())

    async def _begin(self) -> None:
        await self.whole.begin()
        for who, scopes in PRINCIPALS.items():
            key = new_key()
            for name in DOCUMENTS:
                on = self.whole.world.infrastructure(name)
                ring = KeyRing(on.store, on.clock, system.PEPPER)
                key_id = await ring.add(key, name=who, scopes=scopes or ALL_SCOPES)
                if scopes is not None:
                    await ring.add(key, name=who, scopes=scopes)
                elif who == "a revoked key":
                    await ring.revoke(key_id)
            self.headers[who] = {"Authorization": f"Bearer {key}"}
        right = self.headers["a wrong secret"]["Authorization"]
        self.headers["a wrong secret"] = {
            "Authorization": right[:-1] + ("x", "y")[right[-1] == "x"]
        }
        basic = self.headers["another scheme"]["Authorization"].replace("Bearer", "Basic")
        self.headers["another scheme"] = {"Authorization": basic}
        self.headers["anonymous"] = {}

    def ask(self, service: str, method: str, url: str, **sent: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            async with self.whole.wire.client(service, {}) as http:
                return await http.request(method, url, **sent)

        return self.loop.run(asked())


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


def test_the_table_names_every_route_of_every_document() -> None:
    assert SCOPES.keys() == {operation["operationId"] for *_, operation in ALL}


@pytest.mark.parametrize("who", PRINCIPALS)
def test_each_principal_is_answered_on_each_route_as_the_table_says(shop: Shop, who: str) -> None:
    may = PRINCIPALS[who]
    cells = 0
    for service, method, path, operation in ALL:
        name = operation["operationId"]
        headers = {"Idempotency-Key": f"{who} {name}", "If-Match": "*", **shop.headers[who]}
        if name == "track_events":  # a stream; with no such token it ends at once
            headers["Accept"] = "text/event-stream"
        answer = shop.ask(
            service,
            method,
            plain(path),
            headers=headers,
            json=example(service, operation),
            params=query(operation),
        )
        status = answer.status_code
        needs = SCOPES[name]
        if name in PUBLIC:
            assert status == 404, (name, answer.text)
        elif name in SIGNED or may is None:
            assert status == 401, (name, answer.text)
        elif needs not in may:
            assert status == 403, (name, answer.text)
            assert needs in answer.json()["detail"]
        else:
            assert status in (200, 201, 404, 409), (name, answer.text)
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert not LEAKS.search(answer.text), answer.text
        if status == 401 and name in GUARDED:
            assert answer.headers["www-authenticate"] == "Bearer"
        cells += 1
    assert cells == len(SCOPES)


def served(routes: Sequence[Any]) -> Iterator[str]:
    """Every path, of included routers too; what is neither a route nor a router fails."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route.path
        else:
            yield from served(inner.routes)


def test_nothing_is_served_beside_the_documents_but_health_and_the_documents(shop: Shop) -> None:
    for service, document in DOCUMENTS.items():
        paths = set(served(shop.whole.nodes[service].app.routes))
        assert paths - document["paths"].keys() == OPEN_BESIDE_THE_DOCUMENTS
        assert document["paths"].keys() <= paths


POSTS = [
    (service, method, path, operation)
    for service, method, path, operation in ALL
    if example(service, operation) is not None
]
SERVER_OWNED = (
    "id",
    "status",
    "version",
    "created_at",
    "payment_status",
    "paid",
    "tenant",
    "total",
)


def objects(body: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a body there are objects."""
    if isinstance(body, dict):
        yield at
        for name, value in body.items():
            yield from objects(value, (*at, name))
    if isinstance(body, list):
        for number, value in enumerate(body):
            yield from objects(value, (*at, number))


def with_field(body: Any, at: tuple[Any, ...], name: str, value: Any) -> Any:
    changed = copy.deepcopy(body)
    inner = changed
    for step in at:
        inner = inner[step]
    inner[name] = value
    return changed


def known_at(body: Any, at: tuple[Any, ...]) -> Any:
    for step in at:
        body = body[step]
    return body


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_field_that_is_not_asked_for_is_refused_wherever_it_is_put(
    shop: Shop, data: st.DataObject
) -> None:
    service, method, path, operation = data.draw(st.sampled_from(POSTS))
    body = example(service, operation)
    at = data.draw(st.sampled_from(sorted(set(objects(body)), key=repr)))
    name = data.draw(st.sampled_from(SERVER_OWNED) | st.from_regex(r"[a-z_]{1,20}", fullmatch=True))
    document = DOCUMENTS[service]
    known = {
        field
        for schema in document["components"]["schemas"].values()
        for field in schema.get("properties", {})
        if name not in SERVER_OWNED
    }
    is_optional_total = operation["operationId"] == "place_order" and (at, name) == ((), "total")
    if name in known or name in known_at(body, at) or is_optional_total:
        return
    value: object = data.draw(st.sampled_from(["paid", 1, True, None, {}, [], 10**30]))
    answer = shop.ask(
        service,
        method,
        plain(path),
        headers={**system.HEADERS, "Idempotency-Key": "assigned", "If-Match": "*"},
        json=with_field(body, at, name, value),
    )
    assert answer.status_code == 422, (path, at, name, answer.text)
    pointer = "".join(f"/{step}" for step in (*at, name))
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


ORDER_PATH = "/v1/orders"


def place(shop: Shop, who: str, key: str, path: str = ORDER_PATH, **changed: Any) -> httpx.Response:
    body = copy.deepcopy(DOCUMENTS["capture"]["components"]["schemas"]["PlaceOrder"]["examples"][0])
    body |= {"external_ref": key, **changed}
    headers = {"Idempotency-Key": key, **shop.headers[who]}
    return shop.ask("capture", "POST", path, headers=headers, json=body)


def test_a_stored_answer_is_given_to_those_who_asked_and_to_nobody_else(shop: Shop) -> None:
    first = place(shop, "storefront", "s9")
    assert first.status_code == 201
    again = place(shop, "storefront", "s9")
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    for who in ("operator", "only orders:write"):
        other = place(shop, who, "s9")
        assert other.status_code == 422
        assert other.json()["type"] == "urn:waybill:problem:idempotency-key-reused"
        assert first.json()["tracking"]["token"] not in other.text
    for refused in (
        place(shop, "storefront", "s9", channel="phone"),
        place(shop, "storefront", "s9", path=f"{ORDER_PATH}/{first.json()['id']}/cancel"),
    ):
        assert refused.status_code == 422


def test_a_rotated_key_is_answered_as_the_key_before_it(shop: Shop) -> None:
    first = place(shop, "storefront", "rotated")
    new = new_key()

    async def rotate() -> None:
        on = shop.whole.world.infrastructure("capture")
        ring = KeyRing(on.store, on.clock, system.PEPPER)
        await ring.add(new, name="storefront", scopes=ROLES["storefront"])

    shop.loop.run(rotate())
    before = shop.headers["storefront"]
    shop.headers["storefront"] = {"Authorization": f"Bearer {new}"}
    try:
        again = place(shop, "storefront", "rotated")
    finally:
        shop.headers["storefront"] = before
    assert again.content == first.content


def test_what_goes_wrong_inside_is_not_told_outside(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shop.whole.nodes["capture"].infrastructure.store

    def broken() -> None:
        raise RuntimeError("SELECT secret FROM postgres at 10.0.0.7 in /home/x.py")

    monkeypatch.setattr(store, "transaction", broken)
    with capture_logs() as logs:
        answer = place(shop, "storefront", "broken")
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:waybill:problem:unexpected"
    assert not LEAKS.search(answer.text), answer.text
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["unexpected error"]
