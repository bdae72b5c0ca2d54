"""The orders of a chaos run: what is bought, how it is paid, how its customer behaves."""

# ruff: noqa: S311, TID251  what a proof draws, it draws from its seed
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Manners = Literal["plain", "again", "doubled", "aborted"]
"""How a post is sent: once; again after its answer; twice at once; broken off, then again."""

Chore = Literal["refund", "refund twice", "erase", "prefer", "count", "adjust", "reorder"]
"""What staff do once an order is there, or has ended."""

PLENTY = tuple(f"PLENTY-{number:03}" for number in range(120))
SCARCE = tuple(f"SCARCE-{number:02}" for number in range(12))
PLENTY_UNITS = 1_000_000
SCARCE_UNITS = 3
"""Booked in at a time, again and again: most who ask for them go away empty."""
LOCATION = "main"

TOKENS: Sequence[tuple[str, int]] = (
    ("tok_approve", 64),
    ("tok_expires_fast", 2),
    ("tok_decline", 6),
    ("tok_insufficient_funds", 2),
    ("tok_timeout_after_charge", 6),
    ("tok_timeout_before_charge", 5),
    ("tok_error_once", 4),
    ("tok_stored_error", 4),
    ("tok_capture_timeout_after_charge", 3),
    ("tok_pending", 2),
    ("tok_pending_decline", 1),
    ("tok_slow", 1),
)
MANNERS: Sequence[tuple[Manners, int]] = (
    ("plain", 80),
    ("again", 8),
    ("doubled", 7),
    ("aborted", 5),
)


CHORES: Sequence[tuple[Chore | None, int]] = (
    (None, 88),
    ("refund", 3),
    ("refund twice", 2),
    ("erase", 2),
    ("prefer", 2),
    ("count", 1),
    ("adjust", 1),
    ("reorder", 1),
)
AT_ONCE = frozenset({"prefer"})
"""Chores that do not wait for the order's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One order to come, and its customer. `cancel_after_s` None: it is kept.

    `chore` is what staff do of it, to `customer` or to `scarce` goods where it is about those.
    """

    key: str
    body: bytes
    kind: str
    manners: Manners
    cancel_after_s: float | None
    watches: bool
    chore: Chore | None
    customer: str
    scarce: str


def draw(seed: int, number: int) -> Wanted:
    """The order of this number; the same for the same seed."""
    dice = random.Random(f"{seed}:order:{number}")
    token = _weighted(dice, TOKENS)
    scarce = dice.random() < 0.08
    several = not scarce and dice.random() < 0.15
    partial = scarce and dice.random() < 0.4
    skus = dice.sample(SCARCE, 1) if scarce else dice.sample(PLENTY, 3 if several else 1)
    if partial:
        skus += dice.sample(PLENTY, 1)
    cancels = dice.random() < 0.08
    kind = "cancelled" if cancels else "scarce" if scarce else token.removeprefix("tok_")
    return Wanted(
        key=f"chaos-{seed}-{number}",
        body=_body(seed, number, dice, skus, token, partial=partial),
        kind=kind,
        manners=_weighted(dice, MANNERS),
        cancel_after_s=round(dice.uniform(0.0, 3.0), 3) if cancels else None,
        watches=dice.random() < 0.3,
        chore=_weighted(dice, CHORES),
        customer=f"customer-{seed}-{number}",
        scarce=dice.choice(SCARCE),
    )


def receipt(reference: str, units: dict[str, int]) -> bytes:
    """A delivery to the location that the robot warehouse works."""
    lines = [{"sku": sku, "quantity": count} for sku, count in units.items()]
    return json.dumps({"location": LOCATION, "reference": reference, "lines": lines}).encode()


def _body(
    seed: int, number: int, dice: random.Random, skus: list[str], token: str, *, partial: bool
) -> bytes:
    name = f"{seed}-{number}"
    body: dict[str, Any] = {
        "external_ref": f"chaos-{name}",
        "channel": "web",
        "currency": "GBP",
        "customer": {
            "ref": f"customer-{name}",
            "email": f"buyer-{name}@example.com",
            "phone": "+442079460000",
            "locale": "en-GB",
        },
        "shipping_address": {
            "name": f"Chaotic Buyer {name}",
            "line1": f"{number} Chaos Crescent",
            "city": "London",
            "postal_code": "N1 9GU",
            "country_code": "GB",
        },
        "lines": [
            {
                "sku": sku,
                "name": f"Thing {sku}",
                "quantity": dice.randint(1, 2),
                "unit_price_minor": dice.randint(100, 5_000),
            }
            for sku in skus
        ],
        "shipping": {"option": "standard", "price_minor": 495},
        "payment": {"method": "card", "token": token},
        "allow_partial": partial,
    }
    return json.dumps(body).encode()


def _weighted(dice: random.Random, choices: Sequence[tuple[Any, int]]) -> Any:
    names = [name for name, _ in choices]
    return dice.choices(names, weights=[weight for _, weight in choices])[0]
