"""What payment says: asked, then answered. Topic `payments`, keyed by order.

Each call to the gateway is two facts: *requested*, with the idempotency key it goes out under,
and a verdict. A time-out is neither: it is *unknown* until a look-up says.
"""

from typing import ClassVar, Literal

from waybill_events.event import AmountMinor, Currency, Event, Id, Moment, Text


class PaymentInitiated(Event):
    """A payment exists for an order; nothing was asked of the gateway yet."""

    TYPE: ClassVar[str] = "payment.payment_initiated.v1"
    payment_id: Id
    order_id: Id
    amount_minor: AmountMinor
    currency: Currency
    method: Id


class AuthorizationRequested(Event):
    """The gateway is about to be asked to authorise, under this key."""

    TYPE: ClassVar[str] = "payment.authorization_requested.v1"
    payment_id: Id
    order_id: Id
    amount_minor: AmountMinor
    currency: Currency
    token: Id
    idempotency_key: Id


class PaymentAuthorized(Event):
    TYPE: ClassVar[str] = "payment.payment_authorized.v1"
    payment_id: Id
    order_id: Id
    authorization_id: Id
    amount_minor: AmountMinor
    currency: Currency
    expires_at: Moment


class PaymentDeclined(Event):
    """The gateway refused; `retryable` tells whether asking again may help."""

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
    operation: Literal["authorize", "capture", "void", "refund"]
    idempotency_key: Id
    detail: Text


class AuthorizationExpired(Event):
    """The gateway no longer honours the authorisation."""

    TYPE: ClassVar[str] = "payment.authorization_expired.v1"
    payment_id: Id
    order_id: Id
    authorization_id: Id


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


class PaymentVoided(Event):
    TYPE: ClassVar[str] = "payment.payment_voided.v1"
    payment_id: Id
    order_id: Id
    amount_minor: AmountMinor
    currency: Currency


class PaymentAbandoned(Event):
    """The order ended before anything was authorised."""

    TYPE: ClassVar[str] = "payment.payment_abandoned.v1"
    payment_id: Id
    order_id: Id
    reason: Id


class RefundRequested(Event):
    """Captured money is about to be given back."""

    TYPE: ClassVar[str] = "payment.refund_requested.v1"
    payment_id: Id
    order_id: Id
    refund_id: Id
    authorization_id: Id
    amount_minor: AmountMinor
    currency: Currency
    reason: Text
    idempotency_key: Id


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
