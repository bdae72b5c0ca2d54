"""Goods: never oversold, never shipped twice (I3, I6)."""

from collections import defaultdict

from waybill.audit.evidence import Evidence, Fact, Finding

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
    for stream, facts in streams.items():
        at: Counters = defaultdict(lambda: {"on_hand": 0, "held": 0, "allocated": 0})
        for fact in sorted(facts, key=lambda f: f.recorded.version):
            finding.looked("stock events")
            _move(at, fact)
            where = f"{stream} version {fact.recorded.version}"
            for location, now in at.items():
                if min(now.values()) < 0 or now["held"] + now["allocated"] > now["on_hand"]:
                    finding.violations.append(f"{where} at {location}: {now}")
            for level in fact.data.get("levels", ()):
                told = {name: level[name] for name in ("on_hand", "held", "allocated")}
                if told != at[level["location"]]:
                    finding.violations.append(f"{where} says {told}, its events {dict(at)}")
        finding.looked("SKUs")
        _against_api(evidence, finding, stream, at)
    return finding


def _against_api(evidence: Evidence, finding: Finding, stream: str, at: Counters) -> None:
    """The counters that the stock API shows, beside those of the log."""
    shown = (evidence.stock or {}).get(stream.split("/", 2)[2])
    if shown is None:
        return
    finding.looked("SKUs shown by the API")
    for level in shown["locations"]:
        told = {name: level[name] for name in ("on_hand", "held", "allocated")}
        if told != at[level["location"]]:
            finding.violations.append(f"the API shows {told} for {stream}, the log {dict(at)}")


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
    bought: dict[str, int] = defaultdict(int)
    for entry in evidence.carrier or ():
        if entry.get("operation") == "label":
            finding.looked("labels in the carrier's ledger")
            bought[entry["reference"]] += 1
        elif entry.get("operation") == "void":
            bought[entry["reference"]] -= 1
    for reference, count in bought.items():
        if count > 1:
            finding.violations.append(f"the carrier sold {count} live labels for {reference}")
    if evidence.carrier is not None:
        finding.violations += [
            f"{shipment} was dispatched without a label"
            for shipment in sorted(dispatched)
            if bought.get(shipment, 0) < 1
        ]
