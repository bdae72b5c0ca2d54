"""What an order's fulfillment amounts to: its fulfillment orders, each in one phase.

All of one order are one stream, because cancellation, rejection and dispatch race within it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, TypeAlias, assert_never

from waybill_events import fulfillment as facts
from waybill_events.event import Event, LineQuantity
from waybill_events.identity import stem


@dataclass(frozen=True, slots=True)
class Requested:
    """The location was asked."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The location will ship it."""


@dataclass(frozen=True, slots=True)
class Picked:
    """What could be found lies ready."""

    lines: tuple[LineQuantity, ...]


@dataclass(frozen=True, slots=True)
class Packed:
    """Closed parcels wait for their labels."""

    lines: tuple[LineQuantity, ...]
    packages: tuple[facts.Package, ...]


@dataclass(frozen=True, slots=True)
class Labelling:
    """The carrier is being asked, under this key; nobody knows yet what it sold."""

    lines: tuple[LineQuantity, ...]
    packages: tuple[facts.Package, ...]
    service: str
    idempotency_key: str


Seen: TypeAlias = tuple[str, str, str]
"""A scan as it is known again: tracking number, status, time."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """Dispatched. `arrived` are the tracking numbers that were delivered."""

    dispatched: facts.ShipmentDispatched
    seen: frozenset[Seen] = frozenset()
    arrived: frozenset[str] = frozenset()
    delivered: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing of it will ship. `rejected` waits for other locations, `short` had nothing."""

    how: Literal["rejected", "cancelled", "short"]


Phase: TypeAlias = Requested | Accepted | Picked | Packed | Labelling | Shipped | Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentOrder:
    """One location's part of the order."""

    asked: facts.FulfillmentOrderCreated
    phase: Phase = Requested()
    label_requests: int = 0
    missed: frozenset[str] = frozenset()

    @property
    def lines(self) -> tuple[LineQuantity, ...]:
        """The units that are still to be shipped from here."""
        if isinstance(self.phase, Picked | Packed | Labelling):
            return self.phase.lines
        return tuple(
            LineQuantity(line_id=line.line_id, sku=line.sku, quantity=line.quantity)
            for line in self.asked.lines
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """An order's fulfillment. `count` numbers fulfillment orders, unopened ones included."""

    orders: Mapping[str, FulfillmentOrder] = field(default_factory=dict)
    count: int = 0
    replaced: frozenset[str] = frozenset()
    requests: frozenset[str] = frozenset()
    off: str | None = None
    is_final: bool = False

    @property
    def any_order(self) -> FulfillmentOrder | None:
        return next(iter(self.orders.values()), None)


INITIAL = State()


def evolve(state: State, event: facts.FulfillmentEvent) -> State:
    """The state after an event. Never refuses: what makes no sense changes nothing."""
    match event:
        case facts.FulfillmentOrderCreated(fulfillment_order_id=id_):
            opened = {**state.orders, id_: FulfillmentOrder(asked=event)}
            return _numbered(replace(state, orders=opened), event.replaces)
        case facts.FulfillmentCancellationRequested():
            return replace(
                state,
                requests=state.requests | {event.request_id},
                off=event.reason,
                is_final=state.is_final or event.is_final,
            )
        case facts.FulfillmentCancelled() if event.fulfillment_order_id not in state.orders:
            return _numbered(state, event.replaces)
        case facts.TrackingUpdated(shipment_id=shipment_id):
            return _with(state, fulfillment_order_of(shipment_id), event)
        case (
            facts.FulfillmentAccepted()
            | facts.FulfillmentRejected()
            | facts.ItemsPicked()
            | facts.ShortPicked()
            | facts.PackagesPacked()
            | facts.LabelRequested()
            | facts.LabelFailed()
            | facts.ShipmentDispatched()
            | facts.ShipmentDelivered()
            | facts.FulfillmentCancelled()
            | facts.FulfillmentCancellationRefused()
            | facts.DeadlineMissed()
        ):
            return _with(state, event.fulfillment_order_id, event)
        case _:
            assert_never(event)


def fulfillment_order_of(shipment_id: str) -> str:
    """The fulfillment order that a shipment is of: they share their number."""
    return f"ffo_{stem(shipment_id)}"


def shipment_of(fulfillment_order_id: str) -> str:
    """The shipment of a fulfillment order."""
    return f"shp_{stem(fulfillment_order_id)}"


def mark(tracking_number: str, status: str, happened_at: datetime) -> Seen:
    """What makes two scans the same, however often and in whatever time zone they are told."""
    return (tracking_number, status, happened_at.astimezone(UTC).isoformat())


def _numbered(state: State, replaces: str | None) -> State:
    replaced = state.replaced if replaces is None else state.replaced | {replaces}
    return replace(state, count=state.count + 1, replaced=replaced)


def _with(state: State, id_: str, event: Event) -> State:
    order = state.orders.get(id_)
    if order is None:
        return state
    if isinstance(event, facts.DeadlineMissed):
        after = replace(order, missed=order.missed | {event.state})
    else:
        requests = order.label_requests + isinstance(event, facts.LabelRequested)
        after = replace(order, phase=_next(order.phase, event), label_requests=requests)
    return replace(state, orders={**state.orders, id_: after})


def _next(phase: Phase, event: Event) -> Phase:
    """The phase after an event of its fulfillment order."""
    match phase:
        case Ended():
            return phase
        case Shipped():
            return _travelled(phase, event)
        case Labelling():
            return _labelled(phase, event)
        case Requested() | Accepted() | Picked() | Packed():
            return _prepared(phase, event)
        case _:
            assert_never(phase)


def _prepared(phase: Requested | Accepted | Picked | Packed, event: Event) -> Phase:
    match event:
        case facts.FulfillmentAccepted():
            return Accepted()
        case facts.ItemsPicked(lines=lines):
            return Picked(lines)
        case facts.ShortPicked() if isinstance(phase, Accepted):
            return Ended("short")  # no ItemsPicked before it: nothing at all was found
        case facts.PackagesPacked(packages=packages) if isinstance(phase, Picked | Packed):
            return Packed(phase.lines, packages)
        case facts.LabelRequested() if isinstance(phase, Packed):
            return Labelling(phase.lines, phase.packages, event.service, event.idempotency_key)
        case facts.FulfillmentRejected():
            return Ended("rejected")
        case facts.FulfillmentCancelled():
            return Ended("cancelled")
        case _:
            return phase


def _labelled(phase: Labelling, event: Event) -> Phase:
    match event:
        case facts.ShipmentDispatched():
            return Shipped(event)
        case facts.LabelFailed():
            return Packed(phase.lines, phase.packages)
        case _:
            return phase


def _travelled(phase: Shipped, event: Event) -> Phase:
    match event:
        case facts.TrackingUpdated(tracking_number=number, status=status):
            arrived = {number} if status == "delivered" else set()
            return replace(
                phase,
                seen=phase.seen | {mark(number, status, event.happened_at)},
                arrived=phase.arrived | arrived,
            )
        case facts.ShipmentDelivered():
            return replace(phase, delivered=True)
        case _:
            return phase
