"""What a robot does next with a fulfillment order: pure, from the order as it was last read."""

from dataclasses import dataclass, field
from typing import Any

UNIT_WEIGHT_G = 100
WEIGHT_MAX_G = 70_000
REASON_MAX = 200
SERVICES = ("standard", "express")
OPEN_STATUSES = ("requested", "accepted", "picked", "packed")

Order = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What goes wrong in this warehouse: units never found per SKU, SKUs it will not ship.

    `main/A` in `reject_skus` is A at the location main alone: no SKU has a slash.
    """

    short_skus: dict[str, int] = field(default_factory=dict)
    reject_skus: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of the warehouse API. The same order gives the same step, key and body."""

    name: str
    path: str
    key: str
    body: dict[str, Any]


def next_step(order: Order, behaviour: Behaviour) -> Step | None:
    """The next command, None when there is nothing left to do for this order."""
    match order["status"]:
        case "requested":
            return _answer(order, behaviour)
        case "accepted":
            return _step(order, "pick", {"lines": _to_pick(order, behaviour)})
        case "picked":
            lines = _picked(order)
            if not lines:
                return None
            units = sum(one["quantity"] for one in lines)
            weight_g = min(units * UNIT_WEIGHT_G, WEIGHT_MAX_G)
            return _step(order, "pack", {"packages": [{"weight_g": weight_g, "lines": lines}]})
        case "packed":
            option = (order.get("shipping") or {}).get("option")
            return _step(order, "ship", {"service": option if option in SERVICES else "standard"})
    return None


def _answer(order: Order, behaviour: Behaviour) -> Step:
    refused = sorted(
        sku
        for sku in {one["sku"] for one in order["lines"]}
        if not behaviour.reject_skus.isdisjoint((sku, f"{order.get('location')}/{sku}"))
    )
    if refused:
        return _step(order, "reject", {"reason": f"cannot ship {', '.join(refused)}"[:REASON_MAX]})
    return _step(order, "accept", {})


def _to_pick(order: Order, behaviour: Behaviour) -> list[dict[str, Any]]:
    """All of each line, less the units of its SKU that are never found."""
    return [
        {
            "line_id": one["line_id"],
            "quantity": max(0, one["quantity"] - behaviour.short_skus.get(one["sku"], 0)),
        }
        for one in order["lines"]
    ]


def _picked(order: Order) -> list[dict[str, Any]]:
    return [
        {"line_id": one["line_id"], "quantity": one["picked"]}
        for one in order["lines"]
        if one["picked"] > 0
    ]


def _step(order: Order, name: str, body: dict[str, Any]) -> Step:
    return Step(
        name=name,
        path=f"/v1/fulfillment-orders/{order['id']}/{name}",
        key=f"wh-{order['id']}-{name}",
        body=body,
    )
