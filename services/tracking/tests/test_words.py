"""The customer's language: plain, complete, and never a word of ours."""

from itertools import product
from typing import Any, get_args

import pytest

from tracking import words
from tracking.views import Line, OrderPart, Parcel, ParcelsPart, Scan
from waybill_events.capture import MoneyStatus
from waybill_events.fulfillment import TrackingStatus
from waybill_runtime.testing.world import EPOCH

ENDS = ("rejected", "expired", "cancelled")
STATUSES = ("placed", "confirmed", "completed", *ENDS)
PAYMENTS = (
    "none",
    "pending",
    "authorized",
    "partially_captured",
    "captured",
    "voided",
    "refunded",
    "partially_refunded",
    "failed",
)


def order(quantity: int = 6, **changes: Any) -> OrderPart:
    units = {name: changes.pop(name, 0) for name in ("cancelled", "shipped", "delivered")}
    line = Line(line_id="ln_1", sku="A", name="Heart", quantity=quantity, **units)
    return OrderPart(
        external_ref=None,
        placed_at=EPOCH,
        currency="GBP",
        total_minor=100,
        shipping_option="standard",
        locale="en",
        lines=(line,),
        **changes,
    )


def parcel(*statuses: str, delivered: bool = False) -> Parcel:
    return Parcel(
        shipment_id="shp_x-1",
        carrier="sandbox",
        tracking_number="SB1",
        dispatched_at=EPOCH,
        delivered=delivered,
        scans=tuple(Scan(status=s, happened_at=EPOCH, place="") for s in statuses),
    )


@pytest.mark.parametrize(("status", "payment"), list(product(STATUSES, PAYMENTS)))
def test_every_state_has_plain_words(status: str, payment: str) -> None:
    shown = order(status=status, payment=payment)
    for text in (
        words.headline(shown, ParcelsPart()),
        words.payment(shown),
        words.fulfillment(shown, ParcelsPart()),
    ):
        assert text
        assert "_" not in text


def made_readable(state: str) -> str:
    """What is said of a state that is new to us: its own name."""
    return state.replace("_", " ").capitalize()


@pytest.mark.parametrize("payment", PAYMENTS)
def test_every_state_of_a_payment_has_words_of_its_own(payment: str) -> None:
    shown = order(status="confirmed", payment=payment)
    assert words.payment(shown) != made_readable(payment)


def test_every_word_that_an_order_has_for_its_money_is_among_these_states() -> None:
    """An abandoned payment is shown as none."""
    assert {*get_args(MoneyStatus)} - {*PAYMENTS} == {"abandoned"}


def test_every_state_of_a_parcel_has_words_of_its_own() -> None:
    """But for three whose name is the plain word."""
    as_named = {one for one in get_args(TrackingStatus) if words.scan(one) == made_readable(one)}
    assert as_named == {"delayed", "delivered", "out_for_delivery"}


def test_a_state_that_is_new_to_us_is_still_readable() -> None:
    assert words.scan("held_at_customs") == "Held at customs"
    assert words.payment(order(payment="under_review")) == "Under review"


@pytest.mark.parametrize(
    ("reason", "headline"),
    [
        (
            "out_of_stock",
            "We could not accept your order because we do not have enough of it in stock.",
        ),
        ("payment_declined", "We could not accept your order because your payment was declined."),
        ("never_heard_of", "We could not accept your order."),
        (None, "We could not accept your order."),
    ],
)
def test_a_refusal_says_why_where_we_have_words_for_it(reason: str | None, headline: str) -> None:
    assert words.headline(order(status="rejected", reason=reason), ParcelsPart()) == headline


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize("payment", ["pending", "authorized", "voided"])
def test_an_order_that_ended_unpaid_charged_nothing(status: str, payment: str) -> None:
    assert words.payment(order(status=status, payment=payment)) == "Nothing was charged"


@pytest.mark.parametrize(
    ("units", "says"),
    [
        ({}, "Being prepared"),
        ({"shipped": 2}, "2 of 6 items are on their way"),
        ({"shipped": 6}, "Everything is on its way"),
        ({"shipped": 6, "delivered": 2}, "2 of 6 items were delivered"),
        ({"shipped": 6, "delivered": 6}, "Everything was delivered"),
        ({"shipped": 4, "delivered": 4, "cancelled": 2}, "4 items were delivered; 2 of 6 items"),
    ],
)
def test_goods_are_counted_in_what_will_come(units: dict[str, int], says: str) -> None:
    shown = order(status="confirmed", **units)
    assert words.fulfillment(shown, ParcelsPart()).startswith(says)
    assert says in words.headline(shown, ParcelsPart())


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("requested", "Being prepared"),
        ("picked", "Being packed"),
        ("packed", "Packed, and waiting for the carrier"),
    ],
)
def test_steps_in_the_warehouse_are_told(step: str, says: str) -> None:
    parts = ParcelsPart(steps={"ffo_x-1": step})
    assert words.fulfillment(order(status="confirmed"), parts) == says


def test_a_cancellation_under_way_is_what_matters_most() -> None:
    shown = order(status="confirmed", cancelling=True)
    assert words.headline(shown, ParcelsPart()) == "We are trying to cancel your order."


@pytest.mark.parametrize(
    ("one", "status"),
    [
        (parcel(), "label_created"),
        (parcel("picked_up", "in_transit"), "in_transit"),
        (parcel("in_transit", delivered=True), "delivered"),
    ],
)
def test_a_parcel_is_where_its_newest_scan_says(one: Parcel, status: str) -> None:
    assert words.parcel_status(one) == status
