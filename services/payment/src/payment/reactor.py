"""What others' facts mean for a payment. Facts of orders come in order; shipments as they come."""

from collections.abc import Sequence

from payment.decider import commands
from waybill_events import capture, fulfillment
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_events.identity import suffix
from waybill_events.payment import PaymentInitiated, PricedLine

HANDLES = frozenset(
    model.TYPE
    for model in (
        capture.OrderPlaced,
        capture.OrderReserved,
        capture.OrderLinesCancelled,
        capture.OrderRejected,
        capture.OrderExpired,
        capture.OrderCancelled,
        fulfillment.ShipmentDispatched,
    )
)
"""The types that change a payment."""


def react(recorded: Recorded, event: Event) -> Sequence[tuple[str, commands.Command]]:
    """The order whose payment an event concerns, and the command it means for it."""
    match event:
        case capture.OrderPlaced():
            return [(event.order_id, commands.Initiate(payment=_initiated(event)))]
        case capture.OrderReserved():
            return [(event.order_id, commands.Authorize())]
        case capture.OrderLinesCancelled():
            cancel = commands.CancelLines(order_version=recorded.version, lines=event.lines)
            return [(event.order_id, cancel)]
        case (
            capture.OrderRejected(reason=reason)
            | capture.OrderExpired(reason=reason)
            | capture.OrderCancelled(reason=reason)
        ):
            return [(event.order_id, commands.Stop(reason=reason))]
        case fulfillment.ShipmentDispatched():
            ship = commands.CaptureShipment(shipment_id=event.shipment_id, lines=event.lines)
            return [(event.order_id, ship)]
        case _:
            return []


def _initiated(order: capture.OrderPlaced) -> PaymentInitiated:
    return PaymentInitiated(
        payment_id=f"pay_{suffix(order.order_id)}",
        order_id=order.order_id,
        amount_minor=order.total_minor,
        currency=order.currency,
        method=order.payment.method,
        token=order.payment.token,
        lines=tuple(
            PricedLine(
                line_id=line.line_id,
                quantity=line.quantity,
                unit_price_minor=line.unit_price_minor,
            )
            for line in order.lines
        ),
        shipping_minor=order.shipping.price_minor,
    )
