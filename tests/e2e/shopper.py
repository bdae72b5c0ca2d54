"""A client of a running system: shop, warehouse and staff in one, through the public APIs alone.

What it posts and polls is written to a ledger outside the system, for the audit.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from application_under_test import MAIN, Application

T = TypeVar("T")
Json = dict[str, Any]

APPROVE = "tok_approve"
REPLAYED = "Idempotent-Replayed"
TERMINAL = frozenset({"completed", "rejected", "cancelled", "expired"})
WITHIN_S = 60.0
LOOK_EVERY_S = 0.05
POST_TRIES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An order as its shop knows it."""

    id: str
    token: str
    email: str
    total_minor: int

    @property
    def suffix(self) -> str:
        return self.id.removeprefix("ord_")


class Shopper:
    """One client. Owed a `close`."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._values = application.values
        self._ledger = application.ledger()
        self.http = httpx.AsyncClient(
            timeout=30.0, trust_env=False, limits=httpx.Limits(max_connections=256)
        )

    async def close(self) -> None:
        await self.http.aclose()
        self._ledger.close()

    def url(self, service: str) -> str:
        return self._values[f"{service.upper()}_URL"]

    def headers(self, role: str = "operator", **more: str) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in more.items()}
        return {"Authorization": f"Bearer {self.application.key(role)}", **named}

    def unique(self, word: str) -> str:
        return self.application.unique(word)

    # --- the shop -------------------------------------------------------------------------

    def body(
        self,
        lines: Mapping[str, int],
        *,
        token: str = APPROVE,
        email: str = "",
        **changes: Any,
    ) -> Json:
        """An order of so many units per SKU, at 2.55 each and 4.95 for shipping."""
        return {
            "channel": "web",
            "currency": "GBP",
            "customer": {
                "ref": self.unique("customer"),
                "email": email or f"{self.unique('buyer')}@example.com",
                "phone": "+442079460000",
                "locale": "en-GB",
            },
            "shipping_address": {
                "name": "A. Buyer",
                "line1": "1 High Street",
                "city": "London",
                "postal_code": "N1 9GU",
                "country_code": "GB",
            },
            "lines": [
                {"sku": sku, "name": f"Thing {sku}", "quantity": units, "unit_price_minor": 255}
                for sku, units in lines.items()
            ],
            "shipping": {"option": "standard", "price_minor": 495},
            "payment": {"method": "card", "token": token},
            **changes,
        }

    async def post(self, body: Json, key: str, url: str = "") -> httpx.Response:
        """One try to place an order, written down whatever comes of it."""
        content = json.dumps(body).encode()
        headers = self.headers("storefront", Idempotency_Key=key) if key else self.headers()
        headers["Content-Type"] = "application/json"
        try:
            answer = await self.http.post(
                f"{url or self.url('capture')}/v1/orders", content=content, headers=headers
            )
        except httpx.TransportError:
            self._ledger.posted(key, content, 0, "", b"")
            raise
        told = answer.json() if answer.is_success else {}
        self._ledger.posted(
            key,
            content,
            answer.status_code,
            told.get("id", ""),
            answer.content,
            token=told.get("tracking", {}).get("token", ""),
        )
        return answer

    async def place(self, lines: Mapping[str, int], url: str = "", **changes: Any) -> Placed:
        """Place an order that is taken at the first try."""
        body = self.body(lines, **changes)
        answer = await self.post(body, self.unique("key"), url)
        assert answer.status_code == 201, answer.text
        return placed(body, answer.json())

    async def place_twice(self, lines: Mapping[str, int]) -> Placed:
        """Place an order as who presses the button a second time: one answer, given twice."""
        body, key = self.body(lines), self.unique("key")
        first, again = [await self.post(body, key) for _ in range(2)]
        assert (first.status_code, first.content) == (201, again.content), again.text
        return placed(body, first.json())

    async def place_whatever_happens(self, lines: Mapping[str, int], **changes: Any) -> Placed:
        """Place an order as a shop does while things die: the same key until it is answered."""
        body, key = self.body(lines, **changes), self.unique("key")
        for _ in range(POST_TRIES):
            try:
                answer = await self.post(body, key)
            except httpx.TransportError:
                await asyncio.sleep(0.2)
                continue
            if answer.status_code == 201:
                return placed(body, answer.json())
            assert answer.status_code in (409, 429, 500, 503), answer.text
            await asyncio.sleep(0.2)
        raise AssertionError("an order was never answered")

    async def order(self, order_id: str) -> Json:
        return await self._get("capture", f"/v1/orders/{order_id}")

    async def cancel(self, order_id: str) -> httpx.Response:
        headers = self.headers("storefront", Idempotency_Key=self.unique("cancel"), If_Match="*")
        return await self.http.post(
            f"{self.url('capture')}/v1/orders/{order_id}/cancel",
            json={"reason": "customer_request"},
            headers=headers,
        )

    async def wait_for(self, order: Placed, status: str, within_s: float = WITHIN_S) -> Json:
        """The order once it has this status; another end is an error at once."""

        async def look() -> Json | None:
            seen = await self.order(order.id)
            ended_otherwise = seen["status"] in TERMINAL and seen["status"] != status
            assert not ended_otherwise, f"{order.id} is {seen['status']}: {seen['reason']}"
            return seen if seen["status"] == status else None

        return await eventually(look, f"{order.id} to be {status}", within_s)

    async def wait_for_end(self, order: Placed, within_s: float = WITHIN_S) -> Json:
        """The order once it has ended, however; what fails while things die is asked again."""

        async def look() -> Json | None:
            try:
                answer = await self.http.get(
                    f"{self.url('capture')}/v1/orders/{order.id}", headers=self.headers()
                )
            except httpx.TransportError:
                return None
            if answer.status_code in (500, 503):
                return None
            assert answer.status_code == 200, answer.text
            seen: Json = answer.json()
            return seen if seen["status"] in TERMINAL else None

        return await eventually(look, f"{order.id} to end", within_s)

    # --- stock and money ------------------------------------------------------------------

    async def receive(self, sku: str, units: int, location: str = MAIN) -> str:
        answer = await self.http.post(
            f"{self.url('inventory')}/v1/stock/receipts",
            json={
                "location": location,
                "reference": self.unique("PO"),
                "lines": [{"sku": sku, "quantity": units}],
            },
            headers=self.headers("warehouse", Idempotency_Key=self.unique("receipt")),
        )
        assert answer.status_code == 201, answer.text
        return sku

    async def new_sku(self, units: int, location: str = MAIN) -> str:
        """A SKU of this test's own, with so many units of it."""
        return await self.receive(self.unique("SKU"), units, location)

    async def stock(self, sku: str) -> tuple[int, int, int, int]:
        """On hand, held, allocated and available, over all locations."""
        totals = (await self._get("inventory", f"/v1/stock/{sku}"))["totals"]
        return totals["on_hand"], totals["held"], totals["allocated"], totals["available"]

    async def wait_for_stock(self, sku: str, *wanted: int) -> None:
        async def look() -> bool:
            return await self.stock(sku) == wanted

        await eventually(look, f"{sku} to have {wanted}")

    async def payment(self, order: Placed) -> Json:
        return await self._get("payment", f"/v1/payments/pay_{order.suffix}")

    async def refund(self, order: Placed, amount_minor: int, if_match: str) -> httpx.Response:
        """Ask for money to be given back, against the version of the payment that was seen."""
        headers = self.headers(Idempotency_Key=self.unique("refund"), If_Match=if_match)
        return await self.http.post(
            f"{self.url('payment')}/v1/payments/pay_{order.suffix}/refunds",
            json={"amount_minor": amount_minor, "reason": "customer_request"},
            headers=headers,
        )

    async def charges(self, order: Placed) -> list[tuple[str, str, int]]:
        """What the gateway's own ledger says of an order: operation, outcome, amount."""
        return [
            (entry["operation"], entry["outcome"], entry["amount_minor"])
            for entry in await self.ledger()
            if order.suffix in entry["reference"]
        ]

    async def wait_for_charges(self, order: Placed, *wanted: tuple[str, str, int]) -> None:
        async def look() -> bool:
            return await self.charges(order) == list(wanted)

        try:
            await eventually(look, "the gateway's ledger", 30.0)
        except AssertionError:
            assert await self.charges(order) == list(wanted)

    async def ledger(self) -> list[Json]:
        """Every entry of the gateway's ledger."""
        entries: list[Json] = []
        key = self.application.secret("gateway-api-key")
        while True:
            after = entries[-1]["seq"] if entries else 0
            answer = await self.http.get(
                f"{self.url('gateway')}/ledger",
                params={"after": after, "limit": 5000},
                headers={"Authorization": f"Bearer {key}"},
            )
            answer.raise_for_status()
            page = answer.json()["entries"]
            if not page:
                return entries
            entries += page

    # --- what customers get ---------------------------------------------------------------

    async def mails(self, order: Placed) -> list[str]:
        """The subjects of what the mail sink got for an order, in order."""
        answer = await self.http.get(
            f"{self.url('mail')}/messages", params={"to": order.email, "channel": "email"}
        )
        answer.raise_for_status()
        return [message["subject"] for message in answer.json()["messages"]]

    async def track(self, order: Placed) -> httpx.Response:
        """One look at the customer's view, written down for the audit."""
        answer = await self.http.get(f"{self.url('tracking')}/v1/track/{order.token}")
        if answer.status_code == 200:
            self._ledger.polled(order.id, answer.json()["version"], token=order.token)
        elif answer.status_code == 404:
            self._ledger.polled(order.id, 0, token=order.token)
        return answer

    async def timeline(self, order: Placed) -> list[Json]:
        found: list[Json] = (await self._get("tracking", f"/v1/orders/{order.id}/timeline"))["data"]
        return found

    # --- the warehouse --------------------------------------------------------------------

    async def fulfillment_orders(self, order: Placed, count: int = 1) -> list[Json]:
        """An order's fulfillment orders, once there are so many."""

        async def look() -> list[Json]:
            page = await self._get(
                "fulfillment", "/v1/fulfillment-orders", params={"order_id": order.id}
            )
            data: list[Json] = page["data"]
            return data if len(data) >= count else []

        return await eventually(look, f"{count} fulfillment orders of {order.id}")

    async def fulfillment_order(self, fulfillment_order_id: str) -> Json:
        return await self._get("fulfillment", f"/v1/fulfillment-orders/{fulfillment_order_id}")

    async def step(self, fulfillment_order_id: str, name: str, body: Json) -> Json:
        """One command of the warehouse API, which is taken; its answer."""
        headers = self.headers("warehouse", Idempotency_Key=self.unique(name), If_Match="*")
        for _ in range(POST_TRIES):
            answer = await self.http.post(
                f"{self.url('fulfillment')}/v1/fulfillment-orders/{fulfillment_order_id}/{name}",
                json=body,
                headers=headers,
            )
            if answer.status_code != 503:
                break
            await asyncio.sleep(0.2)
        assert answer.status_code == 200, f"{name}: {answer.status_code} {answer.text}"
        found: Json = answer.json()
        return found

    async def work(
        self, fulfillment_order_id: str, until: str = "ship", units: Mapping[str, int] | None = None
    ) -> Json:
        """Work a fulfillment order by hand up to a step; `units` picks fewer, by line id."""
        seen = await self.fulfillment_order(fulfillment_order_id)
        asked = {line["line_id"]: line["quantity"] for line in seen["lines"]}
        picked = {line: (units or {}).get(line, quantity) for line, quantity in asked.items()}
        found = [{"line_id": line, "quantity": n} for line, n in picked.items() if n]
        bodies: dict[str, Json] = {
            "accept": {},
            "pick": {"lines": [{"line_id": line, "quantity": n} for line, n in picked.items()]},
            "pack": {"packages": [{"weight_g": 900, "lines": found}]},
            "ship": {"service": "standard"},
        }
        for name, body in bodies.items():
            seen = await self.step(fulfillment_order_id, name, body)
            if name == until:
                break
        return seen

    async def feed(self) -> list[Json]:
        """The warehouse's feed from its start to its end."""
        events: list[Json] = []
        params: dict[str, str] = {"limit": "500"}
        while True:
            page = await self._get("fulfillment", "/v1/feed/fulfillment", params=params)
            events += page["data"]
            if not page["has_more"]:
                return events
            params["after"] = page["next_cursor"]

    async def _get(self, service: str, path: str, params: Mapping[str, str] | None = None) -> Json:
        answer = await self.http.get(
            self.url(service) + path, params=params, headers=self.headers()
        )
        assert answer.status_code == 200, f"GET {path}: {answer.status_code} {answer.text}"
        found: Json = answer.json()
        return found


def placed(body: Json, answer: Json) -> Placed:
    return Placed(
        id=answer["id"],
        token=answer["tracking"]["token"],
        email=body["customer"]["email"],
        total_minor=answer["total"]["amount_minor"],
    )


def types(events: Sequence[Json]) -> list[str]:
    """The types of timeline entries or feed events, without service and version."""
    return [event["type"].split(".")[1] for event in events]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def eventually(
    look: Callable[[], Awaitable[T | None]], what: str, within_s: float = WITHIN_S
) -> T:
    """What `look` answers once it is true."""
    deadline_s = time.monotonic() + within_s
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < deadline_s, f"waited {within_s:.0f} s for {what}"
        await asyncio.sleep(LOOK_EVERY_S)
