"""Processes die in mid-flow; the supervisor starts them again, and no order is lost."""

import asyncio
import signal

import pytest

from application_under_test import Application
from shopper import Shopper
from waybill.programs import SERVICES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ORDERS = 8


async def orders_through(shopper: Shopper, name: str, number: signal.Signals) -> None:
    """Place orders, end a program in the middle of them, and see all of them completed."""
    sku = await shopper.new_sku(ORDERS)
    shop = [asyncio.create_task(shopper.place_whatever_happens({sku: 1})) for _ in range(ORDERS)]
    await asyncio.wait(shop[: ORDERS // 2])
    await asyncio.to_thread(shopper.application.kill_and_wait, name, number)
    orders = await asyncio.gather(*shop)
    ends = await asyncio.gather(*(shopper.wait_for_end(order) for order in orders))
    assert [end["status"] for end in ends] == ["completed"] * ORDERS
    await shopper.wait_for_stock(sku, 0, 0, 0, 0)
    for order in orders:
        total = order.total_minor
        assert await shopper.charges(order) == [
            ("authorize", "approved", total),
            ("capture", "approved", total),
        ]


@pytest.mark.parametrize("name", SERVICES)
async def test_orders_survive_the_death_of_any_service(shopper: Shopper, name: str) -> None:
    await orders_through(shopper, name, signal.SIGKILL)


async def test_orders_survive_the_death_of_postgres(shopper: Shopper) -> None:
    await orders_through(shopper, "postgres", signal.SIGKILL)


async def test_orders_survive_a_restart_of_the_broker(
    shopper: Shopper, application: Application
) -> None:
    # On the Postgres bus the broker is the database, stopped in order this time.
    name = "kafka" if application.bus == "kafka" else "postgres"
    number = signal.SIGTERM if name == "kafka" else signal.SIGINT
    await orders_through(shopper, name, number)
