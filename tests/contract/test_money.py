"""What an order costs and where its money is: one meaning, told in several services.

Capture completes an order when what payment captured equals what capture finds due; payment,
capture and the audit each work that sum out of the same facts. One history is told to all here.
"""

import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from order_and_payment import Shop, Step

from capture.decider.state import Confirmed, Ended
from payment.decider.state import Payment
from tracking import words
from waybill_events import capture

baskets = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from([0, 1, 255])), min_size=2, max_size=2
)
shipping = st.sampled_from([0, 495])
units = st.dictionaries(st.sampled_from(["ln_1", "ln_2"]), st.integers(1, 4), min_size=1)

HELD: list[Step] = [("rest",), ("reserve", {"ln_1": 1})]
CONFIRMED = [*HELD, ("rest",)]
SHIPPED = [*CONFIRMED, ("ship", {"ln_1": 1}), ("deliver", 0)]
CAPTURED = [*SHIPPED, ("rest",), ("lose", {"ln_2": 1}), ("ship", {"ln_1": 1, "ln_2": 1})]
COMPLETED = [*CAPTURED, ("finish",)]
EARLY = [*CAPTURED, ("rest",), ("refund", 1), ("finish",)]
GIVEN_BACK = [*COMPLETED, ("refund", 1), ("rest",), ("refund_all",), ("rest",)]
DECLINED = [*HELD, ("hear",), ("answer", "declined"), ("hear",)]
opening = st.sampled_from(
    [[], HELD, CONFIRMED, SHIPPED, CAPTURED, COMPLETED, EARLY, GIVEN_BACK, DECLINED]
)


def stories(*words: str) -> st.SearchStrategy[list[Step]]:
    """What may happen, in any order; the gateway says these words."""
    steps = st.lists(
        st.one_of(
            st.tuples(st.just("deliver"), st.integers(0, 5)),
            st.tuples(st.just("answer"), st.sampled_from(words)),
            st.tuples(st.just("reserve"), units),
            st.tuples(st.just("ship"), units),
            st.tuples(st.just("lose"), units),
            st.tuples(st.just("refund"), st.integers(1, 600)),
            st.sampled_from(
                [("arrive",), ("cancel",), ("expire",), ("hear",), ("rest",), ("refund_all",)]
            ),
        ),
        max_size=25,
    )
    return st.builds(operator.add, opening, steps)


def agree(shop: Shop) -> None:
    """The three sums are one, whenever payment has heard all that the order said."""
    assert isinstance(shop.payment, Payment)
    if isinstance(shop.order, Confirmed) and shop.has_told_payment:
        due_minor = shop.order.due_minor
        assert (shop.payment.due_minor, shop.due_by_audit_minor()) == (due_minor, due_minor)


@settings(deadline=None)
@given(baskets, shipping, stories("approved", "unknown"))
def test_capture_payment_and_audit_find_the_same_sum_due(
    basket: list[tuple[int, int]], shipping_minor: int, story: list[Step]
) -> None:
    shop = Shop(basket, shipping_minor)
    shop.rest()
    for step in story:
        shop.live([step])
        agree(shop)
    was_confirmed = isinstance(shop.order, Confirmed)
    shop.finish()
    assert isinstance(shop.payment, Payment)
    if was_confirmed:
        assert isinstance(shop.order, Ended), "what was shipped and paid is not enough for capture"
    for _, event in shop.log:
        if isinstance(event, capture.OrderCompleted):
            sums = (shop.payment.captured_minor, shop.payment.due_minor, shop.due_by_audit_minor())
            assert sums == (event.captured_minor,) * 3


def test_an_order_in_two_parcels_with_a_lost_line_and_a_refund_comes_to_one_sum() -> None:
    shop = Shop([(4, 255), (3, 100)], 495)
    shop.live([*CAPTURED, ("rest",), ("refund", 100), ("rest",)])
    agree(shop)
    shop.finish()
    assert isinstance(shop.order, Ended)
    assert isinstance(shop.payment, Payment)
    assert (shop.order.status, shop.order.money.refunded_minor) == ("completed", 100)
    # One of four was out of stock, one of three was not found.
    assert shop.payment.captured_minor == 3 * 255 + 2 * 100 + 495


@settings(deadline=None)
@given(baskets, shipping, stories("approved", "approved", "unknown", "try_again", "declined"))
def test_storefront_and_customer_read_the_same_of_an_order(
    basket: list[tuple[int, int]], shipping_minor: int, story: list[Step]
) -> None:
    shop = Shop(basket, shipping_minor)
    shop.live(story)
    for seen, order in shop.readings():
        shown = (order.status, order.payment, order.charged_minor)
        assert shown == (seen.status, seen.payment_status, seen.charged_minor)


ONE_EACH: list[Step] = [("rest",), ("reserve", {}), ("rest",)]
FIRST, SECOND = ("ship", {"ln_1": 1}), ("ship", {"ln_2": 1})
REFUSED: list[Step] = [("hear",), ("answer", "declined"), ("rest",)]


@pytest.mark.parametrize(
    ("story", "charged_minor", "says"),
    [
        ([FIRST, ("rest",), SECOND, *REFUSED], 40, "Paid for a part; the payment for the rest"),
        ([FIRST, *REFUSED, SECOND, ("rest",)], 60, "Paid for a part; the payment for the rest"),
        ([("ship", {"ln_1": 1, "ln_2": 1}), *REFUSED], 0, "Your payment was declined; nothing"),
    ],
    ids=["second", "first", "all"],
)
def test_nobody_is_told_that_a_shipment_is_paid_whose_capture_was_refused(
    story: list[Step], charged_minor: int, says: str
) -> None:
    """Nor once the gateway has let go of what was held besides."""
    shop = Shop([(1, 40), (1, 60)], 0)
    shop.live([*ONE_EACH, *story])
    *_, (seen, order) = shop.readings()
    assert (seen.payment_status, seen.charged_minor) == ("failed", charged_minor)
    assert words.payment(order).startswith(says)
