"""What became of every row, in numbers that must add up; and the audit's verdict beside them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from waybill.replay.plan import ALL_OR_NOTHING, SHARES, TOKENS, Plan
from waybill.replay.play import TERMINAL, Played
from waybill.replay.reading import REASONS, Sorted

Json = Mapping[str, Any]
SOURCE = "Chen, D. (2015), Online Retail, UCI Machine Learning Repository, doi 10.24432/C5BW33"


def write(found: Sorted, plan: Plan, played: Played) -> dict[str, Any]:
    """The account of a file that was played to its end."""
    lines_of = {order.invoice: order.lines for order in plan.orders}
    refused_rows = Counter(found.refused_rows)
    refused_invoices = Counter(found.refused_invoices)
    for number, kind in played.refused.items():
        refused_rows[f"refused_by_the_api: {kind}"] += lines_of[number]
        refused_invoices[f"refused_by_the_api: {kind}"] += 1
    taken_rows = sum(len(order["lines"]) for order in played.orders.values())
    return {
        "rows": _account(found.rows, taken_rows, refused_rows),
        "invoices": _account(found.invoices_found, len(played.orders), refused_invoices),
        "reasons": {reason: REASONS[reason] for reason in refused_rows if reason in REASONS},
        "orders": _orders(played.orders.values()),
        "lines": _lines(played.orders.values()),
        "plan": _plan(plan),
    }


def _account(total: int, taken: int, refused: Mapping[str, int]) -> dict[str, Any]:
    return {
        "total": total,
        "taken": taken,
        "refused": sum(refused.values()),
        "refused_by_reason": dict(sorted(refused.items(), key=lambda one: (-one[1], one[0]))),
    }


def _orders(orders: Iterator[Json] | Any) -> dict[str, Any]:
    orders = list(orders)
    ends = Counter(order["status"] for order in orders)
    why = Counter(f"{o['status']}: {o['reason']}" for o in orders if o["reason"] is not None)
    return {
        "made": len({order["id"] for order in orders}),
        "by_status": dict(sorted(ends.items())),
        "by_reason": dict(sorted(why.items())),
        "completed_minor": sum(
            order["total"]["amount_minor"] for order in orders if order["status"] == "completed"
        ),
    }


def _lines(orders: Iterator[Json] | Any) -> dict[str, int]:
    """`short`: lines that got fewer units than ordered, in orders that went on without them."""
    found = {"ordered": 0, "delivered_in_full": 0, "short": 0, "of_orders_that_ended": 0}
    units = {"units_ordered": 0, "units_delivered": 0, "units_cancelled": 0}
    for order in orders:
        for line in order["lines"]:
            vector = line["quantities"]
            found["ordered"] += 1
            units["units_ordered"] += vector["ordered"]
            units["units_delivered"] += vector["delivered"]
            units["units_cancelled"] += vector["cancelled"]
            if order["status"] != "completed":
                found["of_orders_that_ended"] += 1
            elif vector["cancelled"]:
                found["short"] += 1
            else:
                found["delivered_in_full"] += 1
    return found | units


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "skus": plan.skus,
        "scarce_skus": plan.scarce_skus,
        "demand_units": plan.demand_units,
        "stocked_units": plan.stocked_units,
        "receipts": len(plan.receipts),
        "tokens": dict(sorted(plan.tokens.items())),
        "orders_all_or_nothing": sum(not order.allow_partial for order in plan.orders),
        "stated_shares_per_mille": {
            "skus": dict(SHARES),
            "tokens": dict(TOKENS),
            "orders_all_or_nothing": ALL_OR_NOTHING,
        },
    }


def faults(told: Json, plan: Plan) -> Sequence[str]:
    """Where the numbers do not add up; empty when they all do."""
    return list(_faults(told, plan))


def _faults(told: Json, plan: Plan) -> Iterator[str]:
    for what in ("rows", "invoices"):
        account = told[what]
        if account["taken"] + account["refused"] != account["total"]:
            yield (
                f"{what}: {account['taken']} taken and {account['refused']} refused "
                f"are not the file's {account['total']}"
            )
    orders, lines = told["orders"], told["lines"]
    if orders["made"] != told["invoices"]["taken"]:
        yield f"{orders['made']} orders for {told['invoices']['taken']} invoices"
    if sum(orders["by_status"].values()) != orders["made"]:
        yield "the orders by status are not all orders"
    if open_ones := set(orders["by_status"]) - TERMINAL:
        yield f"orders did not end: {', '.join(sorted(open_ones))}"
    if lines["ordered"] != told["rows"]["taken"]:
        yield f"{lines['ordered']} lines for {told['rows']['taken']} rows"
    if (
        lines["delivered_in_full"] + lines["short"] + lines["of_orders_that_ended"]
        != (lines["ordered"])
    ):
        yield "the lines by what became of them are not all lines"
    if lines["units_delivered"] + lines["units_cancelled"] != lines["units_ordered"]:
        yield "units were ordered that were neither delivered nor cancelled"
    if lines["units_delivered"] > plan.stocked_units:
        yield f"{lines['units_delivered']} units delivered of {plan.stocked_units} stocked"
