"""Every event type there is: who says it, on which topic, and who listens.

The one list behind the codec, the schemas, the AsyncAPI document and the compatibility checks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from waybill_events import capture, fulfillment, inventory, notification, payment
from waybill_events.event import Event

TOPICS: Mapping[str, str] = {
    "orders": "capture",
    "inventory": "inventory",
    "stock": "inventory",
    "payments": "payment",
    "fulfillment": "fulfillment",
    "notifications": "notification",
}
"""Each topic and the only service that writes to it."""

SUBSCRIPTIONS: Mapping[str, tuple[str, ...]] = {
    "capture": ("payments", "inventory", "fulfillment", "orders"),
    "inventory": ("orders", "fulfillment"),
    "payment": ("orders", "fulfillment"),
    "fulfillment": ("orders", "inventory", "fulfillment"),
    "notification": ("orders", "payments", "fulfillment", "notifications"),
    "tracking": ("orders", "inventory", "payments", "fulfillment", "notifications"),
}
"""The topics each service reads. Its own ones feed its list views and the warehouse feed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event type: its model, its topic, and the other services that act on it or list it.

    Whoever says it knows it, and is not named: own topics feed list views and the warehouse feed.
    `tracking` shows every event of an order in its timeline and is named nowhere.
    """

    model: type[Event]
    topic: str
    consumers: tuple[str, ...] = ()

    @property
    def producer(self) -> str:
        return TOPICS[self.topic]


_ENTRIES = (
    Entry(capture.OrderPlaced, "orders", ("inventory", "payment", "notification")),
    Entry(capture.OrderReserved, "orders", ("payment",)),
    Entry(capture.OrderConfirmed, "orders", ("inventory", "fulfillment", "notification")),
    Entry(capture.OrderRejected, "orders", ("inventory", "payment", "notification")),
    Entry(capture.OrderExpired, "orders", ("inventory", "payment", "notification")),
    Entry(capture.OrderCancellationRequested, "orders", ("fulfillment",)),
    Entry(capture.OrderCancellationRefused, "orders"),
    Entry(capture.OrderLinesCancelled, "orders", ("payment", "notification")),
    Entry(
        capture.OrderCancelled, "orders", ("inventory", "payment", "fulfillment", "notification")
    ),
    Entry(capture.OrderPaymentRecorded, "orders"),
    Entry(capture.OrderFulfillmentRecorded, "orders"),
    Entry(capture.OrderCompleted, "orders"),
    Entry(capture.RecipientErased, "orders", ("fulfillment", "notification")),
    Entry(inventory.StockReserved, "inventory", ("capture",)),
    Entry(inventory.StockReservationRejected, "inventory", ("capture",)),
    Entry(inventory.ReservationConfirmed, "inventory"),
    Entry(inventory.ReservationExpired, "inventory", ("capture",)),
    Entry(inventory.ReservationReleased, "inventory"),
    Entry(inventory.ReservationResourced, "inventory", ("capture", "fulfillment")),
    Entry(inventory.ReservationConsumed, "inventory"),
    Entry(inventory.StockReceived, "stock"),
    Entry(inventory.StockAdjusted, "stock"),
    Entry(inventory.StockCounted, "stock"),
    Entry(inventory.StockHeld, "stock"),
    Entry(inventory.StockAllocated, "stock"),
    Entry(inventory.StockReleased, "stock"),
    Entry(inventory.StockConsumed, "stock"),
    Entry(inventory.ReorderPointSet, "stock"),
    Entry(inventory.ReorderSuggested, "stock"),
    Entry(payment.PaymentInitiated, "payments"),
    Entry(payment.PaymentDueReduced, "payments"),
    Entry(payment.PaymentStopped, "payments"),
    Entry(payment.AuthorizationRequested, "payments"),
    Entry(payment.PaymentAuthorized, "payments", ("capture",)),
    Entry(payment.PaymentDeclined, "payments", ("capture",)),
    Entry(payment.PaymentOutcomeUnknown, "payments"),
    Entry(payment.AuthorizationExpired, "payments"),
    Entry(payment.CaptureDue, "payments"),
    Entry(payment.CaptureRequested, "payments"),
    Entry(payment.PaymentCaptured, "payments", ("capture",)),
    Entry(payment.CaptureFailed, "payments", ("capture",)),
    Entry(payment.VoidRequested, "payments"),
    Entry(payment.PaymentVoided, "payments", ("capture",)),
    Entry(payment.PaymentAbandoned, "payments", ("capture",)),
    Entry(payment.RefundRequested, "payments"),
    Entry(payment.PaymentRefunded, "payments", ("capture", "notification")),
    Entry(payment.RefundFailed, "payments"),
    Entry(fulfillment.FulfillmentOrderCreated, "fulfillment"),
    Entry(fulfillment.FulfillmentAccepted, "fulfillment"),
    Entry(fulfillment.FulfillmentRejected, "fulfillment", ("inventory",)),
    Entry(fulfillment.ItemsPicked, "fulfillment"),
    Entry(fulfillment.ShortPicked, "fulfillment", ("capture", "inventory")),
    Entry(fulfillment.PackagesPacked, "fulfillment"),
    Entry(fulfillment.LabelRequested, "fulfillment"),
    Entry(fulfillment.LabelFailed, "fulfillment"),
    Entry(
        fulfillment.ShipmentDispatched,
        "fulfillment",
        ("capture", "inventory", "payment", "notification"),
    ),
    Entry(fulfillment.TrackingUpdated, "fulfillment"),
    Entry(fulfillment.ShipmentDelivered, "fulfillment", ("capture", "notification")),
    Entry(fulfillment.FulfillmentCancellationRequested, "fulfillment"),
    Entry(fulfillment.FulfillmentCancelled, "fulfillment", ("capture", "inventory")),
    Entry(fulfillment.FulfillmentCancellationRefused, "fulfillment", ("capture",)),
    Entry(fulfillment.DeadlineMissed, "fulfillment"),
    Entry(notification.NotificationDecided, "notifications"),
    Entry(notification.NotificationSent, "notifications"),
    Entry(notification.NotificationFailed, "notifications"),
    Entry(notification.NotificationSuppressed, "notifications"),
    Entry(notification.ContactPreferenceChanged, "notifications"),
)

CATALOGUE: Mapping[str, Entry] = {entry.model.TYPE: entry for entry in _ENTRIES}
"""Entry by type string, in the order of an order's life."""
