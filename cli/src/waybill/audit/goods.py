"""Goods: never oversold, never shipped twice (I3, I6)."""

from collections import defaultdict
from collections.abc import Sequence

from waybill.audit.evidence import Evidence, Fact, Finding, Json

Counters = dict[str, dict[str, int]]


def _move(at: Counters, fact: Fact) -> None:
    """Apply one stock event's own quantities, not the levels it claims."""
    data, kind = fact.data, fact.recorded.type.split(".")[1]
    if kind == "stock_received":
        at[data["location"]]["on_hand"] += data["quantity"]
    elif kind == "stock_adjusted":
        at[data["location"]]["on_hand"] += data["delta"]
    elif kind == "stock_counted":
        at[data["location"]]["on_hand"] = data["counted"]
    for move in data.get("moves", ()):
        counters, units = at[move["location"]], move["quantity"]
        if kind == "stock_held":
            counters["held"] += units
        elif kind == "stock_allocated":
            counters["held"] -= units
            counters["allocated"] += units
        elif kind == "stock_released":
            counters[data["bucket"]] -= units
        elif kind == "stock_consumed":
            counters["allocated"] -= units
            counters["on_hand"] -= units


def i3_no_oversell(evidence: Evidence) -> Finding:
    finding = Finding("I3", "held + allocated ≤ on hand, for every SKU and location, always")
    streams: dict[str, list[Fact]] = defaultdict(list)
    for fact in evidence.facts:
        if fact.recorded.topic == "stock":
            streams[fact.recorded.stream].append(fact)
    if streams:
        finding.needs("the stock that the API shows", evidence.stock)
    for stream, facts in streams.items():
        finding.looked("SKUs")
        _fold_stock(evidence, finding, stream, facts)
    return finding


def _fold_stock(evidence: Evidence, finding: Finding, stream: str, facts: list[Fact]) -> None:
    """One SKU's story, told again from its quantities; the API must show it as it was then."""
    shown = (evidence.stock or {}).get(stream.split("/", 2)[2])
    shown_version = max((level.get("version", 0) for level in _levels(shown)), default=0)
    at: Counters = defaultdict(lambda: {"on_hand": 0, "held": 0, "allocated": 0})
    last = 0
    for fact in sorted(facts, key=lambda f: f.recorded.version):
        finding.looked("stock events")
        _move(at, fact)
        last = fact.recorded.version
        where = f"{stream} version {last}"
        for location, now in at.items():
            if min(now.values()) < 0 or now["held"] + now["allocated"] > now["on_hand"]:
                finding.violations.append(f"{where} at {location}: {now}")
        for level in fact.data.get("levels", ()):
            told = {name: level[name] for name in ("on_hand", "held", "allocated")}
            if told != at[level["location"]]:
                finding.violations.append(f"{where} says {told}, its events {dict(at)}")
        if shown is not None and last == shown_version:
            _against_api(finding, stream, shown, at)
    if shown is not None and shown_version > last:
        finding.notes.append(f"{stream} has moved on since its log was read")
    elif shown is not None and not shown_version:
        _against_api(finding, stream, shown, at)


def _levels(shown: Json | None) -> Sequence[Json]:
    return () if shown is None else shown["locations"]


def _against_api(finding: Finding, stream: str, shown: Json, at: Counters) -> None:
    """The counters that the stock API shows, beside those of the log at the same version."""
    finding.looked("SKUs shown by the API")
    told = {
        level["location"]: {name: level[name] for name in ("on_hand", "held", "allocated")}
        for level in _levels(shown)
    }
    for location in sorted(told.keys() | at.keys()):
        api, log = told.get(location, _NONE), at.get(location, _NONE)
        if api != log:
            finding.violations.append(f"the API shows {api} for {stream} at {location}, not {log}")


_NONE = {"on_hand": 0, "held": 0, "allocated": 0}


def i6_one_shipment_per_reservation(evidence: Evidence) -> Finding:
    finding = Finding("I6", "at most one live shipment per reservation and fulfillment order")
    dispatched: dict[str, list[str]] = defaultdict(list)
    units: dict[tuple[str, str], int] = defaultdict(int)
    for fact in evidence.of("fulfillment.shipment_dispatched"):
        finding.looked("shipments dispatched")
        dispatched[fact.data["fulfillment_order_id"]].append(fact.data["shipment_id"])
        for line in fact.data["lines"]:
            units[fact.data["order_id"], line["line_id"]] += line["quantity"]
    for owner, shipments in dispatched.items():
        if len(shipments) > 1:
            finding.violations.append(f"{owner} was dispatched as {', '.join(shipments)}")
    ordered = {
        (fact.data["order_id"], line["line_id"]): line["quantity"]
        for fact in evidence.of("capture.order_placed")
        for line in fact.data["lines"]
    }
    for (order_id, line_id), shipped in units.items():
        if shipped > ordered.get((order_id, line_id), 0):
            finding.violations.append(f"{order_id} {line_id}: {shipped} units were shipped")
    _against_carrier(evidence, finding, {s for many in dispatched.values() for s in many})
    return finding


def _against_carrier(evidence: Evidence, finding: Finding, dispatched: set[str]) -> None:
    """Live labels by our shipment: bought and not given back."""
    if dispatched:
        finding.needs("the carrier's ledger", evidence.carrier)
    live: dict[str, set[str]] = defaultdict(set)
    for entry in evidence.carrier or ():
        if entry["operation"] == "buy_label" and entry["outcome"] == "approved":
            finding.looked("labels in the carrier's ledger")
            live[entry["reference"]].add(entry["shipment_id"])
        elif entry["operation"] == "void_label":
            live[entry["reference"]].discard(entry["shipment_id"])
    for reference, labels in live.items():
        if len(labels) > 1:
            finding.violations.append(f"the carrier sold {len(labels)} live labels for {reference}")
    if evidence.carrier is not None:
        finding.violations += [
            f"{shipment} was dispatched without a label"
            for shipment in sorted(dispatched)
            if not live.get(shipment)
        ]
