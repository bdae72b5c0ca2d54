"""An order whose payment never comes expires, and money that comes too late is given back.

A second replica of capture, told of a short deadline, takes these orders.
"""

from collections.abc import Iterator

import pytest

from application_under_test import Application
from shopper import Shopper, eventually, types

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def hasty(application: Application) -> Iterator[str]:
    with application.replica("capture", "api", UNPAID_ORDER_TTL_S="2") as url:
        yield url


async def test_an_unpaid_order_expires_and_money_that_comes_late_is_voided(
    shopper: Shopper, hasty: str
) -> None:
    sku = await shopper.new_sku(1)
    order = await shopper.place({sku: 1}, hasty, token="tok_pending")
    seen = await shopper.wait_for(order, "expired")
    assert seen["reason"] == "not_confirmed_in_time"
    await shopper.wait_for_stock(sku, 1, 0, 0, 1)
    # The gateway approves seconds after the order is gone.
    total = order.total_minor
    await shopper.wait_for_charges(
        order, ("authorize", "approved", total), ("void", "approved", total)
    )

    async def is_let_go() -> bool:
        return bool((await shopper.payment(order))["status"] == "voided")

    await eventually(is_let_go, "the payment to be voided")
    assert (await shopper.order(order.id))["status"] == "expired"


async def test_an_order_that_is_paid_in_time_does_not_expire(shopper: Shopper, hasty: str) -> None:
    sku = await shopper.new_sku(1)
    order = await shopper.place({sku: 1}, hasty)

    async def has_ended() -> bool:
        return (await shopper.order(order.id))["status"] in ("completed", "expired")

    await eventually(has_ended, "the order to end")
    seen = await shopper.order(order.id)

    async def is_told() -> bool:
        told = types(await shopper.timeline(order))
        return f"order_{seen['status']}" in told

    await eventually(is_told, "the timeline to come to the end")
    told = types(await shopper.timeline(order))
    # On a slow machine its two seconds may pass; then nothing may have been taken for it.
    assert (seen["status"] == "completed") == ("order_confirmed" in told)
    if seen["status"] == "expired":
        captured = [one for one in await shopper.charges(order) if one[0] == "capture"]
        assert captured == []
