"""The gateway times out, fails and answers nonsense; nobody is charged twice or for nothing."""

import pytest

from application_under_test import HAND
from shopper import Shopper, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    "token",
    [
        "tok_timeout_after_charge",
        "tok_timeout_before_charge",
        "tok_error_once",
        "tok_stored_error",
        "tok_slow",
        "tok_pending",
        "tok_capture_timeout_after_charge",
    ],
)
async def test_whatever_the_gateway_answers_there_is_one_authorisation_and_one_capture(
    shopper: Shopper, token: str
) -> None:
    sku = await shopper.new_sku(1)
    order = await shopper.place({sku: 1}, token=token)
    seen = await shopper.wait_for(order, "completed")
    assert seen["payment_status"] == "captured"
    total = order.total_minor
    assert await shopper.charges(order) == [
        ("authorize", "approved", total),
        ("capture", "approved", total),
    ]
    amounts = (await shopper.payment(order))["amounts"]
    assert amounts["authorized_minor"] == amounts["captured_minor"] == total


async def test_goods_that_ship_after_the_authorisation_ran_out_are_paid_by_a_new_one(
    shopper: Shopper,
) -> None:
    sku = await shopper.new_sku(1, HAND)
    order = await shopper.place({sku: 1}, token="tok_expires_fast")
    (part,) = await shopper.fulfillment_orders(order)

    async def is_renewed() -> bool:
        return [one[0] for one in await shopper.charges(order)].count("authorize") >= 2

    await eventually(is_renewed, "a second authorisation")
    await shopper.work(part["id"])
    await shopper.wait_for(order, "completed")
    captured = [one for one in await shopper.charges(order) if one[:2] == ("capture", "approved")]
    assert captured == [("capture", "approved", order.total_minor)]
