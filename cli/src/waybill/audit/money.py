"""Money: nobody charged twice, in the gateway's own ledger (I4)."""

from collections import defaultdict

from waybill.audit.evidence import Evidence, Finding


def i4_no_double_charge(evidence: Evidence) -> Finding:
    finding = Finding("I4", "one capture per shipment; refunded ≤ captured ≤ authorised")
    if evidence.events:
        finding.needs("the gateway's ledger", evidence.gateway)
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    captures: dict[str, list[str]] = defaultdict(list)
    told: dict[str, int] = {}
    for entry in evidence.gateway or ():
        finding.looked("entries in the gateway's ledger")
        if entry["outcome"] != "approved":
            continue
        at = sums[entry["authorization_id"]]
        at[entry["operation"]] += entry["amount_minor"]
        if entry["operation"] == "capture":
            captures[entry["reference"]].append(entry["idempotency_key"])
            told[entry["reference"]] = entry["amount_minor"]
        if at["capture"] > at["authorize"] or at["refund"] > at["capture"]:
            finding.violations.append(f"{entry['authorization_id']} at {entry['seq']}: {dict(at)}")
    for shipment, keys in captures.items():
        finding.looked("shipments captured")
        if len(keys) > 1:
            finding.violations.append(f"{shipment} was captured {len(keys)} times: {keys}")
    for fact in evidence.of("payment.payment_captured"):
        shipment, amount = fact.data["shipment_id"], fact.data["amount_minor"]
        finding.looked("captures in the log")
        if evidence.gateway is not None and told.get(shipment) != amount:
            finding.violations.append(
                f"the log says {amount} for {shipment}, the gateway {told.get(shipment)}"
            )
    live = _live_authorisations(evidence)
    for order_id, count in live.items():
        if count > 1:
            finding.violations.append(f"{order_id} holds {count} authorisations at once")
    return finding


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
