"""What is shown of a SKU, derived from its folded counters: no table, so never stale."""

from collections.abc import Sequence

from inventory.decider.stock import Level, Stock


def levels(state: Stock) -> Sequence[tuple[str, Level]]:
    """Every location that anything was ever booked at, by name."""
    return sorted(state.locations.items())


def total(state: Stock) -> Level:
    """The counters of all locations together."""
    known = state.locations.values()
    return Level(
        on_hand=sum(level.on_hand for level in known),
        held=sum(level.held for level in known),
        allocated=sum(level.allocated for level in known),
    )


def stocked(state: Stock) -> Sequence[tuple[str, int]]:
    """The locations that have units available, and how many."""
    return [(location, level.available) for location, level in levels(state) if level.available]
