"""What can be asked of an order's reservation."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from inventory.decider.sourcing import Shelf
from waybill_events.event import LineQuantity
from waybill_events.inventory import GiveUpReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Hold all lines, or what there is of them where part is allowed."""

    order_id: str
    lines: tuple[LineQuantity, ...]
    allow_partial: bool
    order_expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """The order is confirmed: what is held loses its deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The order will not be: whatever is still held or allocated goes back."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire:
    """The deadline of the hold may have passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consume:
    """These left the building."""

    shipment_id: str
    location: str
    lines: tuple[LineQuantity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """The location refused these: take them from others."""

    fulfillment_order_id: str
    location: str
    lines: tuple[LineQuantity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """The location will not ship these."""

    fulfillment_order_id: str
    location: str
    reason: GiveUpReason
    lines: tuple[LineQuantity, ...]


Fulfillment: TypeAlias = Consume | Resource | GiveUp
"""What warehouses say. It follows a confirmation, even where it arrives before it."""

Command: TypeAlias = Hold | Confirm | Release | Expire | Fulfillment


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """A command with the time and the shelves it is decided against, and the policy of holds.

    `hold_grace`: how much longer than an unconfirmed order its hold lives.
    """

    command: Command
    now: datetime
    shelf: Shelf
    hold_grace: timedelta
