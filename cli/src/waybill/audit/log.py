"""The log and its readers: whole, in order, on the bus, applied once (I8 to I11, I13)."""

from collections import Counter, defaultdict
from collections.abc import Collection

from waybill.audit.evidence import Evidence, Finding
from waybill.ledger import Polled


def i8_views_equal_their_rebuild(evidence: Evidence) -> Finding:
    finding = Finding("I8", "a read model equals, by hash, its rebuild from offset 0")
    if evidence.events:
        finding.needs("views and their rebuilds", evidence.views)
    for compared in evidence.views or ():
        finding.looked("read models")
        finding.looked("documents", compared.documents)
        if compared.live_hash != compared.rebuilt_hash:
            live, rebuilt = compared.live_hash[:12], compared.rebuilt_hash[:12]
            finding.violations.append(f"{compared.view} is {live}, rebuilt {rebuilt}")
    return finding


def i9_streams_are_whole(evidence: Evidence) -> Finding:
    finding = Finding("I9", "streams are contiguous from 1 and immutable")
    versions: dict[str, list[int]] = defaultdict(list)
    ids: Counter[str] = Counter()
    for event in evidence.events:
        finding.looked("events")
        versions[event.stream].append(event.version)
        ids[event.event_id] += 1
    for stream, found in versions.items():
        finding.looked("streams")
        if sorted(found) != list(range(1, len(found) + 1)):
            finding.violations.append(f"{stream} has versions {sorted(found)[:20]}")
    finding.violations += [f"event id {i} occurs {n} times" for i, n in ids.items() if n > 1]
    if evidence.events:
        finding.needs("the bus", evidence.bus)
    stored = {event.event_id: event.data for event in evidence.events}
    for message in evidence.bus or ():
        if message.event_id in stored:
            finding.looked("events compared with the bus")
            if stored[message.event_id] != message.value:
                finding.violations.append(f"{message.event_id} differs between store and bus")
    return finding


def i10_published_and_applied_once(evidence: Evidence) -> Finding:
    finding = Finding("I10", "each event reaches the bus, and each consumer applies it once")
    stored = {event.event_id for event in evidence.events}
    if stored:
        finding.needs("the bus", evidence.bus)
        finding.needs("the consumers' positions", evidence.consumers)
    if evidence.bus is not None:
        on_bus = {message.event_id for message in evidence.bus}
        finding.looked("events looked for on the bus", len(stored))
        finding.violations += [
            f"{event.event_id} ({event.type}) is not on the bus"
            for event in evidence.events
            if event.event_id not in on_bus
        ]
        finding.violations += [
            f"{message.event_id} is on the bus and in no store"
            for message in evidence.bus
            if message.event_id not in stored
        ]
    for taken in evidence.consumers or ():
        finding.looked("consumers and topics")
        if taken.applied < taken.written:
            behind = taken.written - taken.applied
            finding.violations.append(f"{taken.consumer} is {behind} behind on {taken.topic}")
    _decided_once(evidence, finding, stored)
    return finding


def _decided_once(evidence: Evidence, finding: Finding, stored: Collection[str]) -> None:
    """No event led to the same words twice on one stream, as it would if it was taken twice."""
    said: Counter[tuple[str, str, str, str]] = Counter()
    for event in evidence.events:
        if event.causation_id in stored:
            said[event.stream, event.causation_id, event.type, event.data] += 1
    finding.looked("decisions", len(said))
    for (stream, cause, type_, _), count in said.items():
        if count > 1:
            finding.violations.append(f"{stream}: {cause} led to {type_} {count} times")


def i11_order_is_kept(evidence: Evidence) -> Finding:
    finding = Finding("I11", "per-order order is kept; a poison event parks its key alone")
    last: dict[str, int] = {}
    home: dict[str, tuple[str, int]] = {}
    if evidence.events:
        finding.needs("the bus", evidence.bus)
        finding.needs("the parked keys", evidence.consumers)
    for message in sorted(evidence.bus or (), key=lambda m: (m.topic, m.partition, m.offset)):
        finding.looked("messages on the bus")
        place = (message.topic, message.partition)
        if home.setdefault(message.stream, place) != place:
            finding.violations.append(f"{message.stream} is on {home[message.stream]} and {place}")
        before = last.get(message.stream, 0)
        if message.version > before + 1:
            finding.violations.append(
                f"{message.stream} goes from {before} to {message.version} at {place}"
            )
        last[message.stream] = max(before, message.version)
    for taken in evidence.consumers or ():
        finding.looked("consumers and topics")
        if taken.parked:
            finding.violations.append(
                f"{taken.consumer} has parked {taken.parked} deliveries of {taken.topic}"
            )
    return finding


def i13_views_never_go_back(evidence: Evidence) -> Finding:
    finding = Finding("I13", "a tracking view never goes back")
    if evidence.events:
        finding.needs("the tracking views", evidence.tracked)
    newest: dict[str, int] = {}
    by_client: dict[tuple[str, str], int] = {}
    for polled in evidence.clients:
        if isinstance(polled, Polled):
            finding.looked("looks by clients")
            # Only within one client is the order of looking known.
            before = by_client.get((polled.client, polled.order_id), 0)
            if polled.version < before:
                finding.violations.append(
                    f"{polled.order_id} went from {before} to {polled.version}"
                )
            by_client[polled.client, polled.order_id] = max(before, polled.version)
            newest[polled.order_id] = max(newest.get(polled.order_id, 0), polled.version)
    tracked = evidence.tracked or {}
    finding.looked("views shown now", len(tracked))
    if evidence.tracked is not None:
        finding.violations += [
            f"{order_id} shows {tracked.get(order_id)}, a client saw {seen}"
            for order_id, seen in newest.items()
            if tracked.get(order_id, 0) < seen
        ]
    return finding
