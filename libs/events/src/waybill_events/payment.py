"""What payment says: asked, then answered. Topic `payments`, keyed by order.

Each call to the gateway is two facts: *requested*, with the idempotency key it goes out under,
and a verdict. A time-out is neither: it is *unknown* until a look-up says.
"""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from waybill_events.event import (
    AmountMinor,
    Currency,
    Event,
    Id,
    LineQuantity,
    Moment,
    Quantity,
    Shape,
    Text,
)

Attempt = Annotated[int, Field(ge=1, le=1_000)]
Operation = Literal["authorize", "capture", "void", "refund"]


class PricedLine(Shape):
    """What one order line costs."""

    line_id: Id
    quantity: Quantity
    unit_price_minor: AmountMinor


class PaymentInitiated(Event):
    """A payment exists for an order; nothing was asked of the gateway yet.

    The prices are kept, so that shipments can be charged for. `token` is the gateway's reference.
    """

    TYPE: ClassVar[str] = "payment.payment_initiated.v1"
    payment_id: Id
    order_id: Id
    amount_minor: AmountMinor
    currency: Currency
    method: Id
    token: Id | None = None
    lines: tuple[PricedLine, ...] = ()
    shipping_minor: AmountMinor = 0


class PaymentDueReduced(Event):
    """Units will not come, so their money will not be taken; `due_minor` is what remains.

    `order_version` is the version of the order that said so.
    """

    TYPE: ClassVar[str] = "payment.payment_due_reduced.v1"
    payment_id: Id
    order_id: Id
    lines: tuple[LineQuantity, ...]
    due_minor: AmountMinor
    currency: Currency
    order_version: Annotated[int, Field(ge=1)]


class PaymentStopped(Event):
    """The order has ended: nothing more is asked for, and what is held is given back."""

    TYPE: ClassVar[str] = "payment.payment_stopped.v1"
    payment_id: Id
    order_id: Id
    reason: Id


class AuthorizationRequested(Event):
    """The gateway is about to be asked to authorise, under this key.

    A later attempt has a new key; `declined_code` is what the one before was declined with.
    `attempt` counts all of a payment, `tries` those for this authorisation, this one among them.
    """

    TYPE: ClassVar[str] = "payment.authorization_requested.v1"
    payment_id: Id
    order_id: Id
    amount_minor: AmountMinor
    currency: Currency
    token: Id
    idempotency_key: Id
    attempt: Attempt = 1
    declined_code: Id | None = None
    tries: Attempt = 1


class PaymentAuthorized(Event):
    TYPE: ClassVar[str] = "payment.payment_authorized.v1"
    payment_id: Id
    order_id: Id
    authorization_id: Id
    amount_minor: AmountMinor
    currency: Currency
    expires_at: Moment


class PaymentDeclined(Event):
    """The gateway refused, and is not asked again; `retryable` is what it said of asking."""

    TYPE: ClassVar[str] = "payment.payment_declined.v1"
    payment_id: Id
    order_id: Id
    code: Id
    retryable: bool


class PaymentOutcomeUnknown(Event):
    """A call ended without an answer. Resolved by look-up or the same key, never by guess."""

    TYPE: ClassVar[str] = "payment.payment_outcome_unknown.v1"
    payment_id: Id
    order_id: Id
    operation: Operation
    idempotency_key: Id
    detail: Text


class AuthorizationExpired(Event):
    """The gateway no longer honours the authorisation."""

    TYPE: ClassVar[str] = "payment.authorization_expired.v1"
    payment_id: Id
    order_id: Id
    authorization_id: Id


class CaptureDue(Event):
    """A shipment left: its money is to be taken, after that of earlier shipments."""

    TYPE: ClassVar[str] = "payment.capture_due.v1"
    payment_id: Id
    order_id: Id
    shipment_id: Id
    lines: tuple[LineQuantity, ...]
    amount_minor: AmountMinor
    currency: Currency


class CaptureRequested(Event):
    """Money for one shipment is about to be taken; `final` releases the rest."""

    TYPE: ClassVar[str] = "payment.capture_requested.v1"
    payment_id: Id
    order_id: Id
    shipment_id: Id
    authorization_id: Id
    amount_minor: AmountMinor
    currency: Currency
    final: bool
    idempotency_key: Id
    attempt: Attempt = 1


class PaymentCaptured(Event):
    """`captured_minor` is the sum so far, this one included."""

    TYPE: ClassVar[str] = "payment.payment_captured.v1"
    payment_id: Id
    order_id: Id
    shipment_id: Id
    amount_minor: AmountMinor
    captured_minor: AmountMinor
    currency: Currency
    final: bool


class CaptureFailed(Event):
    """Money for a shipment was not taken; `retryable`: it will be asked for again."""

    TYPE: ClassVar[str] = "payment.capture_failed.v1"
    payment_id: Id
    order_id: Id
    shipment_id: Id
    code: Id
    retryable: bool


class VoidRequested(Event):
    """What is authorised and not captured is about to be given back."""

    TYPE: ClassVar[str] = "payment.void_requested.v1"
    payment_id: Id
    order_id: Id
    authorization_id: Id
    amount_minor: AmountMinor
    currency: Currency
    reason: Id
    idempotency_key: Id
    attempt: Attempt = 1


class PaymentVoided(Event):
    TYPE: ClassVar[str] = "payment.payment_voided.v1"
    payment_id: Id
    order_id: Id
    amount_minor: AmountMinor
    currency: Currency


class PaymentAbandoned(Event):
    """The order ended while nothing was authorised."""

    TYPE: ClassVar[str] = "payment.payment_abandoned.v1"
    payment_id: Id
    order_id: Id
    reason: Id


class RefundRequested(Event):
    """Captured money is about to be given back, from one authorisation.

    `request_id` is what somebody asked for: the parts that a request is made of, where one
    authorisation is not enough, share it. Older events have none: there it is the `refund_id`
    of the first part.
    """

    TYPE: ClassVar[str] = "payment.refund_requested.v1"
    payment_id: Id
    order_id: Id
    refund_id: Id
    authorization_id: Id
    amount_minor: AmountMinor
    currency: Currency
    reason: Text
    idempotency_key: Id
    request_id: Id | None = None


class PaymentRefunded(Event):
    """`refunded_minor` is the sum so far, this one included."""

    TYPE: ClassVar[str] = "payment.payment_refunded.v1"
    payment_id: Id
    order_id: Id
    refund_id: Id
    amount_minor: AmountMinor
    refunded_minor: AmountMinor
    currency: Currency


class RefundFailed(Event):
    TYPE: ClassVar[str] = "payment.refund_failed.v1"
    payment_id: Id
    order_id: Id
    refund_id: Id
    code: Id
    retryable: bool


PaymentEvent: TypeAlias = (
    PaymentInitiated
    | PaymentDueReduced
    | PaymentStopped
    | AuthorizationRequested
    | PaymentAuthorized
    | PaymentDeclined
    | PaymentOutcomeUnknown
    | AuthorizationExpired
    | CaptureDue
    | CaptureRequested
    | PaymentCaptured
    | CaptureFailed
    | VoidRequested
    | PaymentVoided
    | PaymentAbandoned
    | RefundRequested
    | PaymentRefunded
    | RefundFailed
)
"""What a payment's stream says. Its fold names each."""
