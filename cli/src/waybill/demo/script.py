"""What happens in a demo: the goods, and who buys them how. Only its keys are new each time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GOODS: Mapping[str, tuple[str, int]] = {
    "DEMO-LAMP": ("Brass lamp", 3_950),
    "DEMO-MUG": ("Stoneware mug", 1_250),
    "DEMO-RUG": ("Woollen rug", 12_900),
    "DEMO-TRAY": ("Oak tray", 2_800),
    "DEMO-VASE": ("Blue vase", 4_475),
}
RARE = "DEMO-CLOCK"
"""Of this there are too few."""
RARE_STOCK = 4
PLENTY = 60
ORDERS = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One buyer. `cancels`: changes their mind at once."""

    number: int
    key: str
    body: bytes
    cancels: bool
    story: str


def receipts(run: str) -> Sequence[tuple[str, bytes]]:
    """Deliveries, as (key, body): everything at main, vases in the north as well."""
    main = dict.fromkeys(GOODS, PLENTY) | {RARE: RARE_STOCK}
    return [
        _receipt(f"{run}-main", "main", main),
        _receipt(f"{run}-north", "north", {"DEMO-VASE": PLENTY}),
    ]


def _receipt(name: str, location: str, units: Mapping[str, int]) -> tuple[str, bytes]:
    lines = [{"sku": sku, "quantity": count} for sku, count in units.items()]
    return name, json.dumps({"location": location, "reference": name, "lines": lines}).encode()


def scenes(run: str) -> Sequence[Scene]:
    """Every buyer, in the order of coming."""
    return [_scene(run, number) for number in range(1, ORDERS + 1)]


def _scene(run: str, number: int) -> Scene:
    skus = list(GOODS)
    first, second = skus[number % len(skus)], skus[(number * 3 + 1) % len(skus)]
    units = {first: 1 + number % 3} | ({second: 1} if number % 2 else {})
    token, story = "tok_approve", "pays by card"
    cancels = False
    match number % 12:
        case 3:
            token, story = "tok_decline", "has no money on the card"
        case 6:
            units, story = {RARE: 3}, "wants three of a rare clock"
        case 8:
            token, story = "tok_timeout_after_charge", "pays, and the gateway does not answer"
        case 10:
            token, story = "tok_error_once", "pays at the second try"
        case 11:
            cancels, story = True, "thinks again"
    body = {
        "external_ref": f"{run}-{number}",
        "channel": "demo",
        "currency": "GBP",
        "customer": {"email": f"buyer{number}@example.com"},
        "shipping_address": {
            "name": "A. Buyer",
            "line1": "1 High Street",
            "city": "London",
            "postal_code": "N1 9GU",
            "country_code": "GB",
        },
        "lines": [_line(sku, count) for sku, count in units.items()],
        "payment": {"method": "card", "token": token},
    }
    return Scene(
        number=number,
        key=f"{run}-{number}",
        body=json.dumps(body).encode(),
        cancels=cancels,
        story=story,
    )


def _line(sku: str, quantity: int) -> dict[str, object]:
    name, price_minor = GOODS.get(sku, ("Rare clock", 24_900))
    return {"sku": sku, "name": name, "quantity": quantity, "unit_price_minor": price_minor}
