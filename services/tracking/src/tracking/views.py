"""What tracking keeps of each order, folded from everybody's events.

Topics are read independently, so each part of a view is folded from one stream alone: whatever the
interleaving, the same events give the same bytes. Words are made when a view is shown.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache

from pydantic import BaseModel, ConfigDict, TypeAdapter

from waybill_events import capture, fulfillment, notification
from waybill_events.catalogue import CATALOGUE
from waybill_events.envelope import Recorded
from waybill_events.event import Event, LineQuantity
from waybill_runtime.projector import View


class Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Line(Part):
    """One line as the customer ordered it, and what became of its units."""

    line_id: str
    sku: str
    name: str
    quantity: int
    cancelled: int = 0
    shipped: int = 0
    delivered: int = 0


class OrderPart(Part):
    """What the order's own stream says."""

    external_ref: str | None
    placed_at: datetime
    currency: str
    total_minor: int
    shipping_option: str
    locale: str
    status: str = "placed"
    reason: str | None = None
    payment: str = "pending"
    charged_minor: int = 0
    """What was captured so far; what was given back since is not taken off."""
    cancelling: bool = False
    lines: tuple[Line, ...]


class Scan(Part):
    """What the carrier said of one parcel at one time."""

    status: str
    happened_at: datetime
    place: str


class Parcel(Part):
    """One package on its way."""

    shipment_id: str
    package_id: str = ""
    carrier: str
    tracking_number: str
    dispatched_at: datetime
    delivered: bool = False
    scans: tuple[Scan, ...] = ()


class ParcelsPart(Part):
    """What the fulfillment stream says: steps inside the warehouse, and parcels outside."""

    steps: Mapping[str, str] = {}
    """The state of each fulfillment order, by its id."""
    parcels: tuple[Parcel, ...] = ()


class Tracked(Part):
    """A customer's order: each part is there once its stream has spoken."""

    order: OrderPart | None = None
    parcels: ParcelsPart = ParcelsPart()


_ENDS = {
    capture.OrderRejected: "rejected",
    capture.OrderExpired: "expired",
    capture.OrderCancelled: "cancelled",
    capture.OrderCompleted: "completed",
}


def _project(seen: Tracked | None, recorded: Recorded, event: Event) -> Tracked:
    seen = seen or Tracked()
    if recorded.topic == "orders":
        return seen.model_copy(update={"order": _order(seen.order, recorded, event)})
    return seen.model_copy(update={"parcels": _parcels(seen.parcels, recorded, event)})


def _order(order: OrderPart | None, recorded: Recorded, event: Event) -> OrderPart | None:
    if isinstance(event, capture.OrderPlaced):
        return OrderPart(
            external_ref=event.external_ref,
            placed_at=recorded.occurred_at,
            currency=event.currency,
            total_minor=event.total_minor,
            shipping_option=event.shipping.option,
            locale=event.locale,
            lines=tuple(
                Line(line_id=x.line_id, sku=x.sku, name=x.name, quantity=x.quantity)
                for x in event.lines
            ),
        )
    return None if order is None else order.model_copy(update=_order_change(order, event))


_GIVEN_BACK = ("refunded", "partially_refunded")


def _order_change(order: OrderPart, event: Event) -> Mapping[str, object]:
    match event:
        case capture.OrderConfirmed():
            return {"status": "confirmed", "payment": "authorized"}
        case capture.OrderCancellationRequested():
            return {"cancelling": True}
        case capture.OrderCancellationRefused():
            return {"cancelling": False}
        case capture.OrderRejected(reason=reason):
            failed = "failed" if reason == capture.PAYMENT_DECLINED else order.payment
            return {"status": "rejected", "reason": reason, "payment": failed, **_off(order)}
        case capture.OrderExpired(reason=reason) | capture.OrderCancelled(reason=reason):
            ended = {"status": _ENDS[type(event)], "reason": reason, "cancelling": False}
            return {**ended, **_off(order)}
        case capture.OrderCompleted(captured_minor=charged):
            settled = order.payment if order.payment in _GIVEN_BACK else "captured"
            return {"status": "completed", "payment": settled, "charged_minor": charged}
        case capture.OrderPaymentRecorded(captured_minor=charged):
            return {"payment": capture.payment_status(event), "charged_minor": charged}
        case capture.OrderLinesCancelled(lines=parts):
            gone = {part.line_id: part.quantity for part in parts}
            return {"lines": tuple(_less(line, gone) for line in order.lines)}
        case capture.OrderFulfillmentRecorded(lines=progress):
            at = {p.line_id: {"shipped": p.shipped, "delivered": p.delivered} for p in progress}
            return {
                "lines": tuple(
                    line.model_copy(update=at.get(line.line_id, {})) for line in order.lines
                )
            }
        case _:
            return {}


def _off(order: OrderPart) -> Mapping[str, object]:
    gone = capture.cancelled_at_the_end
    return {
        "lines": tuple(
            line.model_copy(update={"cancelled": gone(line.quantity, line.shipped)})
            for line in order.lines
        )
    }


def _less(line: Line, gone: Mapping[str, int]) -> Line:
    return line.model_copy(update={"cancelled": line.cancelled + gone.get(line.line_id, 0)})


_STEPS = {
    fulfillment.FulfillmentOrderCreated: "requested",
    fulfillment.FulfillmentAccepted: "accepted",
    fulfillment.ItemsPicked: "picked",
    fulfillment.PackagesPacked: "packed",
    fulfillment.ShipmentDispatched: "shipped",
    fulfillment.ShipmentDelivered: "delivered",
    fulfillment.FulfillmentCancelled: "cancelled",
    fulfillment.FulfillmentRejected: "rejected",
}


