"""Reads: the view that a token opens, and the timeline of an order."""

import re

from tracking import bodies, views, words
from waybill_events import identity
from waybill_runtime.http.problem import Refused, not_found
from waybill_runtime.infrastructure import Infrastructure

TOKEN_LENGTH_MAX = 200
PRIVATE = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
"""What every answer to a token says, for the token stands in its address."""
_JOB = re.compile(r"([a-z]+\.[a-z_]+):")
"""How the ids of timers and calls begin: `<service>.<what>:`."""


class Tracking:
    """The read side. Nothing here changes anything."""

    def __init__(self, on: Infrastructure) -> None:
        self._on = on

    async def order_of(self, tenant: str, token: str) -> str:
        """The order that a token opens.

        Raises:
            Refused: 404, the same for every token that opens nothing.
        """
        if len(token) <= TOKEN_LENGTH_MAX:
            digest = identity.token_hash(token)
            async with self._on.store.reading() as reading:
                found = await reading.documents.get(tenant, views.TOKENS.name, [digest])
            if digest in found:
                return views.TOKENS.model.validate_json(found[digest].body).order_id
        raise _opens_nothing()

    async def track(self, tenant: str, order_id: str) -> bodies.TrackView:
        """The customer's view of an order; 404 until the order's own stream has spoken."""
        async with self._on.store.reading() as reading:
            found = await reading.documents.get(tenant, views.CUSTOMER.name, [order_id])
        if order_id in found:
            document = found[order_id]
            tracked = views.CUSTOMER.model.validate_json(document.body)
            if tracked.order is not None:
                return show(tracked.order, tracked.parcels, document.revision)
        raise _opens_nothing()

    async def timeline(self, tenant: str, order_id: str) -> bodies.TimelineView:
        """Every event of an order across services, with cause and actor."""
        async with self._on.store.reading() as reading:
            found = await reading.documents.get(tenant, views.TIMELINE.name, [order_id])
        if order_id not in found:
            raise not_found(f"order {order_id}")
        return show_timeline(order_id, views.TIMELINE.model.validate_json(found[order_id].body))


def _opens_nothing() -> Refused:
    detail = (
        "This link opens no order. Use the one we sent you, or wait a moment: it may not be here "
        "yet."
    )
    return Refused(404, "not-found", detail, headers=PRIVATE)


def show_timeline(order_id: str, timeline: views.Timeline) -> bodies.TimelineView:
    """An order's events, each with the type of the event, or the name of the call, behind it."""
    types = {entry.event_id: entry.type for entry in timeline.entries}
    return bodies.TimelineView(
        order_id=order_id,
        data=[
            bodies.EntryView(
                **entry.model_dump(),
                cause=types.get(entry.causation_id) or _call(entry.causation_id),
            )
            for entry in timeline.entries
        ],
    )


def _call(causation_id: str) -> str | None:
    """The timer or call outside that an event is the verdict of: the kind before a job's id."""
    found = _JOB.match(causation_id)
    return found[1] if found else None


def show(order: views.OrderPart, parts: views.ParcelsPart, version: int) -> bodies.TrackView:
    """The customer's view, in words."""
    return bodies.TrackView(
        order=bodies.OrderView(
            status=order.status,
            headline=words.headline(order, parts),
            payment=words.payment(order),
            fulfillment=words.fulfillment(order, parts),
            returns="Nothing is coming back",
            placed_at=order.placed_at,
            external_ref=order.external_ref,
            currency=order.currency,
            total_minor=order.total_minor,
            charged_minor=order.charged_minor,
            shipping_option=order.shipping_option,
        ),
        lines=[bodies.LineView(**line.model_dump(exclude={"line_id"})) for line in order.lines],
        shipments=[_parcel(parcel) for parcel in parts.parcels],
        version=version,
    )


def _parcel(parcel: views.Parcel) -> bodies.ShipmentView:
    status = words.parcel_status(parcel)
    return bodies.ShipmentView(
        shipment_id=parcel.shipment_id,
        package_id=parcel.package_id,
        carrier=parcel.carrier,
        tracking_number=parcel.tracking_number,
        status=status,
        words=words.scan(status),
        dispatched_at=parcel.dispatched_at,
        events=[
            bodies.ScanView(**scan.model_dump(), words=words.scan(scan.status))
            for scan in reversed(parcel.scans)
        ],
    )
