"""What others' facts mean for an order, and which of its own facts settle its deadline."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from capture.decider import commands
from waybill_events import capture, fulfillment, inventory, payment
from waybill_events.event import Event, LineQuantity


def _missing(event: inventory.ReservationResourced) -> commands.NoteWillNotShip:
    lines = tuple(
        LineQuantity(line_id=s.line_id, sku=s.sku, quantity=s.requested - s.available)
        for s in event.shortages
    )
    return commands.NoteWillNotShip(
        reason=capture.WAREHOUSE_REJECTED, source=event.fulfillment_order_id, lines=lines
    )


_COMMANDS: Mapping[type[Event], Callable[[Any], commands.Command]] = {
    inventory.StockReserved: lambda e: commands.NoteReserved(
        reservation_id=e.reservation_id, allocations=e.allocations, shortages=e.shortages
    ),
    inventory.StockReservationRejected: lambda e: commands.NoteNotReserved(shortages=e.shortages),
    inventory.ReservationExpired: lambda _: commands.NoteHoldExpired(),
    inventory.ReservationResourced: _missing,
    payment.PaymentAuthorized: lambda e: commands.NoteAuthorized(
        payment_id=e.payment_id, amount_minor=e.amount_minor
    ),
    payment.PaymentDeclined: lambda e: commands.NoteDeclined(payment_id=e.payment_id, code=e.code),
    payment.PaymentCaptured: lambda e: commands.NoteMoney(
        payment_id=e.payment_id, status="captured", captured_minor=e.captured_minor
    ),
    payment.CaptureFailed: lambda e: commands.NoteMoney(payment_id=e.payment_id, status="failed"),
    payment.PaymentVoided: lambda e: commands.NoteMoney(payment_id=e.payment_id, status="voided"),
    payment.PaymentAbandoned: lambda e: commands.NoteMoney(
        payment_id=e.payment_id, status="abandoned"
    ),
    payment.PaymentRefunded: lambda e: commands.NoteMoney(
        payment_id=e.payment_id, status="refunded", refunded_minor=e.refunded_minor
    ),
    fulfillment.ShortPicked: lambda e: commands.NoteWillNotShip(
        reason=capture.SHORT_PICK, source=f"{e.fulfillment_order_id}:short", lines=e.missing
    ),
    fulfillment.ShipmentDispatched: lambda e: commands.NoteShipped(
        shipment_id=e.shipment_id, lines=e.lines
    ),
    fulfillment.ShipmentDelivered: lambda e: commands.NoteDelivered(
        shipment_id=e.shipment_id, lines=e.lines
    ),
    fulfillment.FulfillmentCancelled: lambda e: commands.NoteWillNotShip(
        reason=capture.GivenReason(e.reason), source=e.fulfillment_order_id, lines=e.lines
    ),
    fulfillment.FulfillmentCancellationRefused: lambda _: commands.NoteTooLateToCancel(),
}

HANDLES = frozenset(model.TYPE for model in _COMMANDS)
"""The types that change an order."""


def react(event: Event) -> Sequence[tuple[str, commands.Command]]:
    """The order that an event concerns, and the command it means for it."""
    if isinstance(event, payment.CaptureFailed) and event.retryable:
        return []  # payment asks again by itself
    command = _COMMANDS.get(type(event))
    return [] if command is None else [(event.order_id, command(event))]  # type: ignore[attr-defined]  # each of these names its order
