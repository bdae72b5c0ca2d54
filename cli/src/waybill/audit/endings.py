"""How orders end, as their own streams say."""

from collections.abc import Mapping

from waybill.audit.evidence import Evidence

ENDS: Mapping[str, str] = {
    "capture.order_completed": "completed",
    "capture.order_rejected": "rejected",
    "capture.order_expired": "expired",
    "capture.order_cancelled": "cancelled",
}
"""By kind of event: a type without its version."""


def ends(evidence: Evidence) -> Mapping[str, str]:
    """How each ended order ended."""
    return {fact.data["order_id"]: ENDS[fact.kind] for fact in evidence.facts if fact.kind in ENDS}
