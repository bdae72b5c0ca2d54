"""Orders: none lost, none doubled, all ended, each answered alike (I1, I2, I7, I15)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta

from waybill.audit import goods
from waybill.audit.endings import ENDS, ends
from waybill.audit.evidence import Evidence, Finding
from waybill.audit.facts import Fact
from waybill.ledger import Posted
from waybill_runtime.http.idempotency import command_id

STUCK = timedelta(seconds=60)
IN_FLIGHT = "request-in-flight"


def acknowledged(evidence: Evidence) -> Mapping[str, Sequence[Posted]]:
    """What clients were told of each order that was acknowledged to them."""
    found: dict[str, list[Posted]] = defaultdict(list)
    for posted in evidence.clients:
        if isinstance(posted, Posted) and 200 <= posted.status < 300:
            found[posted.order_id].append(posted)
    return found


def i1_no_order_is_lost(evidence: Evidence) -> Finding:
    finding = Finding(
        "I1",
        "an acknowledged order is never lost and ends in a terminal state",
        must_see=("orders placed", "orders acknowledged to clients"),
    )
    placed = {fact.data["order_id"] for fact in evidence.of("capture.order_placed")}
    finding.looked("orders placed", len(placed))
    told = acknowledged(evidence)
    finding.looked("orders acknowledged to clients", len(told))
    finding.violations += [
        finding.says(
            "not-in-the-log", f"{order_id} was acknowledged and is not in the log", order_id
        )
        for order_id in told
        if order_id not in placed
    ]
    several = defaultdict(list)
    for fact in evidence.facts:
        if fact.kind in ENDS:
            several[fact.data["order_id"]].append(ENDS[fact.kind])
    open_orders = placed - several.keys()
    finding.looked("orders still open", len(open_orders))
    if evidence.require_settled:
        finding.violations += [
            finding.says("not-ended", f"{order_id} has not ended", order_id)
            for order_id in sorted(open_orders)
        ]
    for order_id, found in several.items():
        if order_id not in placed:
            finding.violations.append(
                finding.says(
                    "never-placed", f"{order_id} ended {found[0]} and was never placed", order_id
                )
            )
        if len(found) > 1:
            finding.violations.append(
                finding.says(
                    "ended-twice", f"{order_id} ended more than once: {', '.join(found)}", order_id
                )
            )
    _recipients_are_kept(evidence, finding)
    return finding


def _recipients_are_kept(evidence: Evidence, finding: Finding) -> None:
    """Each order has somebody to go to: the vault has the row, or the log tells of its erasure."""
    wanted = {
        fact.data["recipient_ref"]: fact.data["order_id"]
        for fact in evidence.of("capture.order_placed")
        if fact.data.get("recipient_ref")
    }
    if wanted:
        finding.needs("the recipient vault", evidence.recipients, may_be_empty=True)
    if evidence.recipients is None:
        return
    erased = {fact.data["recipient_ref"] for fact in evidence.of("capture.recipient_erased")}
    finding.looked("recipients", len(wanted))
    finding.violations += [
        finding.says(
            "no-recipient",
            f"{reference} of {order_id} is neither in the vault nor erased",
            reference,
            order_id,
        )
        for reference, order_id in wanted.items()
        if reference not in evidence.recipients and reference not in erased
    ]


def i2_one_order_per_key(evidence: Evidence) -> Finding:
    """Told twice: by the log, which names the key as the cause, and by what clients were told."""
    finding = Finding("I2", "one order per tenant and idempotency key", must_see=("orders placed",))
    by_key: dict[tuple[str, str], list[str]] = defaultdict(list)
    of_order: dict[str, list[str]] = defaultdict(list)
    for fact in evidence.of("capture.order_placed"):
        finding.looked("orders placed")
        order_id = fact.data["order_id"]
        by_key[fact.recorded.tenant, fact.recorded.causation_id].append(order_id)
        of_order[order_id].append(fact.recorded.event_id)
    for (tenant, key), order_ids in by_key.items():
        if len(order_ids) > 1:
            finding.violations.append(
                finding.says("two-orders", f"{tenant} {key}: {', '.join(order_ids)}", *order_ids)
            )
    for order_id, event_ids in of_order.items():
        if len(event_ids) > 1:
            finding.violations.append(
                finding.says(
                    "placed-twice",
                    f"{order_id} was placed by {', '.join(event_ids)}",
                    order_id,
                    *event_ids,
                )
            )
    told: dict[str, dict[str, None]] = defaultdict(dict)
    for order_id, posts in acknowledged(evidence).items():
        for posted in posts:
            told[posted.key][order_id] = None
    finding.looked("keys of clients", len(told))
    for key, answered in told.items():
        if len(answered) > 1:
            finding.violations.append(
                finding.says(
                    "answered-with-two-orders",
                    f"key {key} was answered with {', '.join(answered)}",
                    key,
                    *answered,
                )
            )
    return finding


def due_minor(facts: Sequence[Fact]) -> int:
    """What an order costs after everything that was cancelled of it."""
    due = 0
    prices: dict[str, int] = {}
    for fact in facts:
        if fact.kind == "capture.order_placed":
            due = fact.data["total_minor"]
            prices = {x["line_id"]: x["unit_price_minor"] for x in fact.data["lines"]}
    for fact in facts:
        if fact.kind == "capture.order_lines_cancelled":
            due -= sum(prices[x["line_id"]] * x["quantity"] for x in fact.data["lines"])
    return due


def shipped_minor(facts: Sequence[Fact]) -> int:
    """What was shipped of an order costs, with the price of shipping once anything left."""
    prices: dict[str, int] = {}
    shipping = 0
    for fact in facts:
        if fact.kind == "capture.order_placed":
            prices = {x["line_id"]: x["unit_price_minor"] for x in fact.data["lines"]}
            shipping = fact.data["shipping"]["price_minor"]
    parcels = [f for f in facts if f.kind == "fulfillment.shipment_dispatched"]
    goods_minor = sum(
        prices[line["line_id"]] * line["quantity"]
        for fact in parcels
        for line in fact.data["lines"]
    )
    return goods_minor + shipping if parcels else 0


_CLOSED = (
    "fulfillment.shipment_delivered",
    "fulfillment.fulfillment_cancelled",
    "fulfillment.fulfillment_rejected",
)


def _waits_outside(facts: Sequence[Fact]) -> bool:
    """Whether a warehouse or a carrier still has to act on any of its fulfillment orders."""
    opened = {
        fact.data["fulfillment_order_id"]
        for fact in facts
        if fact.kind == "fulfillment.fulfillment_order_created"
    }
    closed = {fact.data["fulfillment_order_id"] for fact in facts if fact.kind in _CLOSED}
    return bool(opened - closed)


def i7_nothing_is_stuck(evidence: Evidence) -> Finding:
    """An open order moves within a minute, unless a warehouse or a carrier has to act.

    Once all is quiet, what has ended keeps no stock from others either.
    """
    finding = Finding(
        "I7",
        "every order moves on within 60 s, or waits for somebody outside",
        must_see=("orders",),
    )
    ended = ends(evidence)
    for order_id, facts in evidence.by_order.items():
        if not any(fact.kind == "capture.order_placed" for fact in facts):
            continue
        finding.looked("orders")
        if order_id in ended:
            continue
        newest = max(facts, key=lambda fact: fact.recorded.occurred_at).recorded
        outside = _waits_outside(facts)
        finding.looked("orders that wait for somebody outside", int(outside))
        if not outside and evidence.at - newest.occurred_at > STUCK:
            finding.violations.append(
                finding.says(
                    "stands", f"{order_id} stands since {newest.type}", order_id, newest.event_id
                )
            )
    if evidence.require_settled:
        _nothing_is_kept_back(evidence, finding, ended)
    return finding


def _nothing_is_kept_back(evidence: Evidence, finding: Finding, ended: Mapping[str, str]) -> None:
    """No unit is held or allocated for an order that has ended, or for none."""
    order_of = {
        fact.data["reservation_id"]: fact.data["order_id"]
        for fact in evidence.of("inventory.stock_reserved")
    }
    for reservation_id, kept in goods.kept_back(evidence).items():
        finding.looked("reservations")
        order_id = order_of.get(reservation_id)
        if kept and (order_id is None or order_id in ended):
            finding.violations.append(
                finding.says(
                    "kept-back", f"{reservation_id} still keeps {', '.join(kept)}", reservation_id
                )
            )


def i15_the_same_answer(evidence: Evidence) -> Finding:
    """Every final answer to the same body under one key.

    Refusals are not stored, and their words may differ: of them the status and the kind count,
    where the ledger says what was asked. Another body under the same key is refused by design.
    """
    finding = Finding(
        "I15",
        "the same idempotency key gives byte for byte the same answer",
        must_see=("keys answered more than once",),
    )
    successes: dict[str, list[Answer]] = defaultdict(list)
    refusals: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    asked: dict[str, set[str]] = defaultdict(set)
    for one in evidence.clients:
        if not isinstance(one, Posted):
            continue
        asked[one.key] |= {one.asked_sha256} - {""}
        if 200 <= one.status < 300:
            successes[one.key].append((one.status, one.order_id, one.body_sha256))
        elif one.asked_sha256 and _is_final_refusal(one):
            refusals[one.key, one.asked_sha256].append((one.status, one.problem, ""))
    finding.looked("answers", sum(map(len, successes.values())))
    finding.looked("refusals", sum(map(len, refusals.values())))
    finding.looked("keys", len(successes))
    finding.looked("keys answered more than once", sum(len(one) > 1 for one in successes.values()))
    if not successes:
        finding.notes.append("no client kept a ledger of the answers it got")
    for key, found in successes.items():
        if (count := len(set(found))) > 1:
            finding.violations.append(
                finding.says(
                    "answered-differently", f"key {key} got {count} different answers", key
                )
            )
    _refused_for_good(evidence, finding, refusals, asked)
    return finding


Answer = tuple[int, str, str]
"""Status; the order, or the kind of the problem; the digest of the body, of a success alone."""
OF_WHO_ASKS = (401, 403)
OF_THE_CONNECTION = (408, 429)


def _is_final_refusal(one: Posted) -> bool:
    """Whether asking again would not change it, and it is of the request and not of who asks."""
    passes = (*OF_WHO_ASKS, *OF_THE_CONNECTION)
    return 400 <= one.status < 500 and one.status not in passes and one.problem != IN_FLIGHT


def _refused_for_good(
    evidence: Evidence,
    finding: Finding,
    refusals: Mapping[tuple[str, str], Sequence[Answer]],
    asked: Mapping[str, set[str]],
) -> None:
    """A request that was refused made no order: not by the clients' word, and not by the log's.

    Of a key that was used for several bodies the log does not say which of them was taken.
    """
    made = {
        fact.recorded.causation_id: fact.data["order_id"]
        for fact in evidence.of("capture.order_placed")
    }
    told = {
        (one.key, one.asked_sha256): one.order_id
        for posts in acknowledged(evidence).values()
        for one in posts
    }
    for (key, body), found in refusals.items():
        of_log = made.get(command_id(key)) if len(asked[key]) == 1 else None
        order_id = told.get((key, body)) or of_log
        said = sorted({f"{status} {problem}".strip() for status, problem, _ in found})
        if order_id is not None:
            finding.violations.append(
                finding.says(
                    "refused-all-the-same",
                    f"key {key} made {order_id} and was refused with {', '.join(said)}",
                    key,
                    order_id,
                )
            )
        elif len(said) > 1:
            finding.violations.append(
                finding.says(
                    "refused-differently", f"key {key} was refused with {', '.join(said)}", key
                )
            )
