"""What a storefront reads of an order's money."""

import pytest

from capture import views
from waybill_events import capture
from waybill_events.event import Event
from waybill_runtime.testing import orders
from waybill_runtime.testing.world import recorded

ORDER = "ord_x"
PLACED = orders.placed(orders.line(1, 3, 100, name="Cup"), shipping_minor=895)


def seen(*events: Event) -> views.OrderSeen:
    """An order after it was placed and these events."""
    found: views.OrderSeen | None = None
    for version, event in enumerate((PLACED, *events), start=1):
        row = recorded(event, stream="default/order/x", version=version, topic="orders", key=ORDER)
        found = views.see(found, row, event)
    assert found is not None
    return found


def money(status: str, *, authorized: int = 0, captured: int = 0, refunded: int = 0) -> Event:
    return capture.OrderPaymentRecorded(
        order_id=ORDER,
        payment_id="pay_x",
        status=status,
        authorized_minor=authorized,
        captured_minor=captured,
        refunded_minor=refunded,
    )


COMPLETED = capture.OrderCompleted(order_id=ORDER, captured_minor=1095, currency="GBP")


def test_an_order_tells_what_was_charged() -> None:
    paid = money("captured", authorized=1195, captured=1095)
    assert seen().charged_minor == 0
    assert seen(paid).charged_minor == 1095
    assert seen(paid, COMPLETED).charged_minor == 1095


def test_what_was_given_back_does_not_change_what_was_charged() -> None:
    given_back = money("refunded", authorized=1195, captured=1095, refunded=100)
    assert seen(COMPLETED, given_back).charged_minor == 1095


def test_an_order_that_never_had_money_held_has_no_payment() -> None:
    refused = capture.OrderRejected(order_id=ORDER, reason="out_of_stock", detail="", shortages=())
    assert seen(refused, money("abandoned")).payment_status == "none"


def test_money_that_was_held_and_given_back_is_voided() -> None:
    assert seen(money("authorized", authorized=1195), money("voided")).payment_status == "voided"


@pytest.mark.parametrize(
    "end",
    [
        capture.OrderRejected(order_id=ORDER, reason="out_of_stock", detail="", shortages=()),
        capture.OrderExpired(order_id=ORDER, reason="payment_timeout"),
        capture.OrderCancelled(order_id=ORDER, reason="stock_lost"),
    ],
)
def test_what_had_not_left_when_its_order_ended_is_cancelled_with_it(end: Event) -> None:
    left = capture.OrderFulfillmentRecorded(
        order_id=ORDER,
        shipment_id="shp_1",
        lines=(capture.LineProgress(line_id="ln_1", shipped=1, delivered=0),),
    )
    (line,) = seen(left, end).lines.values()
    assert (line.cancelled, line.shipped) == (2, 1)
