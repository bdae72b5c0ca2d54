"""What can be asked of an order's fulfillment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from waybill_events.event import Allocation
from waybill_events.fulfillment import FulfillmentLine, TrackingStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """Ask each location for its part of a confirmed order."""

    order_id: str
    recipient_ref: str
    shipping_option: str
    parts: Mapping[str, tuple[FulfillmentLine, ...]]
    accept_by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenElsewhere:
    """Ask other locations for what one of them rejected."""

    rejected: str
    allocations: tuple[Allocation, ...]
    accept_by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRest:
    """End what is not dispatched. `is_final`: the order itself has ended."""

    request_id: str
    reason: str
    is_final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    fulfillment_order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    fulfillment_order_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """What was found, for good: units by line; a line left out was not found at all."""

    fulfillment_order_id: str
    units: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A closed package: its weight, and units by line."""

    weight_g: int
    units: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Every picked unit in exactly one parcel; replaces an earlier packing."""

    fulfillment_order_id: str
    parcels: tuple[Parcel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLabel:
    fulfillment_order_id: str
    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What the carrier gave for one package."""

    package_id: str
    tracking_number: str
    label_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteLabel:
    """The carrier's yes to the request with this key."""

    fulfillment_order_id: str
    idempotency_key: str
    carrier: str
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteLabelRefused:
    """The carrier's no to the request with this key; nothing was bought."""

    fulfillment_order_id: str
    idempotency_key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Where the carrier saw a parcel, and when."""

    tracking_number: str
    status: TrackingStatus
    happened_at: datetime
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteTracking:
    """Everything the carrier knows of a shipment, in any order, known scans included."""

    fulfillment_order_id: str
    scans: tuple[Scan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MissDeadline:
    """The time for leaving this state is over."""

    fulfillment_order_id: str
    state: str


WarehouseCommand: TypeAlias = Accept | Reject | Pick | Pack | RequestLabel
"""What a warehouse may be told that it cannot do."""

OneOrderCommand: TypeAlias = (
    WarehouseCommand | NoteLabel | NoteLabelRefused | NoteTracking | MissDeadline
)
"""What concerns one fulfillment order."""

Command: TypeAlias = OpenOrder | OpenElsewhere | CancelRest | OneOrderCommand
