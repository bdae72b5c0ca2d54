"""Money goes back after the goods arrived; every book knows how much, and nothing is amiss."""

import asyncio

import pytest

from shopper import Json, Placed, Shopper, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PART_MINOR = 255


async def given_back(shopper: Shopper, order: Placed) -> list[tuple[str, int]]:
    """Outcomes and amounts of an order's refunds, in the gateway's own ledger."""
    references = {
        one["reference"]
        for one in (await shopper.payment(order))["operations"]
        if one["operation"] == "refund"
    }
    return [
        (entry["outcome"], entry["amount_minor"])
        for entry in await shopper.ledger()
        if entry["operation"] == "refund" and entry["reference"] in references
    ]


async def test_a_completed_order_is_refunded_in_parts_and_the_audit_stays_clean(
    shopper: Shopper,
) -> None:
    sku = await shopper.new_sku(2)
    order = await shopper.place_twice({sku: 2})
    await shopper.wait_for(order, "completed")
    assert (await shopper.track(order)).status_code == 200
    rest_minor = order.total_minor - PART_MINOR

    for amount_minor, sum_minor, status in (
        (PART_MINOR, PART_MINOR, "partially_refunded"),
        (rest_minor, order.total_minor, "refunded"),
    ):
        seen = await shopper.payment(order)
        answer = await shopper.refund(order, amount_minor, f'"{seen["version"]}"')
        assert answer.status_code == 202, answer.text
        paid = await wait_for_refunded(shopper, order, sum_minor)
        assert paid["status"] == status
        await wait_for_payment_status(shopper, order, status)
    stale = await shopper.refund(order, PART_MINOR, f'"{seen["version"]}"')
    assert stale.status_code == 412, stale.text
    too_much = await shopper.refund(order, 1, "*")
    assert too_much.status_code == 409, too_much.text

    assert await given_back(shopper, order) == [
        ("approved", PART_MINOR),
        ("approved", rest_minor),
    ]
    assert (await shopper.order(order.id))["status"] == "completed"
    await wait_for_mails(shopper, order, 5)
    audited = await asyncio.to_thread(shopper.application.waybill, "audit", "--json")
    assert audited.returncode == 0, audited.stdout + audited.stderr


async def wait_for_refunded(shopper: Shopper, order: Placed, sum_minor: int) -> Json:
    """The payment once so much was given back."""

    async def look() -> Json | None:
        seen = await shopper.payment(order)
        return seen if seen["amounts"]["refunded_minor"] == sum_minor else None

    return await eventually(look, f"{sum_minor} of {order.id} to be given back")


async def wait_for_payment_status(shopper: Shopper, order: Placed, status: str) -> None:
    async def look() -> bool:
        return bool((await shopper.order(order.id))["payment_status"] == status)

    await eventually(look, f"{order.id} to show {status}")


async def wait_for_mails(shopper: Shopper, order: Placed, count: int) -> None:
    """Confirmed, shipped, delivered, and one for each refund."""

    async def look() -> bool:
        return len(await shopper.mails(order)) == count

    await eventually(look, f"{count} mails")
