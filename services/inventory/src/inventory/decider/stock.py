"""What stock does with a command, one stream per SKU: the counters of each of its locations.

On hand is what the shelf holds; held and allocated are promised of it; the rest is available.
Never less than nothing, never promised more than there is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, assert_never

from waybill_events.inventory import (
    ReorderPointSet,
    ReorderSuggested,
    StockAdjusted,
    StockAllocated,
    StockConsumed,
    StockCounted,
    StockEvent,
    StockHeld,
    StockLevel,
    StockMove,
    StockReceived,
    StockReleased,
)

ON_HAND_MAX = 1_000_000_000
Kind: TypeAlias = Literal["hold", "allocate", "release_held", "release_allocated", "consume"]


class UnitsPromised(Exception):
    """Fewer units would be on hand than are held or allocated."""

    def __init__(self, sku: str, location: str, on_hand: int, promised: int) -> None:
        super().__init__(
            f"{sku} at {location}: {on_hand} would be on hand, and {promised} are held or allocated"
        )
        self.sku = sku
        self.location = location
        self.on_hand = on_hand
        self.promised = promised


class TooManyUnits(Exception):
    """More units than a shelf is counted to."""


class BooksBroken(Exception):
    """Moves that the counters do not allow: a mistake in the program, never a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorder:
    """When to suggest buying, how much, and whether it was said of this breach."""

    point: int
    quantity: int
    is_breached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The counters of one location."""

    on_hand: int = 0
    held: int = 0
    allocated: int = 0
    reorder: Reorder | None = None

    @property
    def available(self) -> int:
        return self.on_hand - self.held - self.allocated


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """Everything the rules need of one SKU; kept as its stream's snapshot."""

    locations: Mapping[str, Level] = field(default_factory=dict)

    def at(self, location: str) -> Level:
        return self.locations.get(location, _EMPTY)


