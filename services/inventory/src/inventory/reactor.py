"""What orders and warehouses say, as commands for the order's reservation.

OrderLinesCancelled needs nothing here, for each of its reasons has freed its units already:
`out_of_stock` names units that were never held; `warehouse_rejected` those that
ReservationResourced gave back; `short_pick` is our own answer to ShortPicked; what a warehouse
cancelled came as FulfillmentCancelled.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inventory.decider import commands
from waybill_events import capture, fulfillment, inventory
from waybill_events.event import Event, LineQuantity


def _hold(event: capture.OrderPlaced) -> commands.Hold:
    lines = tuple(
        LineQuantity(line_id=line.line_id, sku=line.sku, quantity=line.quantity)
        for line in event.lines
    )
    return commands.Hold(
        order_id=event.order_id,
        lines=lines,
        allow_partial=event.allow_partial,
        order_expires_at=event.expires_at,
    )


def _ended(
    event: capture.OrderRejected | capture.OrderExpired | capture.OrderCancelled,
) -> commands.Release:
    return commands.Release(reason=event.reason)


_COMMANDS: Mapping[type[Event], Callable[[Any], commands.Command]] = {
    capture.OrderPlaced: _hold,
    capture.OrderConfirmed: lambda _: commands.Confirm(),
    capture.OrderRejected: _ended,
    capture.OrderExpired: _ended,
    capture.OrderCancelled: _ended,
    fulfillment.ShipmentDispatched: lambda e: commands.Consume(
        shipment_id=e.shipment_id, location=e.location, lines=e.lines
    ),
    fulfillment.FulfillmentRejected: lambda e: commands.Resource(
        fulfillment_order_id=e.fulfillment_order_id, location=e.location, lines=e.lines
    ),
    fulfillment.ShortPicked: lambda e: commands.GiveUp(
        fulfillment_order_id=e.fulfillment_order_id,
        location=e.location,
        reason=inventory.SHORT_PICK,
        lines=e.missing,
    ),
    fulfillment.FulfillmentCancelled: lambda e: commands.GiveUp(
        fulfillment_order_id=e.fulfillment_order_id,
        location=e.location,
        reason=inventory.FULFILLMENT_CANCELLED,
        lines=e.lines,
    ),
}


HANDLES = frozenset(model.TYPE for model in _COMMANDS)
"""The types that move stock."""


def react(event: Event) -> Sequence[tuple[str, commands.Command]]:
    """The order that an event concerns, and the command it means for its reservation."""
    command = _COMMANDS.get(type(event))
    return [] if command is None else [(event.order_id, command(event))]  # type: ignore[attr-defined]  # each of these names its order
