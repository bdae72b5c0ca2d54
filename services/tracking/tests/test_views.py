"""What each event does to what customers and staff see, whatever order topics are read in."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking import views
from waybill_events import capture, fulfillment, inventory, notification, payment
from waybill_events.envelope import DEFAULT_TENANT, Recorded
from waybill_events.event import Event, LineQuantity
from waybill_runtime.projector import AnyView, projecting
from waybill_runtime.stored import Document
from waybill_runtime.testing import orders
from waybill_runtime.testing.working import hand
from waybill_runtime.testing.world import EPOCH, World, recorded

ORDER = "ord_x"
TOKEN_HASH = "h"
PLACED = orders.placed(
    orders.line(1, 6, 255, name="Heart"),
    orders.line(2, 1, 100, sku="B", name="Star"),
    shipping_minor=495,
    external_ref="536365",
    locale="en-GB",
)
CONFIRMED = orders.confirmed(PLACED)
LESS = capture.OrderLinesCancelled(
    order_id=ORDER,
    reason="short_pick",
    source="ffo_x-1",
    lines=(LineQuantity(line_id="ln_2", sku="B", quantity=1),),
)
PROGRESS = capture.OrderFulfillmentRecorded(
    order_id=ORDER,
    shipment_id="shp_x-1",
    lines=(capture.LineProgress(line_id="ln_1", shipped=6, delivered=0),),
)
COMPLETED = capture.OrderCompleted(order_id=ORDER, captured_minor=2025, currency="GBP")


def paid(*, captured: int, refunded: int = 0, status: str = "captured") -> Event:
    return capture.OrderPaymentRecorded(
        order_id=ORDER,
        payment_id="pay_x",
        status=status,
        authorized_minor=2125,
        captured_minor=captured,
        refunded_minor=refunded,
    )


def ffo(model: type[Event], **fields: object) -> Event:
    named = {"fulfillment_order_id": "ffo_x-1", "order_id": ORDER, "location": "main"}
    return model.model_validate({**named, **fields})


CREATED = ffo(
    fulfillment.FulfillmentOrderCreated,
    lines=(),
    shipping_option="standard",
    recipient_ref="rcp_x",
    accept_by=EPOCH,
)
DISPATCHED = ffo(
    fulfillment.ShipmentDispatched,
    shipment_id="shp_x-1",
    carrier="sandbox",
    service="standard",
    packages=[
        {"package_id": f"pkg_{n}", "tracking_number": f"SB{n}", "label_url": "u", "lines": []}
        for n in (1, 2)
    ],
    lines=(),
)
DELIVERED = ffo(fulfillment.ShipmentDelivered, shipment_id="shp_x-1", lines=(), delivered_at=EPOCH)


def scan(status: str, minutes: int, number: str = "SB1") -> Event:
    return fulfillment.TrackingUpdated.model_validate(
        {
            "order_id": ORDER,
            "shipment_id": "shp_x-1",
            "tracking_number": number,
            "status": status,
            "happened_at": EPOCH + timedelta(minutes=minutes),
            "place": "London",
        }
    )


Stream = tuple[str, str, Sequence[Event]]
"""Topic, category, and what happened, in order."""

SPINE: Stream = (
    "orders",
    "order",
    [
        PLACED,
        capture.OrderReserved(order_id=ORDER, reservation_id="res_x", allocations=()),
        CONFIRMED,
        LESS,
        PROGRESS,
        paid(captured=2025),
        COMPLETED,
    ],
)
GOODS: Stream = (
    "fulfillment",
    "fulfillment",
    [
        CREATED,
        ffo(fulfillment.FulfillmentAccepted),
        ffo(fulfillment.ItemsPicked, lines=()),
        ffo(fulfillment.PackagesPacked, packages=()),
        DISPATCHED,
        scan("in_transit", 10),
        scan("picked_up", 5),
        scan("out_for_delivery", 20, "SB2"),
        DELIVERED,
    ],
)
OTHERS: list[Stream] = [
    (
        "inventory",
        "reservation",
        [
            inventory.ReservationConfirmed.model_validate(
                {"reservation_id": "res_x", "order_id": ORDER, "allocations": []}
            )
        ],
    ),
    (
        "payments",
        "payment",
        [payment.PaymentStopped(payment_id="pay_x", order_id=ORDER, reason="customer_request")],
    ),
    (
        "notifications",
        "message",
        [
            notification.NotificationSent(
                message_id="msg_1", order_id=ORDER, channel="email", provider_ref="r"
            )
        ],
    ),
]


def told(stream: Stream, start_s: int = 0) -> list[Recorded]:
    topic, category, events = stream
    name = f"{DEFAULT_TENANT}/{category}/x"
    return [
        replace(
            recorded(event, stream=name, version=version, topic=topic, key=ORDER),
            occurred_at=EPOCH + timedelta(seconds=start_s + 2 * version),
        )
        for version, event in enumerate(events, start=1)
    ]


@st.composite
def interleavings(draw: st.DrawFn, streams: Sequence[Sequence[Recorded]]) -> list[Recorded]:
    """One sequence of all events, each stream's own order kept."""
    turns = [at for at, stream in enumerate(streams) for _ in stream]
    rest = [iter(stream) for stream in streams]
    return [next(rest[at]) for at in draw(st.permutations(turns))]


