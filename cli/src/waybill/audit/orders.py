"""Orders: none lost, none doubled, all ended, all settled (I1, I2, I5, I7, I15)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta

from waybill.audit.evidence import Evidence, Fact, Finding, Json
from waybill.ledger import Posted

ENDS: Mapping[str, str] = {
    "capture.order_completed.v1": "completed",
    "capture.order_rejected.v1": "rejected",
    "capture.order_expired.v1": "expired",
    "capture.order_cancelled.v1": "cancelled",
}
STUCK = timedelta(seconds=60)


def ends(evidence: Evidence) -> Mapping[str, str]:
    """How each ended order ended."""
    return {
        fact.data["order_id"]: ENDS[fact.recorded.type]
        for fact in evidence.facts
        if fact.recorded.type in ENDS
    }


def acknowledged(evidence: Evidence) -> set[str]:
    return {
        posted.order_id
        for posted in evidence.clients
        if isinstance(posted, Posted) and 200 <= posted.status < 300
    }


def i1_no_order_is_lost(evidence: Evidence) -> Finding:
    finding = Finding("I1", "an acknowledged order is never lost and ends in a terminal state")
    placed = {fact.data["order_id"] for fact in evidence.of("capture.order_placed")}
    ended = ends(evidence)
    finding.looked("orders placed", len(placed))
    for order_id in acknowledged(evidence):
        finding.looked("orders acknowledged to clients")
        if order_id not in placed:
            finding.violations.append(f"{order_id} was acknowledged and is not in the log")
    open_orders = placed - ended.keys()
    finding.looked("orders still open", len(open_orders))
    if evidence.require_settled:
        finding.violations += [f"{order_id} has not ended" for order_id in sorted(open_orders)]
    several = defaultdict(list)
    for fact in evidence.facts:
        if fact.recorded.type in ENDS:
            several[fact.data["order_id"]].append(ENDS[fact.recorded.type])
    for order_id, found in several.items():
        if len(found) > 1:
            finding.violations.append(f"{order_id} ended more than once: {', '.join(found)}")
    return finding


def i2_one_order_per_key(evidence: Evidence) -> Finding:
    finding = Finding("I2", "one order per tenant and idempotency key")
    by_key: dict[tuple[str, str], list[str]] = defaultdict(list)
    for fact in evidence.of("capture.order_placed"):
        finding.looked("orders placed")
        by_key[fact.recorded.tenant, fact.recorded.causation_id].append(fact.data["order_id"])
    for (tenant, key), order_ids in by_key.items():
        if len(order_ids) > 1:
            finding.violations.append(f"{tenant} {key}: {', '.join(order_ids)}")
    return finding


def due_minor(facts: Sequence[Fact]) -> int:
    """What an order costs after everything that was cancelled of it."""
    due = 0
    prices: dict[str, int] = {}
    for fact in facts:
        if fact.recorded.type == "capture.order_placed.v1":
            due = fact.data["total_minor"]
            prices = {x["line_id"]: x["unit_price_minor"] for x in fact.data["lines"]}
    for fact in facts:
        if fact.recorded.type == "capture.order_lines_cancelled.v1":
            due -= sum(prices[x["line_id"]] * x["quantity"] for x in fact.data["lines"])
    return due


def i5_money_follows_the_goods(evidence: Evidence) -> Finding:
    """What staff give back of a completed order is not due again: only I4 bounds it."""
    finding = Finding("I5", "completed: captured in full; ended otherwise: nothing kept")
    if evidence.gateway is None:
        if evidence.events:
            finding.needs("the gateway's ledger", None)
        return finding
    owner = {
        entry["authorization_id"]: entry["reference"]
        for entry in evidence.gateway
        if entry["operation"] == "authorize"
    }
    captured = _by_order(evidence.gateway, "capture", owner)
    refunded = _by_order(evidence.gateway, "refund", owner)
    for order_id, end in ends(evidence).items():
        finding.looked(f"orders {end}")
        taken = captured[order_id]
        kept = taken - refunded[order_id]
        due = due_minor(evidence.by_order[order_id])
        if end == "completed" and taken != due:
            finding.violations.append(
                f"{order_id} is {end}: the gateway captured {taken}, due are {due}"
            )
        if end != "completed" and kept:
            finding.violations.append(f"{order_id} is {end}: the gateway keeps {kept}")
    finding.looked("gateway authorisations", len(owner))
    return finding


def _by_order(
    ledger: Sequence[Json], operation: str, owner: Mapping[str, str]
) -> Mapping[str, int]:
    """The sum of an operation by order, from the gateway's ledger alone."""
    sums: dict[str, int] = defaultdict(int)
    for entry in ledger:
        if entry["outcome"] == "approved" and entry["operation"] == operation:
            sums[owner.get(entry["authorization_id"], "?")] += entry["amount_minor"]
    return sums


_CLOSED = (
    "fulfillment.shipment_delivered.v1",
    "fulfillment.fulfillment_cancelled.v1",
    "fulfillment.fulfillment_rejected.v1",
)


def _waits_outside(facts: Sequence[Fact]) -> bool:
    """Whether a warehouse or a carrier still has to act on any of its fulfillment orders."""
    opened = {
        fact.data["fulfillment_order_id"]
        for fact in facts
        if fact.recorded.type == "fulfillment.fulfillment_order_created.v1"
    }
    closed = {fact.data["fulfillment_order_id"] for fact in facts if fact.recorded.type in _CLOSED}
    return bool(opened - closed)


def i7_nothing_is_stuck(evidence: Evidence) -> Finding:
    """An open order moves within a minute, unless a warehouse or a carrier has to act."""
    finding = Finding("I7", "every order moves on within 60 s, or waits for somebody outside")
    ended = ends(evidence)
    for order_id, facts in evidence.by_order.items():
        if not any(fact.recorded.type == "capture.order_placed.v1" for fact in facts):
            continue
        finding.looked("orders")
        if order_id in ended:
            continue
        newest = max(facts, key=lambda fact: fact.recorded.occurred_at).recorded
        outside = _waits_outside(facts)
        finding.looked("orders that wait for somebody outside", int(outside))
        if not outside and evidence.at - newest.occurred_at > STUCK:
            finding.violations.append(f"{order_id} stands since {newest.type}")
    return finding


def i15_the_same_answer(evidence: Evidence) -> Finding:
    finding = Finding("I15", "the same idempotency key gives byte for byte the same answer")
    answers: dict[str, set[str]] = defaultdict(set)
    for posted in evidence.clients:
        if isinstance(posted, Posted) and 200 <= posted.status < 300:
            finding.looked("answers")
            answers[posted.key].add(posted.body_sha256)
    finding.looked("keys", len(answers))
    if not answers:
        finding.notes.append("no client kept a ledger of the answers it got")
    for key, bodies in answers.items():
        if len(bodies) > 1:
            finding.violations.append(f"key {key} got {len(bodies)} different answers")
    return finding
