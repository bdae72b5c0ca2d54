"""Goods on their way: nothing shipped twice, and no label without a shipment (I6)."""

from collections import defaultdict
from collections.abc import Collection

from waybill.audit.evidence import Evidence, Finding


def i6_one_shipment_per_reservation(evidence: Evidence) -> Finding:
    finding = Finding(
        "I6",
        "at most one live shipment per reservation and fulfillment order",
        must_see=("shipments dispatched", "labels in the carrier's ledger"),
    )
    dispatched: dict[str, list[str]] = defaultdict(list)
    owners: dict[str, set[str]] = defaultdict(set)
    units: dict[tuple[str, str], int] = defaultdict(int)
    for fact in evidence.of("fulfillment.shipment_dispatched"):
        finding.looked("shipments dispatched")
        owner, shipment_id = fact.data["fulfillment_order_id"], fact.data["shipment_id"]
        dispatched[owner].append(shipment_id)
        owners[shipment_id].add(owner)
        for line in fact.data["lines"]:
            units[fact.data["order_id"], line["line_id"]] += line["quantity"]
    for owner, shipments in dispatched.items():
        if len(shipments) > 1:
            finding.violations.append(
                finding.says(
                    "dispatched-twice",
                    f"{owner} was dispatched as {', '.join(shipments)}",
                    owner,
                    *shipments,
                )
            )
    for shipment_id, found in owners.items():
        if len(found) > 1:
            finding.violations.append(
                finding.says(
                    "of-two-owners",
                    f"{shipment_id} is of {', '.join(sorted(found))}",
                    shipment_id,
                    *sorted(found),
                )
            )
    ordered = {
        (fact.data["order_id"], line["line_id"]): line["quantity"]
        for fact in evidence.of("capture.order_placed")
        for line in fact.data["lines"]
    }
    for (order_id, line_id), shipped in units.items():
        if shipped > ordered.get((order_id, line_id), 0):
            finding.violations.append(
                finding.says(
                    "shipped-too-many",
                    f"{order_id} {line_id}: {shipped} units were shipped",
                    order_id,
                    line_id,
                )
            )
    _delivered_after_dispatch(evidence, finding, owners.keys())
    _against_carrier(evidence, finding, owners.keys())
    return finding


def _delivered_after_dispatch(
    evidence: Evidence, finding: Finding, dispatched: Collection[str]
) -> None:
    finding.violations += [
        finding.says(
            "never-dispatched",
            f"{fact.data['shipment_id']} was delivered and never dispatched",
            fact.data["shipment_id"],
        )
        for fact in evidence.of("fulfillment.shipment_delivered")
        if fact.data["shipment_id"] not in dispatched
    ]


def _against_carrier(evidence: Evidence, finding: Finding, dispatched: Collection[str]) -> None:
    """Live labels by our shipment: bought and not given back."""
    if dispatched:
        finding.needs("the carrier's ledger", evidence.carrier, may_be_empty=True)
    live: dict[str, set[str]] = defaultdict(set)
    for entry in evidence.carrier or ():
        if entry["operation"] == "buy_label" and entry["outcome"] == "approved":
            finding.looked("labels in the carrier's ledger")
            live[entry["reference"]].add(entry["shipment_id"])
        elif entry["operation"] == "void_label":
            live[entry["reference"]].discard(entry["shipment_id"])
    for reference, labels in live.items():
        if len(labels) > 1:
            finding.violations.append(
                finding.says(
                    "two-labels",
                    f"the carrier sold {len(labels)} live labels for {reference}",
                    reference,
                    *sorted(labels),
                )
            )
    if evidence.carrier is None:
        return
    finding.violations += [
        finding.says("no-label", f"{shipment} was dispatched without a label", shipment)
        for shipment in sorted(dispatched)
        if not live.get(shipment)
    ]
    if evidence.require_settled:
        asked = {fact.data["shipment_id"] for fact in evidence.of("fulfillment.label_requested")}
        finding.violations += [
            finding.says(
                "label-of-nobody",
                f"the carrier sold a label for {reference}, which is in no log",
                reference,
            )
            for reference, labels in live.items()
            if labels and reference not in asked and reference not in dispatched
        ]
