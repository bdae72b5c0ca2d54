"""What customers and staff get."""

from datetime import datetime

from pydantic import BaseModel


class ScanView(BaseModel):
    status: str
    words: str
    happened_at: datetime
    place: str


class ShipmentView(BaseModel):
    """One parcel."""

    shipment_id: str
    carrier: str
    tracking_number: str
    status: str
    words: str
    dispatched_at: datetime
    events: list[ScanView]


class LineView(BaseModel):
    name: str
    sku: str
    quantity: int
    cancelled: int
    shipped: int
    delivered: int


class OrderView(BaseModel):
    """`status` is the order's; payment and fulfillment say their own axis in words."""

    status: str
    headline: str
    payment: str
    fulfillment: str
    returns: str
    placed_at: datetime
    external_ref: str | None
    currency: str
    total_minor: int
    shipping_option: str


class TrackView(BaseModel):
    """What a token opens. `version` only grows."""

    order: OrderView
    lines: list[LineView]
    shipments: list[ShipmentView]
    version: int


class EntryView(BaseModel):
    occurred_at: datetime
    event_id: str
    type: str
    stream: str
    streamversion: int
    actor: str
    causation_id: str
    cause: str | None
    """The type of the event that this one follows from, where it is one of this order's."""
    detail: str


class TimelineView(BaseModel):
    order_id: str
    data: list[EntryView]
