"""What inventory says: reservations and stock movements.

Topic `inventory` is keyed by order, topic `stock` by SKU.
"""

from typing import ClassVar, Final, Literal, TypeAlias

from pydantic import Field

from waybill_events.event import (
    Allocation,
    Count,
    Event,
    Id,
    Moment,
    Quantity,
    Shape,
    Shortage,
    Sku,
    Text,
)

# What we say today. The wire stays open: see waybill_events.capture.

SHORT_PICK: Final = "short_pick"
"""The reason that also takes the units off the books: they are not on the shelf."""
FULFILLMENT_CANCELLED: Final = "fulfillment_cancelled"

GiveUpReason = Literal["short_pick", "fulfillment_cancelled"]
"""Why a warehouse's units go back. Those of an ended order go back for the order's reason."""
SourcingRule = Literal["fewest_locations_then_priority", "same_locations"]
Exclusion = Literal["refused", "no stock"]


class Candidate(Shape):
    """A location that was weighed, and what kept it from being chosen."""

    location: Id
    priority: int
    covers_units: Count
    excluded: Text | None


class SourcingDecision(Shape):
    """Why these locations: the rule, what it weighed, what it chose."""

    rule: Id
    candidates: tuple[Candidate, ...]
    chosen: tuple[Id, ...]


class StockReserved(Event):
    """Units are held for an order until `expires_at`.

    `shortages` is empty unless the order allows partial delivery.
    """

    TYPE: ClassVar[str] = "inventory.stock_reserved.v1"
    reservation_id: Id
    order_id: Id
    allocations: tuple[Allocation, ...]
    shortages: tuple[Shortage, ...]
    expires_at: Moment
    sourcing: SourcingDecision


class StockReservationRejected(Event):
    """Not enough could be held; nothing is held."""

    TYPE: ClassVar[str] = "inventory.stock_reservation_rejected.v1"
    reservation_id: Id
    order_id: Id
    shortages: tuple[Shortage, ...]
    sourcing: SourcingDecision


class ReservationConfirmed(Event):
    """The hold has no deadline any more: its units are allocated."""

    TYPE: ClassVar[str] = "inventory.reservation_confirmed.v1"
    reservation_id: Id
    order_id: Id
    allocations: tuple[Allocation, ...]


class ReservationExpired(Event):
    """The hold's deadline passed; its units are available again."""

    TYPE: ClassVar[str] = "inventory.reservation_expired.v1"
    reservation_id: Id
    order_id: Id
    released: tuple[Allocation, ...]


class ReservationReleased(Event):
    """Units went back: the order, or part of it, will not ship."""

    TYPE: ClassVar[str] = "inventory.reservation_released.v1"
    reservation_id: Id
    order_id: Id
    reason: Id
    released: tuple[Allocation, ...]
    fulfillment_order_id: Id | None = None
    """Where a warehouse gave these up: a short pick, or a fulfillment order cancelled."""


class ReservationResourced(Event):
    """A location refused its part: it comes from elsewhere, or falls short."""

    TYPE: ClassVar[str] = "inventory.reservation_resourced.v1"
    reservation_id: Id
    order_id: Id
    from_location: Id
    fulfillment_order_id: Id
    allocations: tuple[Allocation, ...]
    shortages: tuple[Shortage, ...]
    sourcing: SourcingDecision


class ReservationConsumed(Event):
    """Units left the building with a shipment."""

    TYPE: ClassVar[str] = "inventory.reservation_consumed.v1"
    reservation_id: Id
    order_id: Id
    shipment_id: Id
    consumed: tuple[Allocation, ...]


class StockLevel(Shape):
    """The counters of one location after an event. available = on_hand - held - allocated."""

    location: Id
    on_hand: Count
    held: Count
    allocated: Count


class StockReceived(Event):
    TYPE: ClassVar[str] = "inventory.stock_received.v1"
    sku: Sku
    location: Id
    quantity: Quantity
    reference: Text
    levels: tuple[StockLevel, ...]


class StockAdjusted(Event):
    """A person, or a short pick, corrected the count by `delta` units."""

    TYPE: ClassVar[str] = "inventory.stock_adjusted.v1"
    sku: Sku
    location: Id
    delta: int = Field(ge=-1_000_000, le=1_000_000)
    reason: Text
    levels: tuple[StockLevel, ...]


class StockCounted(Event):
    """The shelf was counted; on hand is now what was counted."""

    TYPE: ClassVar[str] = "inventory.stock_counted.v1"
    sku: Sku
    location: Id
    counted: Count
    expected: Count
    reference: Text
    levels: tuple[StockLevel, ...]


class StockMove(Shape):
    """So many units of one reservation at one location."""

    reservation_id: Id
    line_id: Id
    location: Id
    quantity: Quantity


class StockHeld(Event):
    """Units were held for reservations: available → held."""

    TYPE: ClassVar[str] = "inventory.stock_held.v1"
    sku: Sku
    moves: tuple[StockMove, ...]
    levels: tuple[StockLevel, ...]


class StockAllocated(Event):
    """Holds became allocations: held → allocated."""

    TYPE: ClassVar[str] = "inventory.stock_allocated.v1"
    sku: Sku
    moves: tuple[StockMove, ...]
    levels: tuple[StockLevel, ...]


class StockReleased(Event):
    """Units are available again: held or allocated → available."""

    TYPE: ClassVar[str] = "inventory.stock_released.v1"
    sku: Sku
    bucket: Literal["held", "allocated"]
    moves: tuple[StockMove, ...]
    levels: tuple[StockLevel, ...]


class StockConsumed(Event):
    """Allocated units were shipped: allocated and on hand both fall."""

    TYPE: ClassVar[str] = "inventory.stock_consumed.v1"
    sku: Sku
    moves: tuple[StockMove, ...]
    levels: tuple[StockLevel, ...]


class ReorderPointSet(Event):
    TYPE: ClassVar[str] = "inventory.reorder_point_set.v1"
    sku: Sku
    location: Id
    reorder_point: Count
    reorder_quantity: Count


class ReorderSuggested(Event):
    """Available fell to the reorder point or below; said once per breach."""

    TYPE: ClassVar[str] = "inventory.reorder_suggested.v1"
    sku: Sku
    location: Id
    available: Count
    reorder_point: Count
    quantity: Count


ReservationEvent: TypeAlias = (
    StockReserved
    | StockReservationRejected
    | ReservationConfirmed
    | ReservationExpired
    | ReservationReleased
    | ReservationResourced
    | ReservationConsumed
)
"""What a reservation's stream says. Its fold names each."""

StockEvent: TypeAlias = (
    StockReceived
    | StockAdjusted
    | StockCounted
    | StockHeld
    | StockAllocated
    | StockReleased
    | StockConsumed
    | ReorderPointSet
    | ReorderSuggested
)
"""What the stream of a SKU says. Its fold names each."""