async def _kept(view: AnyView, batches: Sequence[Sequence[Recorded]]) -> dict[str, Document]:
    on = World().infrastructure("tracking")
    handler = projecting([view])
    for batch in batches:
        await hand(on, handler, *batch)
    async with on.store.reading() as reading:
        found = await reading.documents.find(DEFAULT_TENANT, view.name, {}, after=None, limit=10)
    return dict(found)


def kept(view: AnyView, *batches: Sequence[Recorded]) -> dict[str, Document]:
    """The documents of a view after these batches."""
    return asyncio.run(_kept(view, batches))


def seen(*streams: Stream) -> views.Tracked:
    return views.CUSTOMER.model.validate_json(
        kept(views.CUSTOMER, *(told(stream) for stream in streams))[ORDER].body
    )


def spine(*events: Event) -> views.OrderPart:
    order = seen(("orders", "order", [PLACED, *events])).order
    assert order is not None
    return order


def goods(*events: Event) -> views.ParcelsPart:
    return seen(("fulfillment", "fulfillment", events)).parcels


def test_a_placed_order_shows_what_was_ordered() -> None:
    order = spine()
    assert (order.status, order.payment, order.total_minor) == ("placed", "pending", 2125)
    assert [(line.name, line.quantity, line.cancelled) for line in order.lines] == [
        ("Heart", 6, 0),
        ("Star", 1, 0),
    ]


def end(model: type[Event], **fields: object) -> Event:
    return model.model_validate({"order_id": ORDER, **fields})


REJECTED = {"detail": "", "shortages": ()}


@pytest.mark.parametrize(
    ("events", "status", "money", "reason"),
    [
        ([CONFIRMED], "confirmed", "authorized", None),
        (
            [end(capture.OrderRejected, reason="out_of_stock", **REJECTED)],
            "rejected",
            "pending",
            "out_of_stock",
        ),
        (
            [end(capture.OrderRejected, reason="payment_declined", **REJECTED)],
            "rejected",
            "failed",
            "payment_declined",
        ),
        ([end(capture.OrderExpired, reason="hold_expired")], "expired", "pending", "hold_expired"),
        (
            [CONFIRMED, end(capture.OrderCancelled, reason="customer_request")],
            "cancelled",
            "authorized",
            "customer_request",
        ),
        ([CONFIRMED, paid(captured=0, status="abandoned")], "confirmed", "none", None),
        ([CONFIRMED, paid(captured=100)], "confirmed", "partially_captured", None),
        ([CONFIRMED, paid(captured=100, status="failed")], "confirmed", "failed", None),
        ([CONFIRMED, paid(captured=2125)], "confirmed", "captured", None),
        ([CONFIRMED, paid(captured=2125, refunded=1)], "confirmed", "partially_refunded", None),
        ([CONFIRMED, paid(captured=2125, refunded=2125)], "confirmed", "refunded", None),
        ([CONFIRMED, paid(captured=100), COMPLETED], "completed", "captured", None),
        (
            [CONFIRMED, paid(captured=2125, refunded=2125), COMPLETED],
            "completed",
            "refunded",
            None,
        ),
    ],
)
def test_the_orders_own_facts_say_its_status_and_its_money(
    events: Sequence[Event], status: str, money: str, reason: str | None
) -> None:
    order = spine(*events)
    assert (order.status, order.payment, order.reason) == (status, money, reason)


def test_a_cancellation_is_tried_until_it_is_refused_or_done() -> None:
    asked = end(capture.OrderCancellationRequested, reason="customer_request")
    assert spine(CONFIRMED, asked).cancelling
    refused = end(capture.OrderCancellationRefused, reason="dispatched")
    assert not spine(CONFIRMED, asked, refused).cancelling
    done = end(capture.OrderCancelled, reason="customer_request")
    assert not spine(CONFIRMED, asked, done).cancelling


