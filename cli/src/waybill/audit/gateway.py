"""The gateway's ledger as the oracles of money read it."""

from collections.abc import Mapping, Sequence

from waybill.audit.evidence import Evidence
from waybill.audit.facts import Json


def approved(evidence: Evidence, operation: str) -> Sequence[Json]:
    return [
        entry
        for entry in evidence.gateway or ()
        if entry["outcome"] == "approved" and entry["operation"] == operation
    ]


def owners(evidence: Evidence) -> Mapping[str, str]:
    """The order of each authorisation."""
    return {
        entry["authorization_id"]: entry["reference"] for entry in approved(evidence, "authorize")
    }


def live_authorisations(evidence: Evidence) -> Mapping[str, tuple[str, int]]:
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
            held[id_] = (order_id, open_minor - amount_minor - released_minor(entry))
    return {id_: found for id_, found in held.items() if found[1] > 0}


def released_minor(entry: Json) -> int:
    """What a final capture let go of; the gateway says it of captures alone."""
    return entry.get("released_minor") or 0
