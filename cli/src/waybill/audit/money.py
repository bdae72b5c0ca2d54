"""Money: nobody charged or paid back twice, or other than was asked (I4).

The gateway's own ledger is the witness; the services' word is only compared with it.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from waybill.audit import gateway
from waybill.audit.evidence import Evidence, Finding
from waybill.audit.facts import Json


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
    _refunded_as_asked(evidence, finding)
    if evidence.require_settled:
        _known_to_the_log(evidence, finding)
    holders = Counter(order_id for order_id, _ in gateway.live_authorisations(evidence).values())
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
        at["void"] += gateway.released_minor(entry)
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
    for entry in gateway.approved(evidence, operation):
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


def _refunded_as_asked(evidence: Evidence, finding: Finding) -> None:
    """A refund is of its order's own authorisation, over the sum that was asked for.

    Once all is quiet, each that was asked for has one verdict: given or refused.
    """
    asked = {fact.data["refund_id"]: fact.data for fact in evidence.of("payment.refund_requested")}
    owner = gateway.owners(evidence)
    finding.looked("refunds asked for", len(asked))
    for entry in gateway.approved(evidence, "refund"):
        if (wanted := asked.get(entry["reference"])) is None:
            continue  # asked for since the log was read, or `of-nobody`
        made = entry["authorization_id"], entry["amount_minor"]
        told = wanted["authorization_id"], wanted["amount_minor"]
        if made != told or owner.get(made[0]) != wanted["order_id"]:
            finding.violations.append(
                finding.says(
                    "refunded-otherwise",
                    f"{entry['reference']} of {wanted['order_id']} was asked for as {told}, the"
                    f" gateway gave {made}, of {owner.get(made[0])}",
                    entry["reference"],
                    wanted["order_id"],
                )
            )
    given = evidence.of("payment.payment_refunded")
    verdicts = Counter(
        fact.data["refund_id"] for fact in (*given, *evidence.of("payment.refund_failed"))
    )
    for fact in given:
        refund_id, given_minor = fact.data["refund_id"], fact.data["amount_minor"]
        asked_minor = asked[refund_id]["amount_minor"] if refund_id in asked else None
        if given_minor != asked_minor:
            finding.violations.append(
                finding.says(
                    "not-as-asked",
                    f"the log says {given_minor} were given back for {refund_id}, asked for"
                    f" were {asked_minor}",
                    refund_id,
                )
            )
    for refund_id in asked:
        count = verdicts[refund_id]
        if count > 1 or (evidence.require_settled and not count):
            finding.violations.append(
                finding.says(
                    "verdicts", f"{refund_id} was asked for and has {count} verdicts", refund_id
                )
            )


def _authorised_as_told(evidence: Evidence, finding: Finding) -> None:
    """What the log says was authorised, the gateway did authorise, for that order and that sum.

    For nothing, nobody is asked: such an authorisation is the log's alone.
    """
    made = {
        entry["authorization_id"]: (entry["reference"], entry["amount_minor"])
        for entry in gateway.approved(evidence, "authorize")
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
    owner = gateway.owners(evidence)
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