def test_lines_show_what_was_lost_shipped_and_delivered() -> None:
    heart, star = spine(CONFIRMED, LESS, PROGRESS).lines
    assert (heart.shipped, heart.delivered, heart.cancelled) == (6, 0, 0)
    assert (star.shipped, star.cancelled) == (0, 1)


@pytest.mark.parametrize(
    ("event", "step"),
    [
        (CREATED, "requested"),
        (ffo(fulfillment.FulfillmentAccepted), "accepted"),
        (ffo(fulfillment.ItemsPicked, lines=()), "picked"),
        (ffo(fulfillment.PackagesPacked, packages=()), "packed"),
        (DISPATCHED, "shipped"),
        (DELIVERED, "delivered"),
        (ffo(fulfillment.FulfillmentCancelled, reason="customer_request", lines=()), "cancelled"),
        (ffo(fulfillment.FulfillmentRejected, reason="closed", lines=()), "rejected"),
    ],
)
def test_each_step_in_the_warehouse_shows(event: Event, step: str) -> None:
    assert goods(CREATED, event).steps == {"ffo_x-1": step}


def test_each_package_is_a_parcel_of_its_own() -> None:
    parcels = goods(CREATED, DISPATCHED, scan("in_transit", 1, "SB2")).parcels
    assert [(p.tracking_number, len(p.scans)) for p in parcels] == [("SB1", 0), ("SB2", 1)]
    assert all(p.delivered for p in goods(DISPATCHED, DELIVERED).parcels)


def test_a_late_scan_is_placed_by_its_own_time() -> None:
    (parcel, _) = goods(
        DISPATCHED, scan("in_transit", 10), scan("picked_up", 5), scan("out_for_delivery", 20)
    ).parcels
    assert [s.status for s in parcel.scans] == ["picked_up", "in_transit", "out_for_delivery"]


@given(st.permutations([("picked_up", 5), ("in_transit", 10), ("delayed", 10), ("delivered", 30)]))
@settings(max_examples=24, deadline=None)
def test_scans_end_alike_however_they_come(order: list[tuple[str, int]]) -> None:
    (parcel, _) = goods(DISPATCHED, *(scan(status, at) for status, at in order)).parcels
    times = [s.happened_at for s in parcel.scans]
    assert times == sorted(times)
    assert [s.status for s in parcel.scans] == ["picked_up", "delayed", "in_transit", "delivered"]


ALL = [told(SPINE), told(GOODS, 1), *(told(stream, 3) for stream in OTHERS)]


@pytest.mark.parametrize("view", [views.CUSTOMER, views.TIMELINE, views.TOKENS])
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_views_are_equal_whatever_the_interleaving(view: AnyView, data: st.DataObject) -> None:
    mixed = data.draw(interleavings(ALL))
    cut = data.draw(st.integers(0, len(mixed)))
    straight = kept(view, *ALL)
    assert kept(view, mixed[:cut], mixed[cut:]) == straight
    assert len(straight) == 1


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_views_version_counts_what_it_was_told(data: st.DataObject) -> None:
    mixed = data.draw(interleavings(ALL[:2]))
    cut = data.draw(st.integers(1, len(mixed)))
    assert kept(views.CUSTOMER, mixed[:cut])[ORDER].version == cut
    assert kept(views.TIMELINE, mixed[:cut])[ORDER].version == cut


def test_the_timeline_is_in_the_order_of_time_and_says_who_and_why() -> None:
    body = kept(views.TIMELINE, *reversed(ALL))[ORDER].body
    entries = views.TIMELINE.model.validate_json(body).entries
    assert len(entries) == sum(len(stream) for stream in ALL)
    times: list[datetime] = [entry.occurred_at for entry in entries]
    assert times == sorted(times)
    assert {entry.actor for entry in entries} == {"system:test"}
    assert next(e for e in entries if e.type == LESS.TYPE).detail == "reason short_pick, 1 x B"


def test_a_token_is_kept_by_its_hash_alone() -> None:
    assert kept(views.TOKENS, told(SPINE))[TOKEN_HASH].body == '{"order_id":"ord_x"}'


def test_an_erased_recipient_changes_nothing_that_is_shown() -> None:
    gone = capture.RecipientErased(recipient_ref="rcp_x", order_id=ORDER)
    erased = recorded(gone, stream="default/recipient/rcp_x", version=1, topic="orders", key=ORDER)
    assert kept(views.CUSTOMER, told(SPINE), [erased]) == kept(views.CUSTOMER, told(SPINE))
