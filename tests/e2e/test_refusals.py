"""What cannot be had is refused cleanly: nothing stays held, nothing is charged."""

import pytest

from shopper import Shopper, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.mark.parametrize("token", ["tok_decline", "tok_insufficient_funds", "tok_pending_decline"])
async def test_a_declined_payment_releases_the_stock(shopper: Shopper, token: str) -> None:
    sku = await shopper.new_sku(3)
    order = await shopper.place({sku: 2}, token=token)
    seen = await shopper.wait_for(order, "rejected")
    assert seen["reason"] == "payment_declined"
    assert seen["payment_status"] == "failed"
    assert seen["fulfillment_status"] == "cancelled"
    await shopper.wait_for_stock(sku, 3, 0, 0, 3)
    assert await shopper.charges(order) == [("authorize", "declined", 2 * 255 + 495)]

    async def is_told() -> bool:
        return len(await shopper.mails(order)) == 1

    await eventually(is_told, "the customer to be told of the refusal")


async def test_what_is_out_of_stock_is_refused_without_asking_for_money(shopper: Shopper) -> None:
    sku = await shopper.new_sku(1)
    order = await shopper.place({sku: 2})
    seen = await shopper.wait_for(order, "rejected")
    assert seen["reason"] == "out_of_stock"
    await shopper.wait_for_stock(sku, 1, 0, 0, 1)
    assert await shopper.charges(order) == []


async def test_all_or_nothing_means_that_no_line_of_a_refused_order_stays_held(
    shopper: Shopper,
) -> None:
    there, missing = await shopper.new_sku(5), await shopper.new_sku(1)
    order = await shopper.place({there: 5, missing: 2})
    await shopper.wait_for(order, "rejected")
    await shopper.wait_for_stock(there, 5, 0, 0, 5)


async def test_an_order_that_allows_it_gets_what_there_is_and_pays_for_that(
    shopper: Shopper,
) -> None:
    there, scarce = await shopper.new_sku(5), await shopper.new_sku(1)
    order = await shopper.place({there: 2, scarce: 3}, allow_partial=True)
    seen = await shopper.wait_for(order, "completed")
    shipped = {line["sku"]: line["quantities"]["shipped"] for line in seen["lines"]}
    cancelled = {line["sku"]: line["quantities"]["cancelled"] for line in seen["lines"]}
    assert shipped == {there: 2, scarce: 1}
    assert cancelled == {there: 0, scarce: 2}
    due_minor = 3 * 255 + 495
    assert await shopper.charges(order) == [
        ("authorize", "approved", due_minor),
        ("capture", "approved", due_minor),
    ]
