"""What fulfillment says: the warehouse handshake and the parcels.

Topic `fulfillment`, keyed by order.
"""

from typing import ClassVar, Literal, TypeAlias

from waybill_events.event import (
    Event,
    Id,
    LineQuantity,
    Moment,
    Quantity,
    Shape,
    Sku,
    Text,
)

# What we say today. The wire stays open: see waybill_events.capture.

TooLate = Literal["dispatched", "label_requested"]
"""Why a fulfillment order cannot be cancelled any more."""
Waiting = Literal["requested", "accepted", "picked", "packed", "shipped"]
"""The states that have a deadline."""
Owner = Literal["warehouse", "carrier"]
"""Who is waited for."""


class FulfillmentLine(Shape):
    line_id: Id
    sku: Sku
    name: Text
    quantity: Quantity


class FulfillmentOrderCreated(Event):
    """A location is asked to ship these lines."""

    TYPE: ClassVar[str] = "fulfillment.fulfillment_order_created.v1"
    fulfillment_order_id: Id
    order_id: Id
    location: Id
    lines: tuple[FulfillmentLine, ...]
    shipping_option: Id
    recipient_ref: Id
    accept_by: Moment
    replaces: Id | None = None
    """The rejected fulfillment order whose units these are."""


class FulfillmentAccepted(Event):
    TYPE: ClassVar[str] = "fulfillment.fulfillment_accepted.v1"
    fulfillment_order_id: Id
    order_id: Id
    location: Id


class FulfillmentRejected(Event):
    """The location will not ship these; inventory looks for another one."""

    TYPE: ClassVar[str] = "fulfillment.fulfillment_rejected.v1"
    fulfillment_order_id: Id
    order_id: Id
    location: Id
    reason: Text
    lines: tuple[LineQuantity, ...]


class ItemsPicked(Event):
    TYPE: ClassVar[str] = "fulfillment.items_picked.v1"
    fulfillment_order_id: Id
    order_id: Id
    location: Id
    lines: tuple[LineQuantity, ...]


class ShortPicked(Event):
    """Units that should be there were not found; they will not ship."""

    TYPE: ClassVar[str] = "fulfillment.short_picked.v1"
    fulfillment_order_id: Id
    order_id: Id
    location: Id
    missing: tuple[LineQuantity, ...]


class Package(Shape):
    package_id: Id
    weight_g: Quantity
    lines: tuple[LineQuantity, ...]


class PackagesPacked(Event):
    TYPE: ClassVar[str] = "fulfillment.packages_packed.v1"
    fulfillment_order_id: Id
    order_id: Id
    location: Id
    packages: tuple[Package, ...]


class LabelRequested(Event):
    """The carrier is about to be asked for labels, under this key."""

    TYPE: ClassVar[str] = "fulfillment.label_requested.v1"
    fulfillment_order_id: Id
    order_id: Id
    shipment_id: Id
    service: Id
    idempotency_key: Id
    location: Id | None = None


class LabelFailed(Event):
    """The carrier refused; the packages stay where they are."""

    TYPE: ClassVar[str] = "fulfillment.label_failed.v1"
    fulfillment_order_id: Id
    order_id: Id
    shipment_id: Id
    reason: Text
    location: Id | None = None


class LabelledPackage(Shape):
    package_id: Id
    tracking_number: Id
    label_url: Text
    lines: tuple[LineQuantity, ...]


class ShipmentDispatched(Event):
    """The parcels left the building: the point of no return."""

    TYPE: ClassVar[str] = "fulfillment.shipment_dispatched.v1"
    fulfillment_order_id: Id
    order_id: Id
    shipment_id: Id
    location: Id
    carrier: Id
    service: Id
    packages: tuple[LabelledPackage, ...]
    lines: tuple[LineQuantity, ...]


TrackingStatus = Literal[
    "label_created",
    "picked_up",
    "in_transit",
    "out_for_delivery",
    "attempted",
    "available_for_pickup",
    "delayed",
    "delivered",
    "exception",
    "return_to_sender",
]


class TrackingUpdated(Event):
    """The carrier said where a parcel is; may come late and out of order by `happened_at`."""

    TYPE: ClassVar[str] = "fulfillment.tracking_updated.v1"
    order_id: Id
    shipment_id: Id
    tracking_number: Id
    status: TrackingStatus
    happened_at: Moment
    place: Text
    location: Id | None = None


class ShipmentDelivered(Event):
    """Every parcel of the shipment was delivered."""

    TYPE: ClassVar[str] = "fulfillment.shipment_delivered.v1"
    fulfillment_order_id: Id
    order_id: Id
    shipment_id: Id
    lines: tuple[LineQuantity, ...]
    delivered_at: Moment
    location: Id | None = None


class FulfillmentCancellationRequested(Event):
    """The order is to be cancelled: what is not dispatched ends, and nothing more is opened.

    `request_id` is the event that asked; `is_final` when the order itself has ended.
    """

    TYPE: ClassVar[str] = "fulfillment.fulfillment_cancellation_requested.v1"
    order_id: Id
    request_id: Id
    reason: Id
    is_final: bool


class FulfillmentCancelled(Event):
    """These units will not be shipped from this location."""

    TYPE: ClassVar[str] = "fulfillment.fulfillment_cancelled.v1"
    fulfillment_order_id: Id
    order_id: Id
    location: Id
    reason: Id
    lines: tuple[LineQuantity, ...]
    replaces: Id | None = None
    """The rejected fulfillment order whose units these are, where this one was never opened."""


class FulfillmentCancellationRefused(Event):
    """Too late: it is dispatched, or its label is being bought."""

    TYPE: ClassVar[str] = "fulfillment.fulfillment_cancellation_refused.v1"
    fulfillment_order_id: Id
    order_id: Id
    reason: Id
    location: Id | None = None


class DeadlineMissed(Event):
    """Somebody was expected to act by now and has not."""

    TYPE: ClassVar[str] = "fulfillment.deadline_missed.v1"
    fulfillment_order_id: Id
    order_id: Id
    state: Id
    owner: Id
    location: Id | None = None


FulfillmentEvent: TypeAlias = (
    FulfillmentOrderCreated
    | FulfillmentAccepted
    | FulfillmentRejected
    | ItemsPicked
    | ShortPicked
    | PackagesPacked
    | LabelRequested
    | LabelFailed
    | ShipmentDispatched
    | TrackingUpdated
    | ShipmentDelivered
    | FulfillmentCancellationRequested
    | FulfillmentCancelled
    | FulfillmentCancellationRefused
    | DeadlineMissed
)
"""What the stream of an order's fulfillment says. Its fold names each."""
