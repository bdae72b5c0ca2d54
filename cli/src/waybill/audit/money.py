"""Money: nobody charged or paid back twice, and what is kept was earned (I4, I5).

The gateway's own ledger is the witness; the services' word is only compared with it.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from waybill.audit.evidence import Evidence, Finding
from waybill.audit.facts import Json
from waybill.audit.orders import due_minor, ends, shipped_minor


def _approved(evidence: Evidence, operation: str) -> Sequence[Json]:
    return [
        entry
        for entry in evidence.gateway or ()
        if entry["outcome"] == "approved" and entry["operation"] == operation
    ]


def i4_no_double_charge(evidence: Evidence) -> Finding:
    finding = Finding(
        "I4",
        "one capture per shipment; refunded ≤ captured ≤ authorised",
        must_see=("authorisations in the log", "captures in the log", "captures at the gateway"),
    )
    if evidence.events:
        finding.needs("the gateway's ledger", evidence.gateway, may_be_empty=True)
    if evidence.gateway is None:
        return finding
    _within_its_bounds(evidence.gateway, finding)
    _made_once_and_as_told(evidence, finding, "capture", "payment.payment_captured", "shipment_id")
    _made_once_and_as_told(evidence, finding, "refund", "payment.payment_refunded", "refund_id")
    _authorised_as_told(evidence, finding)
    if evidence.require_settled:
        _known_to_the_log(evidence, finding)
    holders = Counter(order_id for order_id, _ in _live_authorisations(evidence).values())
    for order_id, count in holders.items():
        if count > 1:
            finding.violations.append(
                finding.says(
                    "authorised-twice", f"{order_id} holds {count} authorisations at once", order_id
                )
            )
    return finding


def _within_its_bounds(ledger: Sequence[Json], finding: Finding) -> None:
    """The ledger by itself: whole, each key done once, no authorisation overdrawn at any time."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    done: dict[str, int] = {}
    for number, entry in enumerate(ledger, start=1):
        finding.looked("entries in the gateway's ledger")
        if entry["seq"] != number:
            finding.violations.append(
                finding.says(
                    "numbering",
                    f"the gateway's entry {number} is numbered {entry['seq']}",
                    str(number),
                )
            )
        if entry["outcome"] != "approved":
            continue
        key = entry["idempotency_key"]
        if done.setdefault(key, number) != number:
            finding.violations.append(
                finding.says(
                    "done-twice", f"the gateway did {key} at {done[key]} and at {number}", key
                )
            )
        at = sums[entry["authorization_id"]]
        at[entry["operation"]] += entry["amount_minor"]
        at["void"] += _released_minor(entry)
        if at["capture"] + at["void"] > at["authorize"] or at["refund"] > at["capture"]:
            finding.violations.append(
                finding.says(
                    "overdrawn",
                    f"{entry['authorization_id']} at {entry['seq']}: {dict(at)}",
                    entry["authorization_id"],
                )
            )


def _made_once_and_as_told(
    evidence: Evidence, finding: Finding, operation: str, fact_type: str, names: str
) -> None:
    """Each shipment captured, each refund given at most once, and with the sum the log tells."""
    made: dict[str, list[int]] = defaultdict(list)
    for entry in _approved(evidence, operation):
        made[entry["reference"]].append(entry["amount_minor"])
    finding.looked(f"{operation}s at the gateway", len(made))
    for reference, amounts in made.items():
        if len(amounts) > 1:
            finding.violations.append(
                finding.says(
                    "made-twice",
                    f"{len(amounts)} {operation}s of {reference}: {amounts}",
                    reference,
                )
            )
    told = set()
    for fact in evidence.of(fact_type):
        reference, amount = fact.data[names], fact.data["amount_minor"]
        finding.looked(f"{operation}s in the log")
        told.add(reference)
        known = made.get(reference)
        if known is None or known[-1] != amount:
            finding.violations.append(
                finding.says(
                    "told-otherwise",
                    f"the log says {amount} for {reference}, the gateway {known}",
                    reference,
                )
            )
    if evidence.require_settled:
        finding.violations += [
            finding.says(
                "unlearned",
                f"the gateway made a {operation} of {reference} that the log never learned of",
                reference,
            )
            for reference in made
            if reference not in told
        ]


