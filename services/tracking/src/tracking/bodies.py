"""What customers and staff get."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class ScanView(BaseModel):
    status: str
    words: str
    happened_at: datetime
    place: str


class ShipmentView(BaseModel):
    """One parcel. Those of one shipment left together; `package_id` is each one's own."""

    shipment_id: str
    package_id: str = ""
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
    """What was ordered, at its price."""
    charged_minor: int = 0
    """What was taken for it so far. Units that did not come are not charged."""
    shipping_option: str


class TrackView(BaseModel):
    """What a token opens. `version` only grows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "order": {
                        "status": "confirmed",
                        "headline": "Your order is confirmed. Everything is on its way.",
                        "payment": "Paid",
                        "fulfillment": "Everything is on its way",
                        "returns": "Nothing is coming back",
                        "placed_at": "2026-11-23T16:19:24Z",
                        "external_ref": "536365",
                        "currency": "GBP",
                        "total_minor": 2025,
                        "charged_minor": 2025,
                        "shipping_option": "standard",
                    },
                    "lines": [
                        {
                            "name": "White hanging heart t-light holder",
                            "sku": "85123A",
                            "quantity": 6,
                            "cancelled": 0,
                            "shipped": 6,
                            "delivered": 0,
                        }
                    ],
                    "shipments": [
                        {
                            "shipment_id": "shp_01m84k8yhre00sxe1fx5ygf3kq-1",
                            "package_id": "pkg_01m84k8yhre00sxe1fx5ygf3kq-1-1",
                            "carrier": "sandbox",
                            "tracking_number": "SB1",
                            "status": "in_transit",
                            "words": "On its way",
                            "dispatched_at": "2026-11-23T16:20:00Z",
                            "events": [
                                {
                                    "status": "in_transit",
                                    "words": "On its way",
                                    "happened_at": "2026-11-23T16:21:00Z",
                                    "place": "London",
                                }
                            ],
                        }
                    ],
                    "version": 14,
                }
            ]
        }
    )

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
    """The type of the event that this one follows from, where it is one of this order's; of a
    timer's or a call's verdict the name of that, such as `payment.call`."""
    detail: str


class TimelineView(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "order_id": "ord_01m84k8yhre00sxe1fx5ygf3kq",
                    "data": [
                        {
                            "occurred_at": "2026-11-23T16:19:24Z",
                            "event_id": "01a20934-7b00-7000-8000-000000000014",
                            "type": "capture.order_confirmed.v1",
                            "stream": "default/order/ord_01m84k8yhre00sxe1fx5ygf3kq",
                            "streamversion": 4,
                            "actor": "system:capture",
                            "causation_id": "01a20934-7ace-7000-8000-00000000000e",
                            "cause": "payment.payment_authorized.v1",
                            "detail": "",
                        }
                    ],
                }
            ]
        }
    )

    order_id: str
    data: list[EntryView]
