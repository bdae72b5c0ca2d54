"""What is posted for a file: deliveries of stock, then orders. The same file, the same plan.

Chance is drawn from the SHA-256 of an invoice number or SKU, so that nothing depends on a run.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from waybill.replay.places import PLACES
from waybill.replay.reading import Invoice, Sorted

CHANNEL = "replay"
RECEIPT_LINES_MAX = 500
MAIN, NORTH, SOUTH = "main", "north", "south"

SHARES: Mapping[str, int] = {"scarce": 20, "north_only": 30, "divided": 40, "south_only": 10}
"""Per thousand SKUs: stocked for half of the file's demand, or elsewhere than at main alone."""

TOKENS: Mapping[str, int] = {
    "tok_decline": 15,
    "tok_timeout_after_charge": 10,
    "tok_error_once": 10,
    "tok_slow": 10,
}
"""Per thousand invoices; all others pay with tok_approve."""

ALL_OR_NOTHING = 50
"""Per thousand invoices: those that take everything or nothing; all others allow partial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One request that makes something; the same key again makes nothing."""

    key: str
    path: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An invoice as it is posted."""

    invoice: str
    lines: int
    token: str
    allow_partial: bool
    post: Post


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Deliveries first, then orders in the file's order."""

    receipts: Sequence[Post]
    orders: Sequence[Order]
    demand_units: int
    stocked_units: int
    scarce_skus: int
    skus: int

    @property
    def tokens(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for order in self.orders:
            found[order.token] = found.get(order.token, 0) + 1
        return found


def draw(purpose: str, name: str) -> int:
    """A number from 0 to 999 that only the purpose and the name decide."""
    digest = hashlib.sha256(f"{purpose}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 1000


def make(found: Sorted, file_sha256: str) -> Plan:
    """The plan of a file."""
    demand: dict[str, int] = {}
    for invoice in found.invoices:
        for line in invoice.lines:
            demand[line.sku] = demand.get(line.sku, 0) + line.quantity
    stock = {sku: shelves(sku, units) for sku, units in sorted(demand.items())}
    return Plan(
        receipts=_receipts(stock, file_sha256[:12]),
        orders=[_order(invoice) for invoice in found.invoices],
        demand_units=sum(demand.values()),
        stocked_units=sum(sum(places.values()) for places in stock.values()),
        scarce_skus=sum(_is_scarce(sku) for sku in demand),
        skus=len(demand),
    )


def _is_scarce(sku: str) -> bool:
    return draw("scarce", sku) < SHARES["scarce"]


def shelves(sku: str, demand: int) -> Mapping[str, int]:
    """How many units come to which location; a scarce SKU gets half of what will be asked for."""
    units = demand // 2 if _is_scarce(sku) else demand
    north, divided, south = (SHARES[name] for name in ("north_only", "divided", "south_only"))
    place = draw("place", sku)
    if place < north:
        found = {NORTH: units}
    elif place < north + divided:
        found = {MAIN: units - units // 3, NORTH: units // 3}
    elif place < north + divided + south:
        found = {SOUTH: units}
    else:
        found = {MAIN: units}
    return {location: count for location, count in found.items() if count}


def _receipts(stock: Mapping[str, Mapping[str, int]], mark: str) -> Sequence[Post]:
    posts = []
    for location in (MAIN, NORTH, SOUTH):
        lines = [
            {"sku": sku, "quantity": places[location]}
            for sku, places in stock.items()
            if location in places
        ]
        for start in range(0, len(lines), RECEIPT_LINES_MAX):
            name = f"replay-{mark}-{location}-{start // RECEIPT_LINES_MAX + 1}"
            body = {
                "location": location,
                "reference": name,
                "lines": lines[start : start + RECEIPT_LINES_MAX],
            }
            posts.append(Post(key=name, path="/v1/stock/receipts", body=_json(body)))
    return posts


def token_of(invoice: str) -> str:
    """How an invoice is paid."""
    drawn = draw("token", invoice)
    for token, share in TOKENS.items():
        if drawn < share:
            return token
        drawn -= share
    return "tok_approve"


def _order(invoice: Invoice) -> Order:
    token = token_of(invoice.number)
    partial = draw("partial", invoice.number) >= ALL_OR_NOTHING
    who = invoice.customer or f"guest-{invoice.number}"
    body = {
        "external_ref": invoice.number,
        "channel": CHANNEL,
        "currency": "GBP",
        "customer": {
            **({"ref": invoice.customer} if invoice.customer else {}),
            "email": f"{who}@example.com",
            "locale": "de" if PLACES[invoice.country].country_code in ("DE", "AT") else "en-GB",
        },
        "shipping_address": PLACES[invoice.country].address(f"Customer {who}"),
        "lines": [
            {
                "sku": line.sku,
                "name": line.name,
                "quantity": line.quantity,
                "unit_price_minor": line.unit_price_minor,
            }
            for line in invoice.lines
        ],
        "shipping": {"option": "standard", "price_minor": 0},
        "payment": {"method": "card", "token": token},
        "allow_partial": partial,
    }
    post = Post(key=f"replay-{invoice.number}", path="/v1/orders", body=_json(body))
    return Order(
        invoice=invoice.number,
        lines=len(invoice.lines),
        token=token,
        allow_partial=partial,
        post=post,
    )


def _json(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
