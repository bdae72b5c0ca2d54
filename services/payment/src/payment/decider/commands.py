"""What can be asked of a payment: by the order's facts, by the gateway's verdicts, by staff."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from waybill_events.event import LineQuantity
from waybill_events.payment import PaymentInitiated


@dataclass(frozen=True, slots=True, kw_only=True)
class Initiate:
    """An order was placed, and is to be paid like this."""

    payment: PaymentInitiated


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelLines:
    """Units will not come. `order_version` tells this cancellation from others."""

    order_version: int
    lines: tuple[LineQuantity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorize:
    """The stock is held: have the money held too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The order has ended before its time."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureShipment:
    """A shipment left: take its money."""

    shipment_id: str
    lines: tuple[LineQuantity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireAuthorization:
    """The time of an authorisation may have passed."""

    authorization_id: str
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Give captured money back; the same `refund_id` asks for the same refund again."""

    refund_id: str
    amount_minor: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteAuthorized:
    """The gateway holds what it was asked to under this key."""

    key: str
    authorization_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteDone:
    """The gateway made the capture, void or refund of this key."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteDeclined:
    """The gateway proved not to have done what was asked under this key, and never will."""

    key: str
    code: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteUnknown:
    """Nobody knows yet what came of the call under this key."""

    key: str
    detail: str


Verdict: TypeAlias = NoteAuthorized | NoteDone | NoteDeclined | NoteUnknown
Command: TypeAlias = (
    Initiate
    | CancelLines
    | Authorize
    | Stop
    | CaptureShipment
    | ExpireAuthorization
    | Refund
    | Verdict
)
