"""Which locations an order's units come from: the fewest, then those of the best priority.

Pure and deterministic: the same demand against the same shelves chooses the same locations. What
was weighed and what was chosen goes into the event.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from waybill_events.event import Allocation, LineQuantity, Shortage
from waybill_events.inventory import Candidate, Exclusion, SourcingDecision, SourcingRule

RULE: SourcingRule = "fewest_locations_then_priority"
SAME: SourcingRule = "same_locations"
LAST = 1_000
"""The priority of a location that the settings do not name."""

EXACT_MAX = 8
"""Up to so many stocked candidates every subset may be tried (255 of them); above, the location
that covers the most of what is left is taken again and again, which may take one more than the
fewest."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """What is available, by SKU and location, and how locations rank (lower comes first)."""

    available: Mapping[str, Mapping[str, int]]
    priorities: Mapping[str, int] = field(default_factory=dict)

    def at(self, sku: str, location: str) -> int:
        return self.available.get(sku, {}).get(location, 0)

    def rank(self, location: str) -> tuple[int, str]:
        return self.priorities.get(location, LAST), location

    def less(self, taken: Iterable[Allocation]) -> "Shelf":
        """The shelf after these were taken from it."""
        after = {sku: dict(places) for sku, places in self.available.items()}
        for part in taken:
            places = after.setdefault(part.sku, {})
            places[part.location] = places.get(part.location, 0) - part.quantity
        return replace(self, available=after)


@dataclass(frozen=True, slots=True)
class Sourced:
    """Where the units come from, what is missing, and why so."""

    allocations: tuple[Allocation, ...]
    shortages: tuple[Shortage, ...]
    decision: SourcingDecision


def source(
    lines: Sequence[LineQuantity], shelf: Shelf, excluded: Mapping[str, Exclusion] | None = None
) -> Sourced:
    """Cover as much of the lines as there is; lines of one SKU share what there is of it.

    `excluded` names locations that are out of the question, and why.
    """
    barred = excluded or {}
    wanted: dict[str, int] = {}
    for line in lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
    covers = _covers(wanted, shelf, barred)
    ranked = sorted((loc for loc, parts in covers.items() if parts), key=shelf.rank)
    chosen = _fewest(wanted, covers, ranked)
    allocations, shortages = _deal(lines, shelf, chosen)
    used = {part.location for part in allocations}
    decision = SourcingDecision(
        rule=RULE,
        candidates=_candidates(covers, shelf, barred),
        chosen=tuple(location for location in chosen if location in used),
    )
    return Sourced(allocations, shortages, decision)


def same_again(parts: Sequence[Allocation], shelf: Shelf) -> Sourced:
    """Exactly these units from exactly these locations; a shortage where they are not there."""
    left: dict[tuple[str, str], int] = {}
    found: dict[str, int] = {}
    for part in parts:
        place = (part.sku, part.location)
        there = left.setdefault(place, max(0, shelf.at(part.sku, part.location)))
        taken = min(part.quantity, there)
        left[place] = there - taken
        found[part.line_id] = found.get(part.line_id, 0) + taken
    shortages = _shortages(_lines(parts), found)
    locations = sorted({part.location for part in parts}, key=shelf.rank)
    decision = SourcingDecision(
        rule=SAME,
        candidates=tuple(
            Candidate(
                location=location,
                priority=shelf.rank(location)[0],
                covers_units=sum(
                    min(part.quantity, max(0, shelf.at(part.sku, location)))
                    for part in parts
                    if part.location == location
                ),
                excluded=None,
            )
            for location in locations
        ),
        chosen=() if shortages else tuple(locations),
    )
    return Sourced(() if shortages else tuple(parts), shortages, decision)


def _lines(parts: Sequence[Allocation]) -> Sequence[LineQuantity]:
    units: dict[tuple[str, str], int] = {}
    for part in parts:
        units[part.line_id, part.sku] = units.get((part.line_id, part.sku), 0) + part.quantity
    return [LineQuantity(line_id=line, sku=sku, quantity=n) for (line, sku), n in units.items()]


def _covers(
    wanted: Mapping[str, int], shelf: Shelf, barred: Collection[str]
) -> Mapping[str, Mapping[str, int]]:
    """What each known location could give, by SKU; nothing for those that are barred."""
    covers: dict[str, dict[str, int]] = {location: {} for location in barred}
    for sku, quantity in wanted.items():
        for location, available in shelf.available.get(sku, {}).items():
            parts = covers.setdefault(location, {})
            if available > 0 and location not in barred:
                parts[sku] = min(available, quantity)
    return covers


def _fewest(
    wanted: Mapping[str, int], covers: Mapping[str, Mapping[str, int]], ranked: Sequence[str]
) -> Sequence[str]:
    """The smallest set of locations, of the best ranks, that gives all that can be given."""
    goal = {
        sku: min(quantity, sum(covers[location].get(sku, 0) for location in ranked))
        for sku, quantity in wanted.items()
    }
    if len(ranked) > EXACT_MAX:
        return _greedy(goal, covers, ranked)
    for size in range(1, len(ranked) + 1):
        # Combinations come in the order of the ranks, so the first that fits is the best one.
        for chosen in combinations(ranked, size):
            if all(
                sum(covers[location].get(sku, 0) for location in chosen) >= units
                for sku, units in goal.items()
            ):
                return chosen
    return ()


def _greedy(
    goal: Mapping[str, int], covers: Mapping[str, Mapping[str, int]], ranked: Sequence[str]
) -> Sequence[str]:
    left = {sku: units for sku, units in goal.items() if units}
    chosen: set[str] = set()
    while left:

        def gives(location: str) -> int:
            return sum(min(units, covers[location].get(sku, 0)) for sku, units in left.items())  # noqa: B023 - used in this turn only

        best = max((place for place in ranked if place not in chosen), key=gives)
        chosen.add(best)
        left = {
            sku: units - covers[best].get(sku, 0)
            for sku, units in left.items()
            if units > covers[best].get(sku, 0)
        }
    return [location for location in ranked if location in chosen]


def _deal(
    lines: Sequence[LineQuantity], shelf: Shelf, chosen: Sequence[str]
) -> tuple[tuple[Allocation, ...], tuple[Shortage, ...]]:
    """Lines in order, each whole from one of the chosen locations where one has it all."""
    left = {
        (line.sku, location): max(0, shelf.at(line.sku, location))
        for line in lines
        for location in chosen
    }
    allocations: list[Allocation] = []
    found: dict[str, int] = {}
    for line in lines:
        whole = [place for place in chosen if left[line.sku, place] >= line.quantity]
        missing = line.quantity
        for location in whole[:1] or chosen:
            if taken := min(missing, left[line.sku, location]):
                allocations.append(
                    Allocation(
                        line_id=line.line_id, sku=line.sku, location=location, quantity=taken
                    )
                )
                left[line.sku, location] -= taken
                missing -= taken
        found[line.line_id] = line.quantity - missing
    return tuple(allocations), _shortages(lines, found)


def _shortages(lines: Sequence[LineQuantity], found: Mapping[str, int]) -> tuple[Shortage, ...]:
    return tuple(
        Shortage(
            line_id=line.line_id,
            sku=line.sku,
            requested=line.quantity,
            available=found.get(line.line_id, 0),
        )
        for line in lines
        if found.get(line.line_id, 0) < line.quantity
    )


def _candidates(
    covers: Mapping[str, Mapping[str, int]], shelf: Shelf, barred: Mapping[str, Exclusion]
) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(
            location=location,
            priority=shelf.rank(location)[0],
            covers_units=sum(covers[location].values()),
            excluded=barred.get(location) or (None if covers[location] else "no stock"),
        )
        for location in sorted(covers, key=shelf.rank)
    )
