"""Tracking's views are built anew while orders flow: reads neither stop nor go back."""

import asyncio

import pytest

from shopper import Placed, Shopper

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

VIEWS = ("customer", "tokens", "timeline")
ORDERS = 12


async def watch(shopper: Shopper, order: Placed, over: asyncio.Event) -> list[int]:
    """Look at one order without a break; its versions in the order of looking."""
    versions: list[int] = []
    while not over.is_set():
        answer = await shopper.track(order)
        assert answer.status_code == 200 or (answer.status_code == 404 and not versions)
        if answer.status_code == 200:
            versions.append(answer.json()["version"])
        await asyncio.sleep(0.02)
    return versions


async def test_views_are_rebuilt_while_orders_flow_and_readers_do_not_notice(
    shopper: Shopper,
) -> None:
    sku = await shopper.new_sku(ORDERS)
    over = asyncio.Event()
    orders = [await shopper.place({sku: 1}) for _ in range(ORDERS // 2)]
    async with asyncio.TaskGroup() as group:
        watching = [group.create_task(watch(shopper, order, over)) for order in orders]
        for view in VIEWS:
            answer, more = await asyncio.gather(
                asyncio.to_thread(shopper.application.waybill, "projections", "rebuild", view),
                shopper.place({sku: 1}),
            )
            assert answer.returncode == 0, answer.stderr
            assert f"tracking {view} equal" in answer.stdout, answer.stdout
            orders.append(more)
        for order in orders:
            await shopper.wait_for(order, "completed")
        over.set()
    for watched in watching:
        versions = watched.result()
        assert versions
        assert versions == sorted(versions)
    for order in orders:
        assert (await shopper.track(order)).status_code == 200
