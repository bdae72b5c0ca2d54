"""What a case's clients do: shop, warehouse and staff, through the public APIs, while things die.

Every command is sent with one key until it is answered, as good clients do, and kept, so that it
can be sent again afterwards: the same key must get the same answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from crash_system import SHORT_ORDERS, System, as_json, until
from waybill.ledger import Polled, Posted, posted
from waybill_events.identity import suffix

Json = dict[str, Any]

APPROVE = "tok_approve"
PATIENCE_S = 40.0
AGAIN_S = 0.2
ENDS = ("completed", "rejected", "cancelled", "expired")
HOLD_ENDS_S = 2.5
"""Longer than the sandbox holds money for the token `tok_expires_fast`, and payment's margin."""
EARLY = (404, 412)
"""Answers to a command that came before what it is about: sent again, like 409 and 5xx."""


class OrderEnded(Exception):
    """The order has ended otherwise than its story meant it to. It still must end well."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A command that was answered, and how."""

    service: str
    method: str
    path: str
    body: object
    key: str
    status: int
    answer: bytes


@dataclass(slots=True)
class Shop:
    """One case's clients. `name` is in every key and SKU, so that no case meets another's."""

    system: System
    name: str
    orders: list[str] = field(default_factory=list)
    skus: list[str] = field(default_factory=list)
    clients: list[Posted | Polled] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    answered_again: int = 0

    @property
    def order(self) -> str:
        return self.orders[-1]

    async def ask(
        self, service: str, method: str, path: str, body: object, *, step: str = ""
    ) -> Json:
        """Send a command until it succeeds; always the same.

        Raises:
            OrderEnded: it never will, for the order has ended.
            TimeoutError: it was not answered in time.
        """
        key = f"{self.name}-{step or path}"

        async def once() -> Json | None:
            answer = await self._try(service, method, path, body, key)
            if answer is None or answer.status_code >= 500 or answer.status_code in EARLY:
                await asyncio.sleep(AGAIN_S)
                return None
            sent = Sent(service, method, path, body, key, answer.status_code, answer.content)
            if answer.status_code == 409:
                self._note_post(sent, answer)
                await self._check_open()
                await asyncio.sleep(AGAIN_S)
                return None
            assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
            self.sent.append(sent)
            return dict(answer.json())

        return await until(f"{method} {path} of {service}", once, PATIENCE_S)

    async def _try(
        self, service: str, method: str, path: str, body: object, key: str
    ) -> httpx.Response | None:
        headers = {"Idempotency-Key": key, "If-Match": "*", "Content-Type": "application/json"}
        url = self.system.front(service) + path
        try:
            return await self.system.http.request(
                method, url, content=as_json(body), headers=headers
            )
        except httpx.TransportError:
            return None

    async def send_again(self) -> list[str]:
        """Send every command once more; answers what was answered otherwise than before."""
        told = []
        for sent in list(self.sent):

            async def once(sent: Sent = sent) -> httpx.Response | None:
                answer = await self._try(sent.service, sent.method, sent.path, sent.body, sent.key)
                if answer is None or answer.status_code >= 500 or answer.status_code == 409:
                    await asyncio.sleep(AGAIN_S)
                    return None
                return answer

            answer = await until(f"{sent.path} again", once, PATIENCE_S)
            self._note_post(sent, answer)
            self.answered_again += 1
            if (answer.status_code, answer.content) != (sent.status, sent.answer):
                told.append(f"I15 {sent.method} {sent.path} with key {sent.key} answers otherwise")
        return told

    async def look(self, service: str, path: str) -> Json | None:
        """What is there, if it is and if the service answers."""
        try:
            answer = await self.system.http.get(self.system.front(service) + path)
        except httpx.TransportError:
            return None
        return dict(answer.json()) if answer.is_success else None

    async def _check_open(self) -> None:
        seen = await self.look("capture", f"/v1/orders/{self.order}") if self.orders else None
        if seen is not None and seen["status"] in ENDS:
            raise OrderEnded(seen["status"])

    # --- steps of stories

    async def stock(self, units: int = 9) -> str:
        """A new SKU with so many units."""
        sku = f"{self.name}-{len(self.skus)}"
        self.skus.append(sku)
        body = {
            "location": "main",
            "reference": "PO-1",
            "lines": [{"sku": sku, "quantity": units}],
        }
        await self.ask("inventory", "POST", "/v1/stock/receipts", body, step=f"receipt {sku}")
        return sku

    async def place(
        self, token: str = APPROVE, *, at: str = "capture", name: str = "A. Buyer"
    ) -> str:
        """An order of a SKU of its own."""
        sku = await self.stock()
        path = "/v1/orders"
        step = f"order {len(self.orders)}"
        body = {
            "channel": "web",
            "external_ref": f"{self.name} {step}",
            "currency": "GBP",
            "customer": {"ref": self.name, "email": "buyer@example.com", "phone": "+442079460000"},
            "shipping_address": {
                "name": name,
                "line1": "1 High Street",
                "city": "London",
                "postal_code": "N1 9GU",
                "country_code": "GB",
            },
            "lines": [{"sku": sku, "name": "Thing", "quantity": 2, "unit_price_minor": 255}],
            "shipping": {"option": "standard", "price_minor": 495},
            "payment": {"method": "card", "token": token},
        }
        answer = await self.ask(at, "POST", path, body, step=step)
        self.orders.append(str(answer["id"]))
        last, token = self.sent[-1], str(answer["tracking"]["token"])
        asked = as_json(body)
        self.clients.append(
            posted(last.key, asked, last.status, self.order, last.answer, token=token)
        )
        return self.order

    def _note_post(self, sent: Sent, answer: httpx.Response) -> None:
        if sent.path == "/v1/orders":
            order_id, asked = str(answer.json().get("id", "")), as_json(sent.body)
            self.clients.append(
                posted(sent.key, asked, answer.status_code, order_id, answer.content)
            )

    def part(self, prefix: str) -> str:
        return f"{prefix}_{suffix(self.order)}"

    async def ended(self, status: str = "") -> None:
        """Wait until the order has ended, in this way if one is named."""

        async def has_ended() -> str | None:
            seen = await self.look("capture", f"/v1/orders/{self.order}")
            return None if seen is None or seen["status"] not in ENDS else str(seen["status"])

        found = await until(f"{self.order} ends", has_ended, PATIENCE_S)
        await self.track()
        assert status in ("", found), f"{self.order} ended {found}, not {status}"

    async def track(self) -> None:
        """What the customer is shown of the order, if anything by now."""
        tokens = {one.order_id: one.token for one in self.clients if one.token}
        seen = await self.look("tracking", f"/v1/track/{tokens[self.order]}")
        if seen is not None:
            self.clients.append(
                Polled(order_id=self.order, version=int(seen["version"]), client=self.name)
            )

    async def to_fulfil(self) -> Json:
        """The order's fulfillment order, once there is one."""
        path = f"/v1/fulfillment-orders/{self.part('ffo')}-1"

        async def is_there() -> Json | None:
            if (found := await self.look("fulfillment", path)) is None:
                await self._check_open()
            return found

        return await until(f"{self.order} is to be fulfilled", is_there, PATIENCE_S)

    async def warehouse(self, step: str, body: Json) -> None:
        path = f"/v1/fulfillment-orders/{self.part('ffo')}-1/{step}"
        await self.ask("fulfillment", "POST", path, body)

    async def fulfil(self, *, missing: int = 0) -> None:
        """Accept, pick, pack and ship it, less what is missing."""
        lines = (await self.to_fulfil())["lines"]
        picked = [{"line_id": x["line_id"], "quantity": x["quantity"] - missing} for x in lines]
        await self.warehouse("accept", {})
        await self.warehouse("pick", {"lines": picked})
        await self.warehouse("pack", {"packages": [{"weight_g": 900, "lines": picked}]})
        await self.warehouse("ship", {"service": "standard"})

    async def cancel(self) -> None:
        path = f"/v1/orders/{self.order}/cancel"
        await self.ask("capture", "POST", path, {"reason": "customer_request"})


