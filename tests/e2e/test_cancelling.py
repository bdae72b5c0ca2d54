"""A customer cancels, at each stage at which that is still possible."""

import pytest

from application_under_test import HAND
from shopper import Shopper

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TOTAL_MINOR = 2 * 255 + 495


async def test_an_order_that_is_only_placed_is_cancelled_at_once(shopper: Shopper) -> None:
    sku = await shopper.new_sku(2, HAND)
    order = await shopper.place({sku: 2}, token="tok_pending")
    answer = await shopper.cancel(order.id)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "cancelled"
    await shopper.wait_for_stock(sku, 2, 0, 0, 2)
    charged = [entry for entry in await shopper.charges(order) if entry[0] == "capture"]
    assert charged == []


@pytest.mark.parametrize("stage", ["", "accept", "pick", "pack"])
async def test_until_it_is_dispatched_an_order_can_be_cancelled_and_costs_nothing(
    shopper: Shopper, stage: str
) -> None:
    sku = await shopper.new_sku(2, HAND)
    order = await shopper.place({sku: 2})
    (part,) = await shopper.fulfillment_orders(order)
    if stage:
        await shopper.work(part["id"], until=stage)
    answer = await shopper.cancel(order.id)
    assert answer.status_code == 200, answer.text

    seen = await shopper.wait_for(order, "cancelled")
    assert seen["reason"] == "customer_request"
    assert seen["fulfillment_status"] == "cancelled"
    await shopper.wait_for_stock(sku, 2, 0, 0, 2)
    await shopper.wait_for_charges(
        order, ("authorize", "approved", TOTAL_MINOR), ("void", "approved", TOTAL_MINOR)
    )
    assert (await shopper.fulfillment_order(part["id"]))["status"] == "cancelled"


async def test_what_was_dispatched_is_not_cancelled_any_more(shopper: Shopper) -> None:
    sku = await shopper.new_sku(2, HAND)
    order = await shopper.place({sku: 2})
    (part,) = await shopper.fulfillment_orders(order)
    await shopper.work(part["id"])
    seen = await shopper.wait_for(order, "completed")
    answer = await shopper.cancel(order.id)
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith("too-late-to-cancel")
    assert (await shopper.order(order.id))["version"] == seen["version"]


async def test_cancelling_twice_cancels_once(shopper: Shopper) -> None:
    sku = await shopper.new_sku(1, HAND)
    order = await shopper.place({sku: 1}, token="tok_pending")
    first, second = await shopper.cancel(order.id), await shopper.cancel(order.id)
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json()["version"] == first.json()["version"]
