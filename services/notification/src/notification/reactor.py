"""Which facts a customer is told of, with which template, through which channels."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from notification.decider import Tell
from waybill_events import capture, fulfillment, payment
from waybill_events.envelope import Recorded
from waybill_events.event import Allocation, Event, LineQuantity
from waybill_events.identity import part, suffix
from waybill_events.notification import NotificationDecided

Channels = Mapping[str, Sequence[str]]
"""Channels by template."""

CHANNELS: Channels = {
    "confirmed": ("email",),
    "rejected": ("email",),
    "expired": ("email",),
    "cancelled": ("email",),
    "changed": ("email",),
    "shipped": ("email", "sms"),
    "delivered": ("email",),
    "refunded": ("email",),
}

_TEMPLATES: Mapping[type[Event], str] = {
    capture.OrderConfirmed: "confirmed",
    capture.OrderRejected: "rejected",
    capture.OrderExpired: "expired",
    capture.OrderCancelled: "cancelled",
    capture.OrderLinesCancelled: "changed",
    fulfillment.ShipmentDispatched: "shipped",
    fulfillment.ShipmentDelivered: "delivered",
    payment.PaymentRefunded: "refunded",
}

HANDLES = frozenset({*(model.TYPE for model in _TEMPLATES), capture.RecipientErased.TYPE})


def react(
    recorded: Recorded, event: Event, channels: Channels = CHANNELS
) -> Sequence[tuple[str, Tell]]:
    """The messages that an event makes due: their dedupe keys, and what to tell."""
    template = _TEMPLATES.get(type(event))
    if template is None:
        return []
    return [
        (decision.dedupe_key, Tell(decision=decision, origin=recorded.origin))
        for channel in channels.get(template, ())
        for decision in [_decision(recorded, event, template, channel)]
    ]


def _decision(recorded: Recorded, event: Event, template: str, channel: str) -> NotificationDecided:
    subject = _subject(recorded, event)
    order = suffix(recorded.key)
    return NotificationDecided(
        message_id=f"msg_{order}-{template}{subject}-{channel}",
        order_id=recorded.key,
        recipient_ref=f"rcp_{order}",
        template=template,
        channel=channel,
        dedupe_key=f"{recorded.key}:{template}{subject}:{channel}",
        source_event_id=recorded.event_id,
        details=_details(event),
    )


def _subject(recorded: Recorded, event: Event) -> str:
    """What sets two messages of one template and order apart."""
    match event:
        case fulfillment.ShipmentDispatched() | fulfillment.ShipmentDelivered():
            return "-" + part(event.shipment_id)
        case payment.PaymentRefunded():
            return "-" + event.refund_id
        case capture.OrderLinesCancelled():
            return f"-{recorded.version}"
        case _:
            return ""


def _details(event: Event) -> Mapping[str, str]:
    """What the template needs of the event itself; nothing personal."""
    match event:
        case fulfillment.ShipmentDispatched():
            numbers = ", ".join(package.tracking_number for package in event.packages)
            return {"carrier": event.carrier, "tracking_numbers": numbers}
        case payment.PaymentRefunded():
            return {"amount_minor": str(event.amount_minor), "currency": event.currency}
        case capture.OrderConfirmed():
            total = {"amount_minor": str(event.authorized_minor), "currency": event.currency}
            return {**total, **_units(event.allocations)}
        case capture.OrderLinesCancelled():
            return {"reason": event.reason, **_units(event.lines)}
        case capture.OrderRejected() | capture.OrderExpired() | capture.OrderCancelled():
            return {"reason": event.reason}
        case _:
            return {}


def _units(of: Iterable[LineQuantity | Allocation]) -> Mapping[str, str]:
    """Units by line: what an order was confirmed with may be less than was ordered."""
    sums: Counter[str] = Counter()
    for one in of:
        sums[one.line_id] += one.quantity
    return {line_id: str(quantity) for line_id, quantity in sums.items()}
