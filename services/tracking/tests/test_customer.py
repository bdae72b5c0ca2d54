"""What customers read of an order is what the storefront reads: units, money, parcels."""

import pytest

from tracking import service, views, words
from waybill_events import capture, fulfillment
from waybill_events.event import Event, LineQuantity
from waybill_runtime.testing import orders
from waybill_runtime.testing.world import recorded

ORDER = "ord_x"
PLACED = orders.placed(
    orders.line(1, 3, 100, name="Cup"), shipping_minor=895, external_ref="536365", locale="en-GB"
)


def tracked(*events: Event, topic: str = "orders") -> views.Tracked:
    """What a customer's view holds after these events of one topic."""
    seen: views.Tracked | None = None
    for version, event in enumerate(events, start=1):
        row = recorded(event, stream=f"default/{topic}/x", version=version, topic=topic, key=ORDER)
        seen = views.CUSTOMER.project(seen, row, event)
    assert seen is not None
    return seen


def order(*events: Event) -> views.OrderPart:
    """An order's own part after it was placed and these events."""
    part = tracked(PLACED, *events).order
    assert part is not None
    return part


REJECTED = capture.OrderRejected(order_id=ORDER, reason="out_of_stock", detail="", shortages=())
EXPIRED = capture.OrderExpired(order_id=ORDER, reason="hold_expired")
CANCELLED = capture.OrderCancelled(order_id=ORDER, reason="customer_request")
LESS = capture.OrderLinesCancelled(
    order_id=ORDER,
    reason="short_pick",
    source="ffo_x-1:short",
    lines=(LineQuantity(line_id="ln_1", sku="A", quantity=1),),
)


@pytest.mark.parametrize("end", [REJECTED, EXPIRED, CANCELLED])
def test_what_ended_with_its_order_is_shown_as_cancelled(end: Event) -> None:
    assert [line.cancelled for line in order(end).lines] == [3]
    assert [line.cancelled for line in order(LESS, end).lines] == [3]


CONFIRMED = orders.confirmed(PLACED)
DELIVERED = capture.OrderFulfillmentRecorded(
    order_id=ORDER,
    shipment_id="shp_x-1",
    lines=(capture.LineProgress(line_id="ln_1", shipped=2, delivered=2),),
)
PAID = capture.OrderPaymentRecorded(
    order_id=ORDER,
    payment_id="pay_x",
    status="captured",
    authorized_minor=1195,
    captured_minor=1095,
    refunded_minor=0,
)
COMPLETED = capture.OrderCompleted(order_id=ORDER, captured_minor=1095, currency="GBP")


def test_a_view_tells_what_was_charged() -> None:
    assert order(CONFIRMED, LESS).charged_minor == 0
    assert order(CONFIRMED, LESS, PAID).charged_minor == 1095
    assert order(CONFIRMED, LESS, COMPLETED).charged_minor == 1095


def test_a_short_order_says_what_did_not_come_and_was_not_charged() -> None:
    short = order(CONFIRMED, LESS, DELIVERED, PAID, COMPLETED)
    missing = "1 of 3 items was not sent and was not charged"
    assert words.headline(short, views.ParcelsPart()) == f"Your order was delivered; {missing}."
    assert words.fulfillment(short, views.ParcelsPart()) == f"2 items were delivered; {missing}"
    assert words.payment(short) == "Paid for what was sent"


def test_a_short_order_under_way_says_what_will_not_come() -> None:
    two = LESS.model_copy(update={"lines": (LineQuantity(line_id="ln_1", sku="A", quantity=2),)})
    missing = "2 of 3 items will not be sent and will not be charged"
    assert words.fulfillment(order(CONFIRMED, two), views.ParcelsPart()) == (
        f"Being prepared; {missing}"
    )


DISPATCHED = fulfillment.ShipmentDispatched(
    fulfillment_order_id="ffo_x-1",
    order_id=ORDER,
    shipment_id="shp_x-1",
    location="main",
    carrier="sandbox",
    service="standard",
    packages=tuple(
        fulfillment.LabelledPackage(
            package_id=f"pkg_x-1-{n}", tracking_number=f"SB{n}", label_url="u", lines=()
        )
        for n in (1, 2)
    ),
    lines=(),
)


def test_the_parcels_of_one_shipment_can_be_told_apart() -> None:
    seen = tracked(DISPATCHED, topic="fulfillment")
    assert [parcel.shipment_id for parcel in seen.parcels.parcels] == ["shp_x-1", "shp_x-1"]
    shown = service.show(order(), seen.parcels, version=1).shipments
    assert [parcel.package_id for parcel in shown] == ["pkg_x-1-1", "pkg_x-1-2"]