Story = Callable[[Shop], Awaitable[None]]


async def bought(shop: Shop) -> None:
    await shop.place()
    await shop.fulfil()
    await shop.ended("completed")


async def lost(shop: Shop) -> None:
    """The carrier loses the parcel and finds it again without a word: only asking tells."""
    await shop.place(name="LOST")
    await shop.fulfil()
    await shop.ended("completed")


async def declined(shop: Shop) -> None:
    await shop.place("tok_decline")
    await shop.ended("rejected")


async def cancelled(shop: Shop) -> None:
    await shop.place()
    await shop.to_fulfil()
    await shop.cancel()
    await shop.ended()


async def refunded(shop: Shop) -> None:
    await bought(shop)
    path = f"/v1/payments/{shop.part('pay')}"
    body = {"amount_minor": 255, "reason": "goodwill"}
    await shop.ask("payment", "POST", f"{path}/refunds", body)

    async def given_back() -> bool | None:
        seen = await shop.look("payment", path)
        return True if seen and seen["amounts"]["refunded_minor"] == 255 else None

    await until(f"{shop.order} is refunded", given_back, PATIENCE_S)


async def erased(shop: Shop) -> None:
    await bought(shop)
    await shop.ask("capture", "POST", "/v1/recipients/erase", {"order_id": shop.order})


