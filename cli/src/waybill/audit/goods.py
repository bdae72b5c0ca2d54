"""Goods on the shelf: never oversold, and each unit accounted for (I3)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from waybill.audit.endings import ends
from waybill.audit.evidence import Evidence, Finding
from waybill.audit.facts import Fact, Json

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
    finding = Finding(
        "I3",
        "held + allocated ≤ on hand, for every SKU and location, always",
        must_see=("stock events", "SKUs shown by the API", "reservations"),
    )
    streams = _stock_streams(evidence)
    if streams:
        finding.needs("the stock that the API shows", evidence.stock)
    for stream, facts in streams.items():
        finding.looked("SKUs")
        _fold_stock(evidence, finding, stream, facts)
        _fold_reservations(finding, stream, facts)
    _what_is_confirmed_is_kept(evidence, finding)
    if evidence.require_settled:
        _what_left_was_consumed(evidence, finding)
    return finding


def _stock_streams(evidence: Evidence) -> Mapping[str, Sequence[Fact]]:
    """The facts of each SKU's stream, in order."""
    return _streams(fact for fact in evidence.facts if fact.recorded.topic == "stock")


def _streams(found: Iterable[Fact]) -> Mapping[str, Sequence[Fact]]:
    """These facts by stream, in order."""
    streams: dict[str, list[Fact]] = defaultdict(list)
    for fact in found:
        streams[fact.recorded.stream].append(fact)
    for facts in streams.values():
        facts.sort(key=lambda fact: fact.recorded.version)
    return streams


def _fold_stock(evidence: Evidence, finding: Finding, stream: str, facts: Sequence[Fact]) -> None:
    """One SKU's story, told again from its quantities; the API must show it as it was then."""
    shown = (evidence.stock or {}).get(stream.split("/", 2)[2])
    finding.looked("SKUs shown by the API", int(shown is not None))
    shown_version = max((level.get("version", 0) for level in _levels(shown)), default=0)
    at: Counters = defaultdict(lambda: {"on_hand": 0, "held": 0, "allocated": 0})
    last = 0
    for fact in facts:
        finding.looked("stock events")
        _move(at, fact)
        last = fact.recorded.version
        where = f"{stream} version {last}"
        for location, now in at.items():
            if min(now.values()) < 0 or now["held"] + now["allocated"] > now["on_hand"]:
                finding.violations.append(
                    finding.says("oversold", f"{where} at {location}: {now}", stream, location)
                )
        for level in fact.data.get("levels", ()):
            told = {name: level[name] for name in ("on_hand", "held", "allocated")}
            if told != at[level["location"]]:
                finding.violations.append(
                    finding.says(
                        "levels",
                        f"{where} says {told}, its events {dict(at)}",
                        stream,
                        fact.recorded.event_id,
                    )
                )
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
    told = {
        level["location"]: {name: level[name] for name in ("on_hand", "held", "allocated")}
        for level in _levels(shown)
    }
    for location in sorted(told.keys() | at.keys()):
        api, log = told.get(location, _NONE), at.get(location, _NONE)
        if api != log:
            finding.violations.append(
                finding.says(
                    "api",
                    f"the API shows {api} for {stream} at {location}, not {log}",
                    stream,
                    location,
                )
            )


_NONE = {"on_hand": 0, "held": 0, "allocated": 0}

Kept = dict[tuple[str, str, str], dict[str, int]]
"""Units by bucket, of each reservation, line and location of one SKU."""


def _keep(kept: Kept, fact: Fact) -> list[tuple[str, str, str]]:
    """Apply one stock event to the reservations it names; answers which those are."""
    what = fact.recorded.type.split(".")[1]
    touched = []
    for move in fact.data.get("moves", ()):
        place = (move["reservation_id"], move["line_id"], move["location"])
        buckets, units = kept[place], move["quantity"]
        touched.append(place)
        if what == "stock_held":
            buckets["held"] += units
        elif what == "stock_allocated":
            buckets["held"] -= units
            buckets["allocated"] += units
        elif what == "stock_released":
            buckets[fact.data["bucket"]] -= units
        elif what == "stock_consumed":
            buckets["allocated"] -= units
    return touched


