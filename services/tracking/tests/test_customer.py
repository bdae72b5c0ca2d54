"""What customers read of an order is what the storefront reads: units, money, parcels."""

from datetime import timedelta

import pytest

from tracking import views
from waybill_events import capture
from waybill_events.event import Event, LineQuantity
from waybill_runtime.testing.world import EPOCH, recorded

ORDER = "ord_x"
PLACED = capture.OrderPlaced(
    order_id=ORDER,
    external_ref="536365",
    channel="web",
    currency="GBP",
    customer_ref=None,
    recipient_ref="rcp_x",
    country_code="GB",
    locale="en-GB",
    lines=(
        capture.OrderLine(line_id="ln_1", sku="A", name="Cup", quantity=3, unit_price_minor=100),
    ),
    shipping=capture.ShippingChoice(option="standard", price_minor=895),
    payment=capture.PaymentChoice(method="card", token="tok_approve"),
    total_minor=1195,
    allow_partial=False,
    tracking_token_hash="h",
    expires_at=EPOCH + timedelta(minutes=15),
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