async def expired(shop: Shop) -> None:
    await shop.place("tok_pending", at=SHORT_ORDERS)
    await shop.ended()


async def pending(shop: Shop) -> None:
    await shop.place("tok_pending")
    await shop.fulfil()
    await shop.ended("completed")


async def unanswered(shop: Shop) -> None:
    await shop.place("tok_timeout_after_charge")
    await shop.fulfil()
    await shop.ended("completed")


async def held_too_long(shop: Shop) -> None:
    """The hold on the money ends before the warehouse begins, and the shop gives up."""
    await shop.place("tok_expires_fast")
    await shop.to_fulfil()
    await asyncio.sleep(HOLD_ENDS_S)
    await shop.cancel()
    await shop.ended()


async def late(shop: Shop) -> None:
    """The warehouse misses its deadline, then works."""
    await shop.place()
    await shop.to_fulfil()
    await asyncio.sleep(1.3)
    await shop.fulfil()
    await shop.ended("completed")


async def picked_short(shop: Shop) -> None:
    await shop.place()
    await shop.fulfil(missing=1)
    await shop.ended("completed")


async def turned_down(shop: Shop) -> None:
    """The warehouse refuses, and nobody else has the units."""
    await shop.place()
    await shop.to_fulfil()
    await shop.warehouse("reject", {"reason": "closed"})
    await shop.ended()


async def shelved(shop: Shop) -> None:
    """What people tell of shelves."""
    sku = await shop.stock()
    less = {"location": "main", "reason": "damaged", "lines": [{"sku": sku, "delta": -2}]}
    await shop.ask("inventory", "POST", "/v1/stock/adjustments", less, step="less")
    seen = {"location": "main", "reference": "C-1", "lines": [{"sku": sku, "counted": 5}]}
    await shop.ask("inventory", "POST", "/v1/stock/counts", seen, step="count")
    point = {"reorder_point": 3, "reorder_quantity": 10}
    await shop.ask("inventory", "PUT", f"/v1/stock/{sku}/reorder-points/main", point)


async def preferred(shop: Shop) -> None:
    """A customer wants no more SMS, and buys."""
    wish = {"channel": "sms", "allowed": False}
    await shop.ask("notification", "PUT", f"/v1/preferences/{shop.name}", wish)
    await bought(shop)


STORIES: Mapping[str, Story] = {
    story.__name__: story
    for story in (
        bought,
        lost,
        declined,
        cancelled,
        refunded,
        erased,
        expired,
        pending,
        unanswered,
        held_too_long,
        late,
        picked_short,
        turned_down,
        shelved,
        preferred,
    )
}
