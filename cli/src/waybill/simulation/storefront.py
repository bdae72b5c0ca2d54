"""A storefront and its customers: they post until answered, post again, cancel and look."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Coroutine
from contextlib import nullcontext, suppress
from typing import Any, TypeVar

from fulfillment.adapters.carrier_memory import UNDELIVERABLE as UNDELIVERABLE_TO
from waybill.ledger import Polled, Posted, posted
from waybill.simulation.calls import Caller
from waybill.simulation.system import System
from waybill.simulation.weather import Strike, Weather
from waybill_sandboxes.warehouse.plan import Behaviour

T = TypeVar("T")

NOWHERE = {"country_code": "IE", "postal_code": UNDELIVERABLE_TO}
"""Where no carrier goes, in a country whose postal codes nobody checks."""
TOKENS = (
    "tok_approve",
    "tok_approve",
    "tok_approve",
    "tok_decline",
    "tok_timeout_after_charge",
    "tok_timeout_before_charge",
    "tok_stored_error",
    "tok_capture_timeout_after_charge",
    "tok_pending",
)
ODD_TOKENS = (
    "tok_expires_fast",
    "tok_expires_fast",
    "tok_capture_try_again",
    "tok_refund_decline",
    "tok_pending_decline",
)
SHELVES = {
    "main": {"plenty": 100_000, "scarce": 6, "short": 4_000, "awkward": 50, "unwanted": 50},
    "north": {"plenty": 10, "scarce": 3, "short": 1, "awkward": 50},
}
USUAL = ("plenty", "scarce", "short")
ODD = ("awkward", "unwanted")
BEHAVIOUR = Behaviour(short_skus={"short": 1}, reject_skus=frozenset({"main/awkward", "unwanted"}))
"""Of what is short a unit is never found; one warehouse sends awkward things, none unwanted."""
PERSON = {
    "name": "A. Buyer",
    "company": "Acme Widgets",
    "line1": "1 High Street",
    "line2": "Flat Seven",
    "city": "London",
    "postal_code": "N1 9GU",
    "country_code": "GB",
}
FREE = 0.1
"""Orders that cost nothing: samples, goodwill."""
ODD_PAYMENTS = 0.15
ODD_GOODS = 0.2
UNDELIVERABLE = 0.04
CANCELS = 0.15
CANCELS_LATE = 0.06
LOOKS = 0.3
CUSTOMERS = 4
"""Who orders again and again; every other order is a stranger's."""
REFUSED = "nobody@example.com"
"""No relay takes mail for it."""


def order(number: int, dice: random.Random) -> dict[str, object]:
    """A body to post. Every other order has a reference of the shop's own, which must be unique."""
    is_free = dice.random() < FREE
    price_minor, shipping_minor = (0, 0) if is_free else (250, 495)
    skus = dice.sample(USUAL, dice.randint(1, 2))
    if dice.random() < ODD_GOODS:
        skus.append(dice.choice(ODD))
    lines = [
        {
            "sku": sku,
            "name": sku.title(),
            "quantity": dice.randint(1, 3),
            "unit_price_minor": price_minor,
        }
        for sku in skus
    ]
    tokens = ODD_TOKENS if dice.random() < ODD_PAYMENTS else TOKENS
    goes_nowhere = dice.random() < UNDELIVERABLE
    body: dict[str, object] = {
        "currency": "GBP",
        "customer": _customer(number, dice),
        "shipping_address": PERSON | NOWHERE if goes_nowhere else PERSON,
        "lines": lines,
        "shipping": {"option": "standard", "price_minor": shipping_minor},
        "payment": {"method": "card", "token": dice.choice(tokens)},
        "allow_partial": dice.random() < 0.3,
    }
    return body if number % 2 else body | {"external_ref": f"ref-{number}"}


def _customer(number: int, dice: random.Random) -> dict[str, str]:
    """Somebody known or a stranger; a few have an address that no relay takes mail for."""
    email = REFUSED if dice.random() < 0.05 else "buyer@example.com"
    told = {"email": email, "phone": "+442079460000"}
    known = {"ref": f"customer-{dice.randrange(CUSTOMERS)}"}
    return told | known if number % 3 else told


async def stock(running: System) -> None:
    """Fill the shelves, before anything goes wrong."""
    for location, shelf in SHELVES.items():
        lines = [{"sku": sku, "quantity": units} for sku, units in shelf.items()]
        headers = {"Idempotency-Key": f"receipt-{location}"}
        async with running.client("inventory", **headers) as http:
            body = {"location": location, "reference": "PO-1", "lines": lines}
            (await http.post("/v1/stock/receipts", json=body)).raise_for_status()


