"""What a reservation's history amounts to, and the stock movements each of its facts means."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeAlias, assert_never

from inventory.decider.stock import Kind
from waybill_events.event import Allocation, Event, LineQuantity
from waybill_events.inventory import (
    SHORT_PICK,
    ReservationConfirmed,
    ReservationConsumed,
    ReservationEvent,
    ReservationExpired,
    ReservationReleased,
    ReservationResourced,
    StockMove,
    StockReservationRejected,
    StockReserved,
)

Units: TypeAlias = tuple[Allocation, ...]
"""At most one entry for each line and location."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing was asked of us yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    order_id: str
    reservation_id: str
    units: Units
    expires_at: datetime
    told: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The hold expired; these it was. A late confirmation may find them still there."""

    order_id: str
    reservation_id: str
    units: Units
    expires_at: datetime
    told: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocated:
    """`refused`: locations that will not ship it; `told`: what warehouses said already."""

    order_id: str
    reservation_id: str
    units: Units
    refused: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Nothing is held or allocated any more: rejected, released or consumed."""

    order_id: str
    reservation_id: str
    told: frozenset[str] = frozenset()


State: TypeAlias = Nothing | Held | Lost | Allocated | Ended

INITIAL: State = Nothing()


def evolve(state: State, event: ReservationEvent) -> State:
    """The state after an event. Never refuses: what makes no sense changes nothing."""
    told = frozenset[str]() if isinstance(state, Nothing) else state.told
    match event:
        case StockReserved():
            return Held(
                order_id=event.order_id,
                reservation_id=event.reservation_id,
                units=event.allocations,
                expires_at=event.expires_at,
                told=told,
            )
        case StockReservationRejected():
            return Ended(order_id=event.order_id, reservation_id=event.reservation_id, told=told)
    match state:
        case Held():
            return _evolve_held(state, event)
        case Allocated():
            return _evolve_allocated(state, event)
        case Ended() if isinstance(event, ReservationResourced):
            return replace(state, told=state.told | {_refusal(event)})
        case Nothing() | Lost() | Ended():
            return state
        case _:
            assert_never(state)


_Later: TypeAlias = (
    ReservationConfirmed
    | ReservationExpired
    | ReservationReleased
    | ReservationResourced
    | ReservationConsumed
)
"""What is said of units that were found before."""


def _evolve_held(state: Held, event: _Later) -> State:
    match event:
        case ReservationConfirmed():
            return Allocated(
                order_id=state.order_id,
                reservation_id=state.reservation_id,
                units=state.units,
                told=state.told,
            )
        case ReservationExpired():
            return Lost(
                order_id=state.order_id,
                reservation_id=state.reservation_id,
                units=state.units,
                expires_at=state.expires_at,
                told=state.told,
            )
        case ReservationReleased():
            return _unless_empty(replace(state, units=less(state.units, event.released)))
        case ReservationResourced() | ReservationConsumed():
            return state
        case _:
            assert_never(event)


def _evolve_allocated(state: Allocated, event: _Later) -> State:
    match event:
        case ReservationConsumed():
            after = replace(
                state,
                units=less(state.units, event.consumed),
                told=state.told | {event.shipment_id},
            )
        case ReservationReleased():
            mark = mark_of(event.reason, event.fulfillment_order_id or "")
            after = replace(
                state, units=less(state.units, event.released), told=state.told | {mark}
            )
        case ReservationResourced():
            kept = less(state.units, refused_units(event))
            after = replace(
                state,
                units=plus(kept, event.allocations),
                refused=state.refused | {event.from_location},
                told=state.told | {_refusal(event)},
            )
        case ReservationConfirmed() | ReservationExpired():
            return state
        case _:
            assert_never(event)
    return _unless_empty(after)


def _unless_empty(state: Held | Allocated) -> State:
    if state.units:
        return state
    return Ended(order_id=state.order_id, reservation_id=state.reservation_id, told=state.told)


def _refusal(event: ReservationResourced) -> str:
    return mark_of("refused", event.fulfillment_order_id)


def mark_of(what: str, fulfillment_order_id: str) -> str:
    """How it is remembered that a warehouse said this of a fulfillment order."""
    return f"{what}:{fulfillment_order_id}"


def less(units: Units, parts: Iterable[Allocation]) -> Units:
    gone = {(part.line_id, part.location): part.quantity for part in parts}
    left = ((unit, unit.quantity - gone.get((unit.line_id, unit.location), 0)) for unit in units)
    return tuple(unit.model_copy(update={"quantity": n}) for unit, n in left if n > 0)


def plus(units: Units, parts: Iterable[Allocation]) -> Units:
    found = {(unit.line_id, unit.location): unit for unit in units}
    for part in parts:
        place = (part.line_id, part.location)
        there = found[place].quantity if place in found else 0
        found[place] = part.model_copy(update={"quantity": there + part.quantity})
    return tuple(found.values())


def capped(units: Units, location: str, lines: Iterable[LineQuantity]) -> Units:
    """Of these lines at this location, what the reservation really has there."""
    asked: dict[str, int] = {}
    for line in lines:
        asked[line.line_id] = asked.get(line.line_id, 0) + line.quantity
    return tuple(
        unit.model_copy(update={"quantity": min(unit.quantity, asked[unit.line_id])})
        for unit in units
        if unit.location == location and asked.get(unit.line_id)
    )


def refused_units(event: ReservationResourced) -> Units:
    """What the refusing location had: what was found elsewhere, and what was not."""
    found: dict[tuple[str, str], int] = {}
    for part in event.allocations:
        found[part.line_id, part.sku] = found.get((part.line_id, part.sku), 0) + part.quantity
    found |= {(short.line_id, short.sku): short.requested for short in event.shortages}
    return tuple(
        Allocation(line_id=line, sku=sku, location=event.from_location, quantity=quantity)
        for (line, sku), quantity in found.items()
    )


MovementKind: TypeAlias = Kind | Literal["write_off"]
"""A write-off takes units off the books: nobody has them."""


@dataclass(frozen=True, slots=True)
class Movement:
    """Units of one SKU on their way."""

    sku: str
    kind: MovementKind
    move: StockMove


def movements(state: State, event: Event) -> Sequence[Movement]:
    """What a reservation's fact does to stock, given the state it came upon."""
    if isinstance(state, Nothing | Ended | Lost) and not isinstance(event, StockReserved):
        return ()
    match event:
        case StockReserved():
            return _moved("hold", event.reservation_id, event.allocations)
        case ReservationConfirmed():
            return _moved("allocate", event.reservation_id, event.allocations)
        case ReservationExpired():
            return _moved("release_held", event.reservation_id, event.released)
        case ReservationReleased(released=released, reservation_id=id_):
            kind: Kind = "release_held" if isinstance(state, Held) else "release_allocated"
            back = _moved(kind, id_, released)
            return (
                [*back, *_moved("write_off", id_, released)] if event.reason == SHORT_PICK else back
            )
        case ReservationResourced(reservation_id=id_):
            return [
                *_moved("release_allocated", id_, refused_units(event)),
                *_moved("hold", id_, event.allocations),
                *_moved("allocate", id_, event.allocations),
            ]
        case ReservationConsumed():
            return _moved("consume", event.reservation_id, event.consumed)
        case _:
            return ()


def _moved(kind: MovementKind, reservation_id: str, parts: Units) -> Sequence[Movement]:
    return [
        Movement(
            part.sku,
            kind,
            StockMove(
                reservation_id=reservation_id,
                line_id=part.line_id,
                location=part.location,
                quantity=part.quantity,
            ),
        )
        for part in parts
    ]
