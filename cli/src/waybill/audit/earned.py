"""Money that is kept was earned, and goods that left are paid (I5)."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from waybill.audit import gateway
from waybill.audit.endings import ends
from waybill.audit.evidence import Evidence, Finding
from waybill.audit.facts import Json
from waybill.audit.orders import due_minor, shipped_minor


def i5_money_follows_the_goods(evidence: Evidence) -> Finding:
    """What staff give back of a completed order is not due again: only I4 bounds it.

    What is due is told twice, from what was shipped and from what was cancelled.
    """
    finding = Finding(
        "I5",
        "completed: captured in full; ended otherwise: nothing kept",
        must_see=("orders completed", "gateway authorisations"),
    )
    if evidence.gateway is None:
        if evidence.events:
            finding.needs("the gateway's ledger", None)
        return finding
    owner = gateway.owners(evidence)
    captures = gateway.approved(evidence, "capture")
    captured = _by_order(captures, owner)
    refunded = _by_order(gateway.approved(evidence, "refund"), owner)
    ended = ends(evidence)
    for order_id, end in ended.items():
        finding.looked(f"orders {end}")
        taken = captured[order_id]
        if end != "completed":
            if kept := taken - refunded[order_id]:
                finding.violations.append(
                    finding.says("kept", f"{order_id} is {end}: the gateway keeps {kept}", order_id)
                )
            continue
        facts = evidence.by_order[order_id]
        for due, why in ((due_minor(facts), "not cancelled"), (shipped_minor(facts), "shipped")):
            if taken != due:
                finding.violations.append(
                    finding.says(
                        "captured-otherwise",
                        f"{order_id} is {end}: the gateway captured {taken}, {due} were {why}",
                        order_id,
                    )
                )
    if evidence.require_settled:
        finding.violations += [
            finding.says(
                "still-held",
                f"{order_id} is {ended[order_id]}: the gateway still holds {id_},"
                f" {open_minor} of it",
                order_id,
                id_,
            )
            for id_, (order_id, open_minor) in gateway.live_authorisations(evidence).items()
            if order_id in ended
        ]
    finding.looked("gateway authorisations", len(owner))
    _what_left_is_paid(evidence, finding, captures, ended)
    return finding


def _what_left_is_paid(
    evidence: Evidence, finding: Finding, captures: Sequence[Json], ended: Mapping[str, str]
) -> None:
    """Each parcel of an order that goes on or was completed; of one that ended otherwise none left.

    The first that left carries the price of shipping, whichever that is. While orders flow a
    capture may be under way; once all is quiet, an order that waits for people says `failed`.
    """
    placed = {fact.data["order_id"]: fact.data for fact in evidence.of("capture.order_placed")}
    failed = {
        fact.data["order_id"]
        for fact in evidence.of("capture.order_payment_recorded")
        if fact.data["status"] == "failed"
    }
    paid: Counter[str] = Counter()
    for entry in captures:
        paid[entry["reference"]] += entry["amount_minor"]
    for (order_id, shipment_id), goods_minor in _left(evidence, placed).items():
        finding.looked("parcels")
        end = ended.get(order_id)
        is_for_people = end is None and order_id in failed and not paid[shipment_id]
        if end not in (None, "completed"):
            finding.violations.append(
                finding.says(
                    "left-all-the-same", f"{shipment_id} left, and {order_id} is {end}", order_id
                )
            )
        elif (end is None and not evidence.require_settled) or is_for_people:
            continue
        elif paid[shipment_id] - goods_minor not in (
            0,
            placed[order_id]["shipping"]["price_minor"],
        ):
            finding.violations.append(
                finding.says(
                    "left-unpaid",
                    f"{shipment_id} of {order_id} left with {goods_minor} in it, and the gateway"
                    f" captured {paid[shipment_id]}",
                    shipment_id,
                    order_id,
                )
            )


def _left(evidence: Evidence, placed: Mapping[str, Json]) -> Mapping[tuple[str, str], int]:
    """What the goods of each parcel cost; parcels of no order are I6's."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for fact in evidence.of("fulfillment.shipment_dispatched"):
        order_id = fact.data["order_id"]
        if order_id in placed:
            prices = {x["line_id"]: x["unit_price_minor"] for x in placed[order_id]["lines"]}
            found[order_id, fact.data["shipment_id"]] += sum(
                prices.get(line["line_id"], 0) * line["quantity"] for line in fact.data["lines"]
            )
    return found


def _by_order(entries: Sequence[Json], owner: Mapping[str, str]) -> Mapping[str, int]:
    """The sum of these entries by order."""
    sums: dict[str, int] = defaultdict(int)
    for entry in entries:
        sums[owner.get(entry["authorization_id"], "?")] += entry["amount_minor"]
    return sums