class Storefront:
    """Posts orders and remembers what it was told; its customers look at their tracking pages."""

    def __init__(self, running: System, weather: Weather, seed: int) -> None:
        self._running = running
        self._weather = weather
        self._dice = random.Random(f"storefront of {seed}")
        self._calls = Caller(running)
        self._count = 0
        self._answers: dict[str, dict[str, object]] = {}
        self._tokens: dict[str, str] = {}
        self._tracked: set[str] = set()
        self._tried: Counter[str] = Counter()
        self.seen: list[Posted | Polled] = []

    @property
    def order_ids(self) -> list[str]:
        return list(self._tokens)

    async def sell(self, count: int, span_s: float) -> None:
        """Post so many orders within so many seconds, each by a client of its own."""
        times = sorted(self._dice.uniform(0.0, span_s) for _ in range(count))
        async with asyncio.TaskGroup() as group:
            for at_s in times:
                await asyncio.sleep(max(0.0, at_s - self._weather.at_s))
                group.create_task(self.sell_one_more())

    async def sell_one_more(self) -> None:
        """One order, with whatever its customer does of it."""
        number, self._count = self._count, self._count + 1
        await self._serve(number, order(number, self._dice))

    async def ask_again(self) -> None:
        """Post an order that was answered before, as a client does that lost the answer."""
        if self._answers:
            key = self._dice.choice(sorted(self._answers))
            await self._post(key, self._answers[key])

    async def look(self, order_id: str) -> None:
        """A customer's look at the tracking page; one that is there no more shows version 0."""
        token, was_there = self._tokens[order_id], order_id in self._tracked
        answer = await self._calls.send("tracking", "GET", f"/v1/track/{token}")
        status = 0 if answer is None else answer.status_code
        if answer is not None and (status == 200 or (status == 404 and was_there)):
            version = answer.json()["version"] if status == 200 else 0
            self._tracked |= {order_id} if status == 200 else set()
            self.seen.append(
                Polled(order_id=order_id, version=version, client="customers", token=token)
            )

    async def _serve(self, number: int, body: dict[str, object]) -> None:
        key = f"key-{number}"
        strike = self._weather.take("post", "storefront")
        with strike or nullcontext():
            order_id = await self._placed(key, body, strike)
            self._answers[key] = body
            await self._think_again(number, order_id, strike)
        if self._dice.random() < LOOKS:
            await asyncio.sleep(self._dice.random())
            await self.look(order_id)
        if self._dice.random() < LOOKS:
            await self.ask_again()

    async def _think_again(self, number: int, order_id: str, strike: Strike | None) -> None:
        """Some cancel what they ordered, soon or late."""
        if strike is not None and strike.kind == "cancelled twice at once":
            heard = await asyncio.gather(
                self._cancel(f"cancel-{number}", order_id),
                self._after(round(strike.amount), self._cancel(f"again-{number}", order_id)),
            )
            strike.did(all(heard) and len(heard) - 1, "cancelled again")
        elif self._dice.random() < CANCELS:
            await asyncio.sleep(self._dice.random())
            await self._cancel(f"cancel-{number}", order_id)
        elif self._dice.random() < CANCELS_LATE:
            await asyncio.sleep(self._dice.uniform(1.0, 5.0))
            await self._cancel(f"late-{number}", order_id)

    async def _placed(self, key: str, body: dict[str, object], strike: Strike | None) -> str:
        """Post an order, as a bad client does where the fault says so, until it is answered."""
        if strike is not None and strike.kind == "posted twice at once":
            posts = (self._post(key, body) for _ in range(round(strike.amount)))
            answers = await asyncio.gather(*posts)
            strike.did(len(answers) - 1, "posted again")
            return answers[0]
        if strike is not None and strike.kind == "client goes away":
            patience = round(strike.amount)
            while patience and not strike.has_struck:
                strike.did(await self._goes_away(key, body, patience), "not waited for")
                patience //= 2
        return await self._post(key, body)

    async def _goes_away(self, key: str, body: dict[str, object], steps: int) -> int:
        """Post, and be gone after so many steps; how many posts were not waited for."""
        attempt, tried = asyncio.ensure_future(self._post(key, body)), self._tried[key]
        await self._after(steps, asyncio.sleep(0))
        attempt.cancel()
        with suppress(asyncio.CancelledError):
            await attempt
        return self._tried[key] - tried if attempt.cancelled() else 0

    @staticmethod
    async def _after(steps: int, then: Coroutine[Any, Any, T]) -> T:
        for _ in range(steps):
            await asyncio.sleep(0)
        return await then

    async def _post(self, key: str, body: dict[str, object]) -> str:
        """Post until there is an answer, with one key, as a good client does.

        Raises:
            ValueError: it was answered with a refusal that no good client can get.
        """
        asked = json.dumps(body).encode()
        while True:
            self._tried[key] += 1
            answer = await self._calls.send(
                "capture", "POST", "/v1/orders", body, **{"Idempotency-Key": key}
            )
            status, said = (0, b"") if answer is None else (answer.status_code, answer.content)
            told = {} if answer is None or status != 201 else answer.json()
            order_id = str(told.get("id", ""))
            self.seen.append(posted(key, asked, status, order_id, said))
            if order_id:
                self._tokens[order_id] = told["tracking"]["token"]
                return order_id
            if status not in (0, 409, 503) or b"external-ref-taken" in said:
                raise ValueError(f"{key} was answered {status} {said.decode()}")
            await asyncio.sleep(0.3)

    async def _cancel(self, key: str, order_id: str) -> bool:
        """Ask once; whether there was an answer, a refusal included."""
        headers = {"Idempotency-Key": key, "If-Match": "*"}
        answer = await self._calls.send(
            "capture", "POST", f"/v1/orders/{order_id}/cancel", {}, **headers
        )
        return answer is not None and answer.status_code < 500