def _authorised_as_told(evidence: Evidence, finding: Finding) -> None:
    """What the log says was authorised, the gateway did authorise, for that order and that sum.

    For nothing, nobody is asked: such an authorisation is the log's alone.
    """
    made = {
        entry["authorization_id"]: (entry["reference"], entry["amount_minor"])
        for entry in _approved(evidence, "authorize")
    }
    asked = {entry["authorization_id"] for entry in evidence.gateway or ()}
    for fact in evidence.of("payment.payment_authorized"):
        finding.looked("authorisations in the log")
        id_ = fact.data["authorization_id"]
        told = (fact.data["order_id"], fact.data["amount_minor"])
        if not told[1]:
            if id_ in asked:
                finding.violations.append(
                    finding.says(
                        "told-otherwise",
                        f"the log says {told} for {id_}, yet the gateway knows it",
                        id_,
                    )
                )
        elif made.get(id_) != told:
            finding.violations.append(
                finding.says(
                    "told-otherwise",
                    f"the log says {told} for {id_}, the gateway {made.get(id_)}",
                    id_,
                )
            )


def _known_to_the_log(evidence: Evidence, finding: Finding) -> None:
    """Whatever the gateway did, it did for an order, a shipment or a refund, in its currency."""
    placed = {fact.data["order_id"]: fact for fact in evidence.of("capture.order_placed")}
    known = {
        "authorize": placed.keys(),
        "void": placed.keys(),
        "capture": _named(evidence, "fulfillment.shipment_dispatched", "shipment_id"),
        "refund": _named(evidence, "payment.refund_requested", "refund_id"),
    }
    owner = _owners(evidence)
    for entry in evidence.gateway or ():
        if entry["outcome"] != "approved":
            continue
        reference = entry["reference"]
        if reference not in known.get(entry["operation"], ()):
            finding.violations.append(
                finding.says(
                    "of-nobody",
                    f"the gateway's entry {entry['seq']} is a {entry['operation']} for {reference},"
                    " which is in no log",
                    reference,
                    entry["idempotency_key"],
                )
            )
        elif (order := placed.get(owner.get(entry["authorization_id"], ""))) and (
            (told := order.data["currency"]) != (currency := entry.get("currency"))
        ):
            finding.violations.append(
                finding.says(
                    "currency",
                    f"{order.data['order_id']} was charged in {currency}, not {told}:"
                    f" the {entry['operation']} for {reference}",
                    order.data["order_id"],
                    reference,
                )
            )


def _named(evidence: Evidence, type_: str, name: str) -> frozenset[str]:
    return frozenset(fact.data[name] for fact in evidence.of(type_))


def _owners(evidence: Evidence) -> Mapping[str, str]:
    """The order of each authorisation."""
    return {
        entry["authorization_id"]: entry["reference"] for entry in _approved(evidence, "authorize")
    }


def _live_authorisations(evidence: Evidence) -> Mapping[str, tuple[str, int]]:
    """Each authorisation that still holds money, not expired: its order, and how much is open.

    Open is what was authorised and neither captured, nor released with a capture, nor voided: a
    capture of a part leaves the rest held.
    """
    held: dict[str, tuple[str, int]] = {}
    for entry in evidence.gateway or ():
        id_, amount_minor = entry["authorization_id"], entry["amount_minor"]
        if entry["outcome"] != "approved":
            continue
        if entry["operation"] == "authorize":
            expires_at = entry.get("expires_at")
            if expires_at is None or expires_at > evidence.at.isoformat():
                held[id_] = (entry["reference"], amount_minor)
        elif entry["operation"] in ("void", "capture") and id_ in held:
            order_id, open_minor = held[id_]
            held[id_] = (order_id, open_minor - amount_minor - _released_minor(entry))
    return {id_: found for id_, found in held.items() if found[1] > 0}


def _released_minor(entry: Json) -> int:
    """What a final capture let go of; the gateway says it of captures alone."""
    return entry.get("released_minor") or 0


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
    owner = _owners(evidence)
    captured = _by_order(_approved(evidence, "capture"), owner)
    refunded = _by_order(_approved(evidence, "refund"), owner)
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
            for id_, (order_id, open_minor) in _live_authorisations(evidence).items()
            if order_id in ended
        ]
    finding.looked("gateway authorisations", len(owner))
    return finding


def _by_order(entries: Sequence[Json], owner: Mapping[str, str]) -> Mapping[str, int]:
    """The sum of these entries by order."""
    sums: dict[str, int] = defaultdict(int)
    for entry in entries:
        sums[owner.get(entry["authorization_id"], "?")] += entry["amount_minor"]
    return sums
