"""Money: nobody charged or paid back twice, in the gateway's own ledger (I4)."""

from collections import defaultdict

from waybill.audit.evidence import Evidence, Finding


def i4_no_double_charge(evidence: Evidence) -> Finding:
    finding = Finding("I4", "one capture per shipment; refunded ≤ captured ≤ authorised")
    if evidence.events:
        finding.needs("the gateway's ledger", evidence.gateway)
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for entry in evidence.gateway or ():
        finding.looked("entries in the gateway's ledger")
        if entry["outcome"] != "approved":
            continue
        at = sums[entry["authorization_id"]]
        at[entry["operation"]] += entry["amount_minor"]
        if at["capture"] > at["authorize"] or at["refund"] > at["capture"]:
            finding.violations.append(f"{entry['authorization_id']} at {entry['seq']}: {dict(at)}")
    _made_once_and_as_told(evidence, finding, "capture", "payment.payment_captured", "shipment_id")
    _made_once_and_as_told(evidence, finding, "refund", "payment.payment_refunded", "refund_id")
    live = _live_authorisations(evidence)
    for order_id, count in live.items():
        if count > 1:
            finding.violations.append(f"{order_id} holds {count} authorisations at once")
    return finding


def _made_once_and_as_told(
    evidence: Evidence, finding: Finding, operation: str, fact_type: str, names: str
) -> None:
    """Each shipment captured, each refund given at most once, and with the sum the log tells."""
    made: dict[str, list[int]] = defaultdict(list)
    for entry in evidence.gateway or ():
        if entry["outcome"] == "approved" and entry["operation"] == operation:
            made[entry["reference"]].append(entry["amount_minor"])
    finding.looked(f"{operation}s at the gateway", len(made))
    for reference, amounts in made.items():
        if len(amounts) > 1:
            finding.violations.append(f"{len(amounts)} {operation}s of {reference}: {amounts}")
    for fact in evidence.of(fact_type):
        reference, amount = fact.data[names], fact.data["amount_minor"]
        finding.looked(f"{operation}s in the log")
        known = made.get(reference)
        if evidence.gateway is not None and (known is None or known[-1] != amount):
            finding.violations.append(f"the log says {amount} for {reference}, the gateway {known}")


def _live_authorisations(evidence: Evidence) -> dict[str, int]:
    """Approved authorisations by order that were neither voided, captured, nor have expired."""
    live: dict[str, str] = {}
    for entry in evidence.gateway or ():
        if entry["outcome"] != "approved":
            continue
        if entry["operation"] == "authorize":
            expires_at = entry.get("expires_at")
            if expires_at is None or expires_at > evidence.at.isoformat():
                live[entry["authorization_id"]] = entry["reference"]
        elif entry["operation"] in ("void", "capture"):
            live.pop(entry["authorization_id"], None)
    counts: dict[str, int] = defaultdict(int)
    for order_id in live.values():
        counts[order_id] += 1
    return counts