def _nothing() -> dict[str, int]:
    return {"held": 0, "allocated": 0}


def _fold_reservations(finding: Finding, stream: str, facts: Sequence[Fact]) -> None:
    """Nobody gives back, allocates or ships units that his own reservation does not have."""
    kept: Kept = defaultdict(_nothing)
    for fact in facts:
        for place in _keep(kept, fact):
            if min(kept[place].values()) < 0:
                reservation_id, line_id, location = place
                finding.violations.append(
                    finding.says(
                        "more-than-reserved",
                        f"{stream} version {fact.recorded.version}: {reservation_id} {line_id} at"
                        f" {location} has {kept[place]}",
                        stream,
                        reservation_id,
                        line_id,
                    )
                )
    finding.looked("reservations", len({reservation_id for reservation_id, _, _ in kept}))


_HOLDS = (
    "inventory.stock_reserved",
    "inventory.reservation_confirmed",
    "inventory.reservation_expired",
    "inventory.reservation_released",
)


def _what_is_confirmed_is_kept(evidence: Evidence, finding: Finding) -> None:
    """Units of a confirmed order go back with its end, or when a warehouse gives them up."""
    ended = ends(evidence)
    for facts in _streams(fact for kind in _HOLDS for fact in evidence.of(kind)).values():
        is_confirmed = False
        for fact in facts:
            order_id, reservation_id = fact.data["order_id"], fact.data["reservation_id"]
            if fact.kind in ("inventory.stock_reserved", "inventory.reservation_confirmed"):
                is_confirmed = fact.kind == "inventory.reservation_confirmed"
            elif (
                is_confirmed
                and not fact.data.get("fulfillment_order_id")
                and ended.get(order_id) in (None, "completed")
            ):
                finding.violations.append(
                    finding.says(
                        "let-go-though-confirmed",
                        f"{reservation_id} was confirmed and let go of, and {order_id} is"
                        f" {ended.get(order_id, 'open')}",
                        reservation_id,
                        order_id,
                    )
                )


def kept_back(evidence: Evidence) -> Mapping[str, Sequence[str]]:
    """What each reservation still holds or has allocated at the end of the log, in words."""
    found: dict[str, list[str]] = defaultdict(list)
    for stream, facts in _stock_streams(evidence).items():
        kept: Kept = defaultdict(_nothing)
        for fact in facts:
            _keep(kept, fact)
        for (reservation_id, _, location), buckets in kept.items():
            words = found[reservation_id]
            words += [
                f"{units} {bucket} of {stream} at {location}"
                for bucket, units in buckets.items()
                if units
            ]
    return found


def _what_left_was_consumed(evidence: Evidence, finding: Finding) -> None:
    """The units of each SKU that left in parcels are the units that were taken off its books."""
    sku_of = {
        (fact.data["order_id"], line["line_id"]): line["sku"]
        for fact in evidence.of("capture.order_placed")
        for line in fact.data["lines"]
    }
    left: Counter[str] = Counter()
    for fact in evidence.of("fulfillment.shipment_dispatched"):
        for line in fact.data["lines"]:
            left[sku_of.get((fact.data["order_id"], line["line_id"]), "?")] += line["quantity"]
    consumed: Counter[str] = Counter()
    for fact in evidence.of("inventory.stock_consumed"):
        consumed[fact.data["sku"]] += sum(move["quantity"] for move in fact.data["moves"])
    finding.looked("units that left", left.total())
    finding.violations += [
        finding.says(
            "left-and-not-consumed",
            f"{left[sku]} units of {sku} left in parcels, {consumed[sku]} were taken off the books",
            sku,
        )
        for sku in sorted(left.keys() | consumed.keys())
        if left[sku] != consumed[sku]
    ]