_EMPTY = Level()
INITIAL = Stock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Receive:
    sku: str
    location: str
    quantity: int
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjust:
    sku: str
    location: str
    delta: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """So many were counted on the shelf, whatever was thought to be there."""

    sku: str
    location: str
    counted: int
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReorderPoint:
    sku: str
    location: str
    point: int
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Units of any number of reservations that go the same way, decided at once."""

    sku: str
    kind: Kind
    moves: tuple[StockMove, ...]


Command: TypeAlias = Receive | Adjust | Count | SetReorderPoint | Move


def decide(command: Command, state: Stock) -> Sequence[StockEvent]:
    """What a command means for a SKU, with the suggestion to buy where it breaches a point.

    Received, counted and moved units are facts each time they are told: who tells them twice is
    found out by the idempotency key, or by the reservation.

    Raises:
        UnitsPromised: an adjustment or count below what is held or allocated.
        TooManyUnits: beyond ON_HAND_MAX.
        BooksBroken: moves of units that are not where the command takes them from.
    """
    match command:
        case SetReorderPoint():
            return _set_reorder_point(command, state)
        case Receive():
            level = _shelved(command.sku, command.location, state, command.quantity)
            event: StockEvent = StockReceived(
                sku=command.sku,
                location=command.location,
                quantity=command.quantity,
                reference=command.reference,
                levels=(level,),
            )
        case Adjust():
            level = _shelved(command.sku, command.location, state, command.delta)
            event = StockAdjusted(
                sku=command.sku,
                location=command.location,
                delta=command.delta,
                reason=command.reason,
                levels=(level,),
            )
        case Count():
            expected = state.at(command.location).on_hand
            level = _shelved(command.sku, command.location, state, command.counted - expected)
            event = StockCounted(
                sku=command.sku,
                location=command.location,
                counted=command.counted,
                expected=expected,
                reference=command.reference,
                levels=(level,),
            )
        case Move():
            event = _move(command, state)
        case _:
            assert_never(command)
    return [event, *_suggestions(command.sku, state, evolve(state, event))]


def _shelved(sku: str, location: str, state: Stock, delta: int) -> StockLevel:
    """The level after units came to the shelf or went from it."""
    level = state.at(location)
    on_hand = level.on_hand + delta
    promised = level.held + level.allocated
    if on_hand < promised:
        raise UnitsPromised(sku, location, on_hand, promised)
    if on_hand > ON_HAND_MAX:
        raise TooManyUnits(f"{sku} at {location}: {on_hand} are more than {ON_HAND_MAX}")
    return StockLevel(
        location=location, on_hand=on_hand, held=level.held, allocated=level.allocated
    )


_HELD: Mapping[Kind, int] = {"hold": 1, "allocate": -1, "release_held": -1}
_ALLOCATED: Mapping[Kind, int] = {"allocate": 1, "release_allocated": -1, "consume": -1}


def _move(command: Move, state: Stock) -> StockEvent:
    """One event for the whole run. All of it goes one way, so its end proves its every prefix."""
    units: dict[str, int] = {}
    for move in command.moves:
        units[move.location] = units.get(move.location, 0) + move.quantity
    levels = tuple(
        _moved(command, location, state.at(location), quantity)
        for location, quantity in sorted(units.items())
    )
    sku, moves = command.sku, command.moves
    match command.kind:
        case "hold":
            return StockHeld(sku=sku, moves=moves, levels=levels)
        case "allocate":
            return StockAllocated(sku=sku, moves=moves, levels=levels)
        case "release_held":
            return StockReleased(sku=sku, bucket="held", moves=moves, levels=levels)
        case "release_allocated":
            return StockReleased(sku=sku, bucket="allocated", moves=moves, levels=levels)
        case "consume":
            return StockConsumed(sku=sku, moves=moves, levels=levels)
        case _:
            assert_never(command.kind)


def _moved(command: Move, location: str, level: Level, quantity: int) -> StockLevel:
    on_hand = level.on_hand - (quantity if command.kind == "consume" else 0)
    held = level.held + quantity * _HELD.get(command.kind, 0)
    allocated = level.allocated + quantity * _ALLOCATED.get(command.kind, 0)
    if min(on_hand, held, allocated) < 0 or held + allocated > on_hand:
        raise BooksBroken(
            f"{command.sku} at {location} cannot {command.kind} {quantity}: on hand "
            f"{level.on_hand}, held {level.held}, allocated {level.allocated}"
        )
    return StockLevel(location=location, on_hand=on_hand, held=held, allocated=allocated)


def _set_reorder_point(command: SetReorderPoint, state: Stock) -> Sequence[StockEvent]:
    known = state.at(command.location).reorder
    if known is not None and (known.point, known.quantity) == (command.point, command.quantity):
        return []
    event = ReorderPointSet(
        sku=command.sku,
        location=command.location,
        reorder_point=command.point,
        reorder_quantity=command.quantity,
    )
    after = evolve(state, event)
    level = after.at(command.location)
    return [event, *_suggestion(command.sku, command.location, level)]


def _suggestions(sku: str, before: Stock, after: Stock) -> Sequence[StockEvent]:
    return [
        event
        for location, level in sorted(after.locations.items())
        if level != before.locations.get(location)
        for event in _suggestion(sku, location, level)
    ]


def _suggestion(sku: str, location: str, level: Level) -> Sequence[StockEvent]:
    """Once per breach: not again until available has been above the point."""
    reorder = level.reorder
    if reorder is None or reorder.is_breached or level.available > reorder.point:
        return []
    return [
        ReorderSuggested(
            sku=sku,
            location=location,
            available=level.available,
            reorder_point=reorder.point,
            quantity=reorder.quantity,
        )
    ]


def evolve(state: Stock, event: StockEvent) -> Stock:
    """The state after an event. Never refuses: the event's own levels are what is there."""
    match event:
        case ReorderPointSet():
            level = state.at(event.location)
            breached = level.reorder is not None and level.reorder.is_breached
            reorder = Reorder(
                point=event.reorder_point,
                quantity=event.reorder_quantity,
                is_breached=breached and level.available <= event.reorder_point,
            )
            return _with(state, {event.location: replace(level, reorder=reorder)})
        case ReorderSuggested():
            level = state.at(event.location)
            if level.reorder is None:
                return state
            breached_now = replace(level.reorder, is_breached=True)
            return _with(state, {event.location: replace(level, reorder=breached_now)})
        case (
            StockReceived(levels=levels)
            | StockAdjusted(levels=levels)
            | StockCounted(levels=levels)
            | StockHeld(levels=levels)
            | StockAllocated(levels=levels)
            | StockReleased(levels=levels)
            | StockConsumed(levels=levels)
        ):
            return _with(state, {at.location: _level(state, at) for at in levels})
        case _:
            assert_never(event)


def _with(state: Stock, changed: Mapping[str, Level]) -> Stock:
    return Stock(locations={**state.locations, **changed})


def _level(state: Stock, at: StockLevel) -> Level:
    """The counters as told; available above its reorder point arms it again."""
    reorder = state.at(at.location).reorder
    if reorder is not None and at.on_hand - at.held - at.allocated > reorder.point:
        reorder = replace(reorder, is_breached=False)
    return Level(on_hand=at.on_hand, held=at.held, allocated=at.allocated, reorder=reorder)
