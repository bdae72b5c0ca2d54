"""The log: whole, in order, on the bus, applied once, without personal data (I8 to I11, I13, I14)."""

import re
from collections import Counter, defaultdict

from waybill.audit.evidence import Evidence, Finding
from waybill.ledger import Polled

_DIGITS = re.compile(r"(?<![\w-])\d{13,19}(?![\w-])")


def i8_views_equal_their_rebuild(evidence: Evidence) -> Finding:
    finding = Finding("I8", "a read model equals, by hash, its rebuild from offset 0")
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
    stored = {event.event_id: event.data for event in evidence.events}
    for message in evidence.bus or ():
        if message.event_id in stored:
            finding.looked("events compared with the bus")
            if stored[message.event_id] != message.value:
                finding.violations.append(f"{message.event_id} differs between store and bus")
    return finding


def i10_published_and_applied_once(evidence: Evidence) -> Finding:
    finding = Finding("I10", "each event reaches the bus, and each consumer applies it once")
    if evidence.bus is not None:
        on_bus = {message.event_id for message in evidence.bus}
        for event in evidence.events:
            finding.looked("events looked for on the bus")
            if event.event_id not in on_bus:
                finding.violations.append(f"{event.event_id} ({event.type}) is not on the bus")
        stored = {event.event_id for event in evidence.events}
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
    said: Counter[tuple[str, str, str, str]] = Counter()
    for event in evidence.events:
        said[event.stream, event.causation_id, event.type, event.data] += 1
    finding.looked("decisions", len(said))
    for (stream, cause, type_, _), count in said.items():
        if count > 1:
            finding.violations.append(f"{stream}: {cause} led to {type_} {count} times")
    return finding


def i11_order_is_kept(evidence: Evidence) -> Finding:
    finding = Finding("I11", "per-order order is kept; a poison event parks its key alone")
    last: dict[str, int] = {}
    home: dict[str, tuple[str, int]] = {}
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
            finding.violations.append(f"{taken.consumer} has {taken.parked} parked deliveries")
    return finding


def i13_views_never_go_back(evidence: Evidence) -> Finding:
    finding = Finding("I13", "a tracking view never goes back")
    newest: dict[str, int] = {}
    for polled in evidence.clients:
        if isinstance(polled, Polled):
            finding.looked("looks by clients")
            if polled.version < newest.get(polled.order_id, 0):
                finding.violations.append(
                    f"{polled.order_id} went from {newest[polled.order_id]} to {polled.version}"
                )
            newest[polled.order_id] = max(newest.get(polled.order_id, 0), polled.version)
    for order_id, version in (evidence.tracked or {}).items():
        finding.looked("views shown now")
        if version < newest.get(order_id, 0):
            finding.violations.append(
                f"{order_id} shows {version}, a client saw {newest[order_id]}"
            )
    return finding


def _card_number(text: str) -> bool:
    """Luhn, as ISO/IEC 7812-1 annex B has it."""
    digits = [int(character) for character in text][::-1]
    doubled = [d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits)]
    return sum(doubled) % 10 == 0 and len(set(digits)) > 1


def i14_no_personal_data(evidence: Evidence) -> Finding:
    finding = Finding("I14", "no card number anywhere, no personal data in events, logs, topics")
    texts = [(f"event {event.event_id}", event.data) for event in evidence.events]
    texts += [(f"log line {at}", line) for at, line in enumerate(evidence.logs or (), start=1)]
    finding.looked("events", len(evidence.events))
    finding.looked("log lines", len(evidence.logs or ()))
    canaries = [value for value in evidence.personal or () if len(value) > 5]
    finding.looked("personal values looked for", len(canaries))
    pattern = re.compile("|".join(map(re.escape, sorted(set(canaries))))) if canaries else None
    for where, text in texts:
        if pattern is not None and pattern.search(text):
            finding.violations.append(f"{where} holds personal data")
        if any(_card_number(found) for found in _DIGITS.findall(text)):
            finding.violations.append(f"{where} holds what looks like a card number")
    return finding
