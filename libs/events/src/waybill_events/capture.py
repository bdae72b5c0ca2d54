"""What capture says: the order's own stream, where its fate is decided. Topic `orders`."""

from typing import ClassVar, Final, Literal, NewType, TypeAlias

from waybill_events.event import (
    Allocation,
    AmountMinor,
    Count,
    Currency,
    Event,
    Id,
    LineQuantity,
    Moment,
    Quantity,
    Shape,
    Shortage,
    Sku,
    Text,
)

# The reasons and statuses that we give today. The wire stays open: a fact of another release may
# carry one that is not here, so readers have words for those too.

OUT_OF_STOCK: Final = "out_of_stock"
PAYMENT_DECLINED: Final = "payment_declined"
SHORT_PICK: Final = "short_pick"
WAREHOUSE_REJECTED: Final = "warehouse_rejected"
"""A warehouse refused its part, and no other could take it over."""

RejectionReason = Literal["out_of_stock", "payment_declined"]
ExpiryReason = Literal["hold_expired", "not_confirmed_in_time"]
CancellationReason = Literal[
    "customer_request",
    "out_of_stock",
    "short_pick",
    "warehouse_rejected",
    "stock_lost",
    "payment_expired",
]
"""Why we cancel an order or lines of it; `customer_request` where a shop gives no reason."""
CancellationRefusal = Literal["dispatched"]
MoneyStatus = Literal["authorized", "captured", "voided", "refunded", "abandoned", "failed"]

GivenReason = NewType("GivenReason", str)
"""A reason in others' words: a shop's for its cancellation, or one that a fact passes on."""


class OrderLine(Shape):
    """One line as ordered. Lines with the same SKU stay apart by `line_id`."""

    line_id: Id
    sku: Sku
    name: Text
    quantity: Quantity
    unit_price_minor: AmountMinor


class ShippingChoice(Shape):
    option: Id
    price_minor: AmountMinor


class PaymentChoice(Shape):
    """How it is to be paid. `token` is the gateway's reference, never a card number."""

    method: Id
    token: Id


class OrderPlaced(Event):
    """An order was accepted and is durable. Personal data stays behind `recipient_ref`."""

    TYPE: ClassVar[str] = "capture.order_placed.v1"
    order_id: Id
    external_ref: Text | None
    channel: Id
    currency: Currency
    customer_ref: Text | None
    recipient_ref: Id
    country_code: Id
    locale: Id
    lines: tuple[OrderLine, ...]
    shipping: ShippingChoice
    payment: PaymentChoice
    total_minor: AmountMinor
    allow_partial: bool
    tracking_token_hash: Id
    expires_at: Moment


class OrderReserved(Event):
    """The order noted that its stock is held."""

    TYPE: ClassVar[str] = "capture.order_reserved.v1"
    order_id: Id
    reservation_id: Id
    allocations: tuple[Allocation, ...]


class OrderConfirmed(Event):
    """Stock is held and money is authorised. Self-contained for warehouses."""

    TYPE: ClassVar[str] = "capture.order_confirmed.v1"
    order_id: Id
    external_ref: Text | None
    channel: Id
    recipient_ref: Id
    reservation_id: Id
    lines: tuple[OrderLine, ...]
    allocations: tuple[Allocation, ...]
    shipping: ShippingChoice
    currency: Currency
    authorized_minor: AmountMinor


class OrderRejected(Event):
    """The order cannot be: `out_of_stock` or `payment_declined`."""

    TYPE: ClassVar[str] = "capture.order_rejected.v1"
    order_id: Id
    reason: Id
    detail: Text
    shortages: tuple[Shortage, ...]


class OrderExpired(Event):
    """The order was not confirmed in time."""

    TYPE: ClassVar[str] = "capture.order_expired.v1"
    order_id: Id
    reason: Id


class OrderCancellationRequested(Event):
    """A confirmed order is to be cancelled, as far as nothing of it was dispatched."""

    TYPE: ClassVar[str] = "capture.order_cancellation_requested.v1"
    order_id: Id
    reason: Id


class OrderCancellationRefused(Event):
    """Too late for some of it: what was dispatched goes on."""

    TYPE: ClassVar[str] = "capture.order_cancellation_refused.v1"
    order_id: Id
    reason: Id


class OrderLinesCancelled(Event):
    """Parts of a living order will not come; their money is not taken.

    `source` is what the parts were lost to: a reservation or a fulfillment order, each once.
    """

    TYPE: ClassVar[str] = "capture.order_lines_cancelled.v1"
    order_id: Id
    reason: Id
    source: Id
    lines: tuple[LineQuantity, ...]


class OrderCancelled(Event):
    """The whole order is off."""

    TYPE: ClassVar[str] = "capture.order_cancelled.v1"
    order_id: Id
    reason: Id


class OrderPaymentRecorded(Event):
    """The order noted where its money stands; sums so far, in minor units."""

    TYPE: ClassVar[str] = "capture.order_payment_recorded.v1"
    order_id: Id
    payment_id: Id
    status: Id
    authorized_minor: AmountMinor
    captured_minor: AmountMinor
    refunded_minor: AmountMinor


def payment_status(recorded: OrderPaymentRecorded) -> str:
    """One word for an order's money: what failed comes first, then what was given back.

    `none`: nothing was ever held.
    """
    captured_minor, refunded_minor = recorded.captured_minor, recorded.refunded_minor
    if recorded.status == "failed":
        return "failed"
    if refunded_minor:
        return "refunded" if refunded_minor >= captured_minor else "partially_refunded"
    if captured_minor:
        is_whole = captured_minor >= recorded.authorized_minor
        return "captured" if is_whole else "partially_captured"
    return "none" if recorded.status == "abandoned" else recorded.status


class LineProgress(Shape):
    """How far one line has come, in units so far."""

    line_id: Id
    shipped: Count
    delivered: Count


class OrderFulfillmentRecorded(Event):
    """The order noted what was shipped and delivered so far."""

    TYPE: ClassVar[str] = "capture.order_fulfillment_recorded.v1"
    order_id: Id
    shipment_id: Id
    lines: tuple[LineProgress, ...]


def cancelled_at_the_end(quantity: int, shipped: int) -> int:
    """Of a line whose order was rejected, expired or cancelled: whatever had not left is off."""
    return quantity - shipped


class OrderCompleted(Event):
    """Nothing is open and the money is settled."""

    TYPE: ClassVar[str] = "capture.order_completed.v1"
    order_id: Id
    captured_minor: AmountMinor
    currency: Currency


class RecipientErased(Event):
    """The person behind a recipient reference was forgotten; drop what you cached of it."""

    TYPE: ClassVar[str] = "capture.recipient_erased.v1"
    recipient_ref: Id
    order_id: Id


OrderEvent: TypeAlias = (
    OrderPlaced
    | OrderReserved
    | OrderConfirmed
    | OrderRejected
    | OrderExpired
    | OrderCancellationRequested
    | OrderCancellationRefused
    | OrderLinesCancelled
    | OrderCancelled
    | OrderPaymentRecorded
    | OrderFulfillmentRecorded
    | OrderCompleted
)
"""What an order's stream says. Its fold names each: a new one stops the type check there."""