def _parcels(part: ParcelsPart, recorded: Recorded, event: Event) -> ParcelsPart:
    changes: dict[str, object] = {}
    if (step := _STEPS.get(type(event))) is not None:
        changes["steps"] = {**part.steps, event.fulfillment_order_id: step}  # type: ignore[attr-defined]  # each of _STEPS names its fulfillment order
    match event:
        case fulfillment.ShipmentDispatched():
            new = tuple(
                Parcel(
                    shipment_id=event.shipment_id,
                    package_id=package.package_id,
                    carrier=event.carrier,
                    tracking_number=package.tracking_number,
                    dispatched_at=recorded.occurred_at,
                )
                for package in event.packages
            )
            changes["parcels"] = (*part.parcels, *new)
        case fulfillment.TrackingUpdated():
            changes["parcels"] = tuple(_scanned(parcel, event) for parcel in part.parcels)
        case fulfillment.ShipmentDelivered():
            changes["parcels"] = tuple(
                parcel.model_copy(update={"delivered": True})
                if parcel.shipment_id == event.shipment_id
                else parcel
                for parcel in part.parcels
            )
        case _:
            pass
    return part.model_copy(update=changes)


def _scanned(parcel: Parcel, event: fulfillment.TrackingUpdated) -> Parcel:
    """A parcel after a scan; scans are kept by the time they happened, not that they came."""
    if parcel.tracking_number != event.tracking_number:
        return parcel
    scan = Scan(status=event.status, happened_at=event.happened_at, place=event.place)
    scans = sorted((*parcel.scans, scan), key=lambda s: (s.happened_at, s.status))
    return parcel.model_copy(update={"scans": tuple(scans)})


CUSTOMER: View[Tracked] = View(
    name="customer",
    model=TypeAdapter(Tracked),
    handles=frozenset(
        type_
        for type_, entry in CATALOGUE.items()
        if entry.topic in ("orders", "fulfillment") and entry.model is not capture.RecipientErased
    ),
    topics=("orders", "fulfillment"),
    key=lambda recorded, _: recorded.key,
    project=_project,
)


class Token(Part):
    """The order that a tracking token opens. Keyed by the token's hash."""

    order_id: str


def _token_hash(_: Recorded, event: Event) -> str | None:
    return event.tracking_token_hash if isinstance(event, capture.OrderPlaced) else None


TOKENS: View[Token] = View(
    name="tokens",
    model=TypeAdapter(Token),
    handles=frozenset({capture.OrderPlaced.TYPE}),
    topics=("orders",),
    key=_token_hash,
    project=lambda _, recorded, __: Token(order_id=recorded.key),
)


class Entry(Part):
    """One event of an order, as staff see it."""

    occurred_at: datetime
    event_id: str
    type: str
    stream: str
    streamversion: int
    actor: str
    causation_id: str
    detail: str


class Timeline(Part):
    """Every event of an order, by time; equal times by event id."""

    entries: tuple[Entry, ...] = ()


_DETAILS = (
    *("reason", "code", "status", "state", "owner", "location", "carrier", "service"),
    *("tracking_number", "template", "channel"),
    *("amount_minor", "due_minor", "captured_minor", "refunded_minor", "detail"),
)
_LINES_TOLD_MAX = 5


@cache
def _details_of(type_: type[Event]) -> Sequence[str]:
    """Which of them a type of events has: to ask an event for what it lacks is slow."""
    return [name for name in _DETAILS if name in type_.model_fields]


def _detail(event: Event) -> str:
    """What sets this event apart from others of its type. Nothing personal is in any event."""
    told = [
        f"{name} {value}" for name in _details_of(type(event)) if (value := getattr(event, name))
    ]
    if isinstance(event, fulfillment.ShipmentDispatched):
        told += [f"tracking_number {package.tracking_number}" for package in event.packages]
    return ", ".join([*told, *_units(event)])


def _units(event: Event) -> Sequence[str]:
    """Which goods an event is about, the first few of them."""
    parts = getattr(event, "missing", getattr(event, "lines", ()))
    units = [f"{one.quantity} x {one.sku}" for one in parts if isinstance(one, LineQuantity)]
    more = len(units) - _LINES_TOLD_MAX
    return [*units[:_LINES_TOLD_MAX], *([f"and {more} more"] if more > 0 else [])]


def _append(timeline: Timeline | None, recorded: Recorded, event: Event) -> Timeline:
    entry = Entry(
        occurred_at=recorded.occurred_at,
        event_id=recorded.event_id,
        type=recorded.type,
        stream=recorded.stream,
        streamversion=recorded.version,
        actor=recorded.actor,
        causation_id=recorded.causation_id,
        detail=_detail(event),
    )
    if timeline is None:
        return Timeline(entries=(entry,))
    entries = [*timeline.entries, entry]
    if _by_time(entry) < _by_time(entries[-2]):
        entries.sort(key=_by_time)
    return timeline.model_copy(update={"entries": tuple(entries)})


def _by_time(entry: Entry) -> tuple[datetime, str]:
    return entry.occurred_at, entry.event_id


TIMELINE: View[Timeline] = View(
    name="timeline",
    model=TypeAdapter(Timeline),
    handles=frozenset(
        type_
        for type_, entry in CATALOGUE.items()
        if entry.topic != "stock" and entry.model is not notification.ContactPreferenceChanged
    ),
    topics=("orders", "inventory", "payments", "fulfillment", "notifications"),
    key=lambda recorded, _: recorded.key,
    project=_append,
)
