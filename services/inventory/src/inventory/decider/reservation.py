"""What a reservation does with a command: requested → held → confirmed → consumed, or given back.

A hold has a deadline, decided by comparison with the time on the command. Confirmed in time or
not, an order gets exactly the units it was told of, or is told that they are gone.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import assert_never

from inventory.decider import sourcing
from inventory.decider.commands import (
    Confirm,
    Considered,
    Consume,
    Expire,
    Fulfillment,
    GiveUp,
    Hold,
    Release,
    Resource,
)
from inventory.decider.holding import (
    Allocated,
    Ended,
    Held,
    Lost,
    Nothing,
    State,
    Units,
    capped,
    evolve,
    mark_of,
    plus,
)
from inventory.decider.sourcing import Shelf, Sourced
from waybill_events.event import Allocation, LineQuantity
from waybill_events.identity import suffix
from waybill_events.inventory import (
    Exclusion,
    ReservationConfirmed,
    ReservationConsumed,
    ReservationEvent,
    ReservationExpired,
    ReservationReleased,
    ReservationResourced,
    StockReservationRejected,
    StockReserved,
)


class ShippedUnheld(Exception):
    """Units left the building that the books have not got for this order. A person must look."""


def decide(considered: Considered, state: State) -> Sequence[ReservationEvent]:
    """What a command means for a reservation. The same command again adds nothing.

    Raises:
        ShippedUnheld: a shipment of units that are neither the order's nor available.
    """
    command, shelf, now = considered.command, considered.shelf, considered.now
    match command:
        case Hold():
            return _hold(considered, command) if isinstance(state, Nothing) else []
        case Confirm():
            return _confirm(state, shelf, now)
        case Release(reason=reason):
            if isinstance(state, Held | Allocated):
                return [_released(state, reason, state.units)]
            return []
        case Expire():
            if isinstance(state, Held) and now >= state.expires_at:
                return [
                    ReservationExpired(
                        reservation_id=state.reservation_id,
                        order_id=state.order_id,
                        released=state.units,
                    )
                ]
            return []
        case Consume() | Resource() | GiveUp():
            return _fulfill(command, state, shelf, now)
        case _:
            assert_never(command)


def skus(considered: Considered, state: State) -> Collection[str]:
    """The SKUs that deciding this may move or look at."""
    found: set[str] = set()
    if isinstance(considered.command, Hold | Consume | Resource | GiveUp):
        found |= {line.sku for line in considered.command.lines}
    if isinstance(state, Held | Lost | Allocated):
        found |= {unit.sku for unit in state.units}
    return found


def _hold(considered: Considered, command: Hold) -> Sequence[ReservationEvent]:
    sourced = sourcing.source(command.lines, considered.shelf)
    reservation_id = f"res_{suffix(command.order_id)}"
    if sourced.shortages and not (command.allow_partial and sourced.allocations):
        return [_rejected(command.order_id, reservation_id, sourced)]
    return [
        StockReserved(
            reservation_id=reservation_id,
            order_id=command.order_id,
            allocations=sourced.allocations,
            shortages=sourced.shortages,
            expires_at=command.order_expires_at + considered.hold_grace,
            sourcing=sourced.decision,
        )
    ]


def _rejected(order_id: str, reservation_id: str, sourced: Sourced) -> StockReservationRejected:
    return StockReservationRejected(
        reservation_id=reservation_id,
        order_id=order_id,
        shortages=sourced.shortages,
        sourcing=sourced.decision.model_copy(update={"chosen": ()}),
    )


def _confirm(state: State, shelf: Shelf, now: datetime) -> Sequence[ReservationEvent]:
    """Confirm what is held; what expired is taken again where it was, or given up for good."""
    match state:
        case Held():
            return [_confirmed(state, state.units)]
        case Lost():
            sourced = sourcing.same_again(state.units, shelf)
            if sourced.shortages:
                return [_rejected(state.order_id, state.reservation_id, sourced)]
            return _take_again(state, sourced, now)
        case _:
            return []


def _take_again(state: Lost | Ended, sourced: Sourced, now: datetime) -> Sequence[ReservationEvent]:
    """Reserved and confirmed at once: the deadline between the two binds nobody."""
    reserved = StockReserved(
        reservation_id=state.reservation_id,
        order_id=state.order_id,
        allocations=sourced.allocations,
        shortages=(),
        expires_at=now,
        sourcing=sourced.decision,
    )
    return [reserved, _confirmed(state, sourced.allocations)]


def _confirmed(state: Held | Lost | Ended, units: Units) -> ReservationConfirmed:
    return ReservationConfirmed(
        reservation_id=state.reservation_id, order_id=state.order_id, allocations=units
    )


def _released(
    state: Held | Allocated, reason: str, units: Units, fulfillment_order_id: str | None = None
) -> ReservationReleased:
    return ReservationReleased(
        reservation_id=state.reservation_id,
        order_id=state.order_id,
        reason=reason,
        released=units,
        fulfillment_order_id=fulfillment_order_id,
    )


def _fulfill(
    command: Fulfillment, state: State, shelf: Shelf, now: datetime
) -> Sequence[ReservationEvent]:
    """A warehouse speaks of confirmed orders only, so what is held yet is confirmed first."""
    if not isinstance(state, Nothing) and _mark(command) in state.told:
        return []
    events: list[ReservationEvent] = list(_confirm(state, shelf, now))
    for event in events:
        state = evolve(state, event)
        if isinstance(event, StockReserved):
            shelf = shelf.less(event.allocations)
    match command:
        case Consume():
            return [*events, *_consume(command, state, shelf, now)]
        case Resource():
            return [*events, *_resource(command, state, shelf)]
        case GiveUp():
            return [*events, *_give_up(command, state)]
        case _:
            assert_never(command)


def _mark(command: Fulfillment) -> str:
    match command:
        case Consume():
            return command.shipment_id
        case Resource():
            return mark_of("refused", command.fulfillment_order_id)
        case GiveUp():
            return mark_of(command.reason, command.fulfillment_order_id)
        case _:
            assert_never(command)


def _consume(
    command: Consume, state: State, shelf: Shelf, now: datetime
) -> Sequence[ReservationEvent]:
    """The goods are gone, so the books must follow: from the order's units, or from free ones."""
    match state:
        case Allocated():
            units = capped(state.units, command.location, command.lines)
            if _count(units) < _count(command.lines):
                raise ShippedUnheld(_unheld(command, f"only {_count(units)} are allocated there"))
            return [_consumed(state, command.shipment_id, units)]
        case Ended():
            parts = _parts(command)
            sourced = sourcing.same_again(parts, shelf)
            if sourced.shortages:
                raise ShippedUnheld(_unheld(command, "its reservation has ended"))
            return [*_take_again(state, sourced, now), _consumed(state, command.shipment_id, parts)]
        case _:
            raise ShippedUnheld(_unheld(command, "nothing was ever reserved"))


