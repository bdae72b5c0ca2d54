"""Warehouses find less, refuse, and ship in parts; money and stock follow the goods."""

import pytest

from application_under_test import HAND
from shopper import Shopper, digest, eventually, types

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


async def test_what_a_warehouse_does_not_find_is_never_charged(shopper: Shopper) -> None:
    sku = await shopper.new_sku(5, HAND)
    order = await shopper.place({sku: 3})
    (part,) = await shopper.fulfillment_orders(order)
    await shopper.work(part["id"], units={part["lines"][0]["line_id"]: 2})
    seen = await shopper.wait_for(order, "completed")
    (line,) = seen["lines"]
    assert (line["quantities"]["shipped"], line["quantities"]["cancelled"]) == (2, 1)
    assert seen["payment_status"] == "captured"
    captured = [one for one in await shopper.charges(order) if one[0] == "capture"]
    assert captured == [("capture", "approved", 2 * 255 + 495)]
    amounts = (await shopper.payment(order))["amounts"]
    assert amounts["captured_minor"] + amounts["voided_minor"] == amounts["authorized_minor"]


async def test_when_nothing_is_found_the_order_is_cancelled_and_its_money_released(
    shopper: Shopper,
) -> None:
    sku = await shopper.new_sku(2, HAND)
    order = await shopper.place({sku: 2})
    (part,) = await shopper.fulfillment_orders(order)
    await shopper.work(part["id"], until="pick", units={part["lines"][0]["line_id"]: 0})
    seen = await shopper.wait_for(order, "cancelled")
    assert seen["reason"] == "short_pick"
    total = order.total_minor
    await shopper.wait_for_charges(
        order, ("authorize", "approved", total), ("void", "approved", total)
    )


async def test_an_order_from_two_locations_ships_twice_and_each_shipment_is_paid_by_itself(
    shopper: Shopper,
) -> None:
    near, far = await shopper.new_sku(2), await shopper.new_sku(3, HAND)
    order = await shopper.place({near: 2, far: 3})
    parts = await shopper.fulfillment_orders(order, 2)
    by_hand = next(part for part in parts if part["location"] == HAND)

    async def is_partly_there() -> bool:
        return bool((await shopper.order(order.id))["fulfillment_status"] == "partially_delivered")

    await eventually(is_partly_there, "the first shipment to arrive")
    await shopper.work(by_hand["id"])
    seen = await shopper.wait_for(order, "completed")
    assert seen["fulfillment_status"] == "delivered"
    authorised, first, last = await shopper.charges(order)
    assert authorised == ("authorize", "approved", order.total_minor)
    assert [first[:2], last[:2]] == [("capture", "approved")] * 2
    assert first[2] + last[2] == order.total_minor
    assert (await shopper.payment(order))["amounts"]["authorized_minor"] == order.total_minor
    view = (await shopper.track(order)).json()
    assert len({shipment["tracking_number"] for shipment in view["shipments"]}) == 2


async def test_a_short_pick_after_a_first_shipment_releases_the_rest(shopper: Shopper) -> None:
    near, far = await shopper.new_sku(1), await shopper.new_sku(2, HAND)
    order = await shopper.place({near: 1, far: 2})
    parts = await shopper.fulfillment_orders(order, 2)
    by_hand = next(part for part in parts if part["location"] == HAND)
    missing = {by_hand["lines"][0]["line_id"]: 1}
    await shopper.work(by_hand["id"], units=missing)
    await shopper.wait_for(order, "completed")
    captured = [
        one[2] for one in await shopper.charges(order) if one[:2] == ("capture", "approved")
    ]
    assert sum(captured) == order.total_minor - 255
    amounts = (await shopper.payment(order))["amounts"]
    assert amounts["captured_minor"] + amounts["voided_minor"] == amounts["authorized_minor"]


async def test_what_one_location_rejects_another_one_ships(shopper: Shopper) -> None:
    sku = await shopper.new_sku(2, HAND)
    order = await shopper.place({sku: 2})
    (part,) = await shopper.fulfillment_orders(order)
    await shopper.receive(sku, 2)
    await shopper.step(part["id"], "reject", {"reason": "closed for stocktake"})
    seen = await shopper.wait_for(order, "completed")
    assert seen["fulfillment_status"] == "delivered"
    parts = await shopper.fulfillment_orders(order, 2)
    assert {one["location"]: one["status"] for one in parts} == {
        HAND: "rejected",
        "main": "shipped",
    }
    assert await shopper.charges(order) == [
        ("authorize", "approved", order.total_minor),
        ("capture", "approved", order.total_minor),
    ]


async def test_what_every_location_rejects_is_cancelled_and_voided(shopper: Shopper) -> None:
    sku = await shopper.new_sku(2, HAND)
    order = await shopper.place({sku: 2})
    (part,) = await shopper.fulfillment_orders(order)
    await shopper.step(part["id"], "reject", {"reason": "closed for stocktake"})
    seen = await shopper.wait_for(order, "cancelled")
    assert seen["payment_status"] in ("authorized", "voided")
    total = order.total_minor
    await shopper.wait_for_charges(
        order, ("authorize", "approved", total), ("void", "approved", total)
    )


async def test_the_feed_read_twice_to_its_end_tells_the_same(shopper: Shopper) -> None:
    sku = await shopper.new_sku(1)
    order = await shopper.place({sku: 1})
    await shopper.wait_for(order, "completed")
    first = await shopper.feed()
    second = await shopper.feed()
    assert second[: len(first)] == first
    assert digest(repr(first).encode()) == digest(repr(second[: len(first)]).encode())
    ours = [event for event in first if event["data"].get("order_id") == order.id]
    assert "shipment_dispatched" in types(ours)
    assert len({event["id"] for event in first}) == len(first)
