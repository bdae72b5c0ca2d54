"""What can be asked of an order."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from waybill_events.capture import CancellationReason, GivenReason, OrderPlaced
from waybill_events.event import Allocation, LineQuantity, Shortage


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    """Accept an order; everything in it was validated, priced and timed."""

    order: OrderPlaced


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteReserved:
    reservation_id: str
    allocations: tuple[Allocation, ...]
    shortages: tuple[Shortage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteNotReserved:
    shortages: tuple[Shortage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteHoldExpired:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteAuthorized:
    payment_id: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteDeclined:
    payment_id: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteMoney:
    """What payment says of its sums so far; None leaves a sum as it is."""

    payment_id: str
    status: Literal["captured", "voided", "refunded", "abandoned", "failed"]
    captured_minor: int | None = None
    refunded_minor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteShipped:
    shipment_id: str
    lines: tuple[LineQuantity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteDelivered:
    shipment_id: str
    lines: tuple[LineQuantity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteWillNotShip:
    """Units that will not come: short pick, refused by every location, cancelled in time.

    `source` tells one loss from another: the same one counts once.
    """

    reason: CancellationReason | GivenReason
    source: str
    lines: tuple[LineQuantity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteTooLateToCancel:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCancellation:
    reason: CancellationReason | GivenReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire:
    now: datetime


Command: TypeAlias = (
    PlaceOrder
    | NoteReserved
    | NoteNotReserved
    | NoteHoldExpired
    | NoteAuthorized
    | NoteDeclined
    | NoteMoney
    | NoteShipped
    | NoteDelivered
    | NoteWillNotShip
    | NoteTooLateToCancel
    | RequestCancellation
    | Expire
)