def _parts(command: Consume) -> Units:
    return plus(
        (),
        [
            Allocation(
                line_id=line.line_id,
                sku=line.sku,
                location=command.location,
                quantity=line.quantity,
            )
            for line in command.lines
        ],
    )


def _consumed(state: Allocated | Ended, shipment_id: str, units: Units) -> ReservationConsumed:
    return ReservationConsumed(
        reservation_id=state.reservation_id,
        order_id=state.order_id,
        shipment_id=shipment_id,
        consumed=units,
    )


def _count(parts: Sequence[Allocation] | Sequence[LineQuantity]) -> int:
    return sum(part.quantity for part in parts)


def _unheld(command: Consume, why: str) -> str:
    return (
        f"{command.shipment_id} took {_count(command.lines)} units from {command.location}, but "
        f"{why}. Book them in by an adjustment, retry, then count that shelf."
    )


def _resource(command: Resource, state: State, shelf: Shelf) -> Sequence[ReservationEvent]:
    """Who refuses units of the order is answered: elsewhere, or, once all has ended, nowhere.

    The order waits for that, and so does a cancellation of it.
    """
    match state:
        case Allocated():
            units = capped(state.units, command.location, command.lines)
            if not units:
                return []
            wanted = [
                LineQuantity(line_id=u.line_id, sku=u.sku, quantity=u.quantity) for u in units
            ]
            places = sorted(state.refused | {command.location})
            refused: Mapping[str, Exclusion] = dict.fromkeys(places, "refused")
            sourced = sourcing.source(wanted, shelf, refused)
            return [_resourced(command, state, sourced)]
        case Ended():
            nowhere = sourcing.source(command.lines, Shelf({}), {command.location: "refused"})
            return [_resourced(command, state, nowhere)]
        case _:
            return []


def _resourced(
    command: Resource, state: Allocated | Ended, sourced: Sourced
) -> ReservationResourced:
    return ReservationResourced(
        reservation_id=state.reservation_id,
        order_id=state.order_id,
        from_location=command.location,
        fulfillment_order_id=command.fulfillment_order_id,
        allocations=sourced.allocations,
        shortages=sourced.shortages,
        sourcing=sourced.decision,
    )


def _give_up(command: GiveUp, state: State) -> Sequence[ReservationEvent]:
    """After the reservation has ended its units are others'; the next count finds what is gone."""
    if not isinstance(state, Allocated):
        return []
    units = capped(state.units, command.location, command.lines)
    if not units:
        return []
    return [_released(state, command.reason, units, command.fulfillment_order_id)]
