"""A shop's past for a running system: stock, orders at every stage, and the ids of it all."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from serving import Serving

SKUS = ("85123A", "71053", "22423")
PATIENCE_S = 60.0
ORDER: Mapping[str, Any] = {
    "currency": "GBP",
    "customer": {"ref": "17850", "email": "buyer@example.com", "phone": "+442079460000"},
    "shipping_address": {
        "name": "A. Buyer",
        "line1": "1 High Street",
        "city": "London",
        "postal_code": "N1 9GU",
        "country_code": "GB",
    },
    "lines": [
        {"sku": sku, "name": "A light", "quantity": 2, "unit_price_minor": 255} for sku in SKUS[:2]
    ],
    "shipping": {"option": "standard", "price_minor": 495},
    "payment": {"method": "card", "token": "tok_approve"},
}


def plant(running: Serving, orders: int) -> dict[str, Sequence[str]]:
    """Make it; answers values that exist, by the parameter that takes them."""
    lines = [{"sku": sku, "quantity": 100_000} for sku in SKUS]
    with running.client("inventory", **{"Idempotency-Key": "planted"}) as http:
        receipt = {"location": "main", "reference": "PO-1", "lines": lines}
        http.post("/v1/stock/receipts", json=receipt).raise_for_status()
    placed = [_place(running, number) for number in range(orders)]
    ids = [order["id"] for order in placed]
    with running.client("fulfillment") as http:
        opened = _await(lambda: _page(http, orders), orders)
        for number, one in enumerate(opened):
            _work(http, one, number % 5)
    with running.client("payment") as http:
        found = [http.get("/v1/payments", params={"order_id": id_}).json() for id_ in ids]
    return {
        "order_id": ids,
        "payment_id": [one["data"][0]["id"] for one in found],
        "id": [one["id"] for one in opened],
        "line_id": [line["line_id"] for one in opened[:5] for line in one["lines"]],
        "sku": SKUS,
        "location": ["main"],
        "customer_ref": ["17850"],
        "token": [order["tracking"]["token"] for order in placed],
        "If-Match": ["*", '"1"', '"2"'],
    }


def more(running: Serving, before: int, orders: int) -> None:
    """Place more orders, and wait until the warehouse has them."""
    for number in range(before, before + orders):
        _place(running, number)
    with running.client("fulfillment") as http:
        _await(lambda: _page(http, before + orders), before + orders)


def _place(running: Serving, number: int) -> Any:
    with running.client("capture", **{"Idempotency-Key": f"planted-{number}"}) as http:
        answer = http.post("/v1/orders", json={**ORDER, "external_ref": f"planted-{number}"})
        return answer.raise_for_status().json()


def _page(http: httpx.Client, limit: int) -> Any:
    params = {"limit": str(min(100, limit)), "location": "main"}
    return http.get("/v1/fulfillment-orders", params=params).raise_for_status().json()["data"]


def _await(look: Any, count: int) -> Any:
    ends_s = time.monotonic() + PATIENCE_S
    while len(found := look()) < count:
        if time.monotonic() > ends_s:
            raise TimeoutError(f"{len(found)} of {count} orders came to the warehouse")
        time.sleep(0.1)
    return found


def _work(http: httpx.Client, one: Mapping[str, Any], steps: int) -> None:
    """Take a fulfillment order so many steps on."""
    units = [{"line_id": line["line_id"], "quantity": line["quantity"]} for line in one["lines"]]
    bodies: Sequence[tuple[str, Mapping[str, Any]]] = (
        ("accept", {}),
        ("pick", {"lines": units}),
        ("pack", {"packages": [{"weight_g": 900, "lines": units}]}),
        ("ship", {"service": "standard"}),
    )
    for step, body in bodies[:steps]:
        headers = {"If-Match": "*", "Idempotency-Key": f"{one['id']}-{step}"}
        path = f"/v1/fulfillment-orders/{one['id']}/{step}"
        http.post(path, json=body, headers=headers).raise_for_status()
