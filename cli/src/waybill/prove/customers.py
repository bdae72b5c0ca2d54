"""Customers of a proof: each orders, perhaps many times under one key, and waits for the end."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from waybill.failure import Failure
from waybill.shop import Shop

T = TypeVar("T")

TERMINAL = frozenset({"completed", "rejected", "cancelled", "expired"})
LOOK_MIN_S, LOOK_MAX_S = 1.0, 8.0
LOOKS_MAX = 400
LOCATION = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An order as its customer saw it end. Of the posts under its key: the order ids that were
    answered, and how many distinct answers.
    """

    key: str
    order_ids: frozenset[str]
    status: str
    total_minor: int
    answers: int


@dataclass(slots=True)
class Tally:
    """What came of a crowd."""

    ended: list[Ended] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[str]:
        return Counter(one.status for one in self.ended)


def body(key: str, sku: str, token: str) -> bytes:
    """An order of one unit."""
    wanted: dict[str, Any] = {
        "external_ref": key,
        "channel": "web",
        "currency": "GBP",
        "customer": {"ref": key, "email": f"{key}@example.com", "locale": "en-GB"},
        "shipping_address": {
            "name": f"Proven Buyer {key}",
            "line1": f"1 Proof Place {key}",
            "city": "London",
            "postal_code": "N1 9GU",
            "country_code": "GB",
        },
        "lines": [{"sku": sku, "name": "A thing", "quantity": 1, "unit_price_minor": 255}],
        "shipping": {"option": "standard", "price_minor": 495},
        "payment": {"method": "card", "token": token},
    }
    return json.dumps(wanted).encode()


async def receive(shop: Shop, reference: str, sku: str, units: int) -> None:
    """Book units in.

    Raises:
        Failure: the system refuses.
    """
    lines = [{"sku": sku, "quantity": units}]
    booked = {"location": LOCATION, "reference": reference, "lines": lines}
    answer = await shop.receive(reference, json.dumps(booked).encode())
    if not answer.is_success:
        raise Failure(f"A receipt was refused: {answer.status_code} {answer.text[:200]}.")


async def buy(shop: Shop, key: str, sku: str, token: str, *, posts: int = 1) -> Ended:
    """Post an order `posts` times at once under one key, and see it end.

    Raises:
        Failure: it was not taken, or did not end.
    """
    asked = body(key, sku, token)
    answers = await asyncio.gather(*(shop.place(key, asked) for _ in range(posts)))
    if refused := [one for one in answers if one.status_code != 201]:
        raise Failure(f"{key} was refused: {refused[0].status_code} {refused[0].text[:200]}.")
    placed = answers[0].json()
    pause_s = LOOK_MIN_S
    for _ in range(LOOKS_MAX):
        order = await shop.order(placed["id"])
        if order["status"] in TERMINAL:
            return Ended(
                key=key,
                order_ids=frozenset(one.json()["id"] for one in answers),
                status=order["status"],
                total_minor=placed["total"]["amount_minor"],
                answers=len({one.content for one in answers}),
            )
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LOOK_MAX_S)
    raise Failure(f"Order {placed['id']} of {key} does not end.")


async def crowd(
    at_once: int,
    customers: Iterable[Callable[[], Awaitable[Ended]]],
    tell: Callable[[str], None],
) -> Tally:
    """Let all of them in, so many at once.

    Raises:
        Failure: one of them was not served.
    """
    tally = Tally()
    waiting = iter(customers)

    async def serve() -> None:
        for customer in waiting:
            tally.ended.append(await customer())
            if len(tally.ended) % 100 == 0:
                tell(f"{len(tally.ended):,} orders have ended: {dict(tally.statuses)}")

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(serve())
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        raise (first if isinstance(first, Failure) else failed) from None
    return tally
