"""Read models: equal to their rebuild, and never going back before a reader's eyes (I8, I13)."""

from waybill.audit.evidence import Evidence, Finding
from waybill.ledger import Polled


def i8_views_equal_their_rebuild(evidence: Evidence) -> Finding:
    finding = Finding(
        "I8",
        "a read model equals, by hash, its rebuild from offset 0",
        must_see=("read models", "documents"),
    )
    if evidence.events:
        finding.needs("views and their rebuilds", evidence.views)
    for compared in evidence.views or ():
        finding.looked("read models")
        finding.looked("documents", compared.documents)
        if compared.live_hash != compared.rebuilt_hash:
            live, rebuilt = compared.live_hash[:12], compared.rebuilt_hash[:12]
            finding.violations.append(
                finding.says(
                    "differs", f"{compared.view} is {live}, rebuilt {rebuilt}", compared.view
                )
            )
        finding.violations += [
            finding.says(
                "incomplete", f"{compared.view} cannot be rebuilt in full: {missing}", compared.view
            )
            for missing in compared.missing
        ]
    return finding


def i13_views_never_go_back(evidence: Evidence) -> Finding:
    """What customers saw, and what they are shown now: through the API where their token is known.

    Only within one client is the order of looking known. A view that is gone went back to 0.
    """
    finding = Finding(
        "I13",
        "a tracking view never goes back",
        must_see=("looks by clients", "views in the store"),
    )
    if evidence.events:
        finding.needs("the tracking views", evidence.tracked, may_be_empty=True)
    if any(seen.token for seen in evidence.clients):
        finding.needs("what the tracking API shows", evidence.shown)
    newest: dict[str, int] = {}
    by_client: dict[tuple[str, str], int] = {}
    for polled in evidence.clients:
        if isinstance(polled, Polled):
            finding.looked("looks by clients", int(polled.version > 0))
            before = by_client.get((polled.client, polled.order_id), 0)
            if polled.version < before:
                finding.violations.append(
                    finding.says(
                        "went-back",
                        f"{polled.order_id} went from {before} to {polled.version}",
                        polled.order_id,
                    )
                )
            by_client[polled.client, polled.order_id] = max(before, polled.version)
            newest[polled.order_id] = max(newest.get(polled.order_id, 0), polled.version)
    _shown_now(evidence, finding, newest)
    return finding


def _shown_now(evidence: Evidence, finding: Finding, newest: dict[str, int]) -> None:
    """The view of now is no older than any that was seen; the API is asked after the store."""
    if evidence.tracked is not None:
        tracked = evidence.tracked
        finding.looked("views in the store", len(tracked))
        finding.violations += [
            finding.says(
                "went-back",
                f"{order_id} shows {tracked.get(order_id)}, a client saw {seen}",
                order_id,
            )
            for order_id, seen in newest.items()
            if tracked.get(order_id, 0) < seen
        ]
    for order_id, version in (evidence.shown or {}).items():
        finding.looked("views shown by the API")
        seen = newest.get(order_id, 0)
        stands = (evidence.tracked or {}).get(order_id, 0)
        if version < seen:
            finding.violations.append(
                finding.says(
                    "went-back",
                    f"the API shows {order_id} at {version}, a client saw {seen}",
                    order_id,
                )
            )
        elif version < stands:
            finding.violations.append(
                finding.says(
                    "behind-its-store",
                    f"the API shows {order_id} at {version}, it stands at {stands}",
                    order_id,
                )
            )
