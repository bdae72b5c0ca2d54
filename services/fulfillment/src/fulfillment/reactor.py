"""What others' facts mean for an order's fulfillment."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from fulfillment.decider import commands
from waybill_events import capture, inventory
from waybill_events.event import Allocation, Event
from waybill_events.fulfillment import FulfillmentLine

HANDLES = frozenset(
    model.TYPE
    for model in (
        capture.OrderConfirmed,
        capture.OrderCancellationRequested,
        capture.OrderCancelled,
        inventory.ReservationResourced,
    )
)
"""The types that change an order's fulfillment."""


def react(
    event: Event, *, event_id: str, accept_by: datetime
) -> Sequence[tuple[str, commands.Command]]:
    """The order that an event concerns, and the command it means for its fulfillment.

    `accept_by` is when the location of a fulfillment order opened now should have answered.
    """
    match event:
        case capture.OrderConfirmed():
            return [(event.order_id, _open(event, accept_by))]
        case inventory.ReservationResourced():
            elsewhere = commands.OpenElsewhere(
                rejected=event.fulfillment_order_id,
                allocations=event.allocations,
                accept_by=accept_by,
            )
            return [(event.order_id, elsewhere)]
        case capture.OrderCancellationRequested(order_id=order_id, reason=reason):
            rest = commands.CancelRest(request_id=event_id, reason=reason, is_final=False)
            return [(order_id, rest)]
        case capture.OrderCancelled(order_id=order_id, reason=reason):
            rest = commands.CancelRest(request_id=event_id, reason=reason, is_final=True)
            return [(order_id, rest)]
        case _:
            return []


def _open(event: capture.OrderConfirmed, accept_by: datetime) -> commands.OpenOrder:
    return commands.OpenOrder(
        order_id=event.order_id,
        recipient_ref=event.recipient_ref,
        shipping_option=event.shipping.option,
        parts=_parts(event),
        accept_by=accept_by,
    )


def _parts(event: capture.OrderConfirmed) -> Mapping[str, tuple[FulfillmentLine, ...]]:
    """The lines of each location, in the order of the order's lines."""
    place = {line.line_id: number for number, line in enumerate(event.lines)}
    names = {line.line_id: line.name for line in event.lines}
    units: dict[str, dict[str, Allocation]] = {}
    for part in event.allocations:
        lines = units.setdefault(part.location, {})
        before = lines[part.line_id].quantity if part.line_id in lines else 0
        lines[part.line_id] = part.model_copy(update={"quantity": before + part.quantity})
    return {
        location: tuple(
            FulfillmentLine(
                line_id=part.line_id,
                sku=part.sku,
                name=names.get(part.line_id, part.sku),
                quantity=part.quantity,
            )
            for part in sorted(lines.values(), key=lambda part: place.get(part.line_id, 0))
        )
        for location, lines in units.items()
    }
