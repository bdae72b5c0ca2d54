"""An order goes all the way, and every book tells the same story of it."""

import pytest

from shopper import Shopper, eventually, types

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CHAIN = [
    "order_placed",
    "stock_reserved",
    "order_reserved",
    "payment_authorized",
    "order_confirmed",
    "fulfillment_order_created",
    "shipment_dispatched",
    "shipment_delivered",
    "order_completed",
]


async def test_an_order_goes_from_placed_to_completed_and_all_books_agree(
    shopper: Shopper,
) -> None:
    sku = await shopper.new_sku(10)
    order = await shopper.place({sku: 6})
    assert order.total_minor == 6 * 255 + 495

    seen = await shopper.wait_for(order, "completed")
    axes = (seen["payment_status"], seen["fulfillment_status"], seen["return_status"])
    assert axes == ("captured", "delivered", "none")
    (line,) = seen["lines"]
    assert line["quantities"] == {
        "ordered": 6,
        "cancelled": 0,
        "pending": 0,
        "held": 0,
        "allocated": 0,
        "shipped": 6,
        "delivered": 6,
    }
    await shopper.wait_for_stock(sku, 4, 0, 0, 4)
    assert await shopper.charges(order) == [
        ("authorize", "approved", 2025),
        ("capture", "approved", 2025),
    ]


async def test_the_customer_sees_each_step_and_the_view_never_goes_back(shopper: Shopper) -> None:
    sku = await shopper.new_sku(1)
    order = await shopper.place({sku: 1})
    versions: list[int] = []

    async def look() -> bool:
        answer = await shopper.track(order)
        if answer.status_code == 404 and not versions:
            return False  # the view follows within a second
        assert answer.status_code == 200, answer.text
        versions.append(answer.json()["version"])
        return bool(answer.json()["order"]["headline"] == "Your order was delivered.")

    await eventually(look, "the customer to read of the delivery")
    assert versions == sorted(versions)
    view = (await shopper.track(order)).json()
    (shipment,) = view["shipments"]
    assert shipment["status"] == "delivered"
    assert shipment["tracking_number"]
    assert shipment["events"][0]["status"] == "delivered"
    known = {"If-None-Match": f'"{view["version"]}"'}
    url = f"{shopper.url('tracking')}/v1/track/{order.token}"
    assert (await shopper.http.get(url, headers=known)).status_code == 304
    assert (await shopper.http.get(url[:-3] + "xyz")).status_code == 404


async def test_the_customer_gets_one_mail_for_each_step_that_matters(shopper: Shopper) -> None:
    sku = await shopper.new_sku(2)
    order = await shopper.place({sku: 2})
    await shopper.wait_for(order, "completed")

    async def look() -> bool:
        return len(await shopper.mails(order)) >= 3

    await eventually(look, "three mails")
    assert len(await shopper.mails(order)) == 3


async def test_the_timeline_names_the_cause_of_every_event(shopper: Shopper) -> None:
    sku = await shopper.new_sku(1)
    order = await shopper.place({sku: 1})
    await shopper.wait_for(order, "completed")

    async def look() -> list[dict[str, object]] | None:
        entries = await shopper.timeline(order)
        return entries if set(CHAIN) <= set(types(entries)) else None

    entries = await eventually(look, "the timeline to be whole")
    told = types(entries)
    assert [told.index(name) for name in CHAIN] == sorted(told.index(name) for name in CHAIN)
    known = {entry["event_id"] for entry in entries}
    caused_by_events = [
        entry for entry in entries if str(entry["actor"]).startswith("system:") and entry["cause"]
    ]
    assert caused_by_events
    for entry in caused_by_events:
        is_of_a_call = str(entry["causation_id"]).startswith(f"{entry['cause']}:")
        assert is_of_a_call or entry["causation_id"] in known
    first = entries[0]
    assert told[0] == "order_placed"
    assert str(first["actor"]).startswith("key:")
