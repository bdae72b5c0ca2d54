"""I3 on a real Postgres, with two replicas: what there is is sold, once, and nothing more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from inventory import bodies
from inventory.bootstrap import compose
from inventory.service import Shelves
from inventory.settings import Settings
from waybill_events import capture, codec, inventory
from waybill_events.event import Event
from waybill_runtime.adapters.memory.broker import MemoryBroker
from waybill_runtime.bus import PARTITIONS, Delivery, Message, Partition, partition_of
from waybill_runtime.clock import SystemClock
from waybill_runtime.relay import message
from waybill_runtime.service import Service
from waybill_runtime.store import Transaction
from waybill_runtime.testing import orders
from waybill_runtime.testing.postgres import Server, fresh_database, process
from waybill_runtime.testing.world import recorded
from waybill_runtime.transact import transact
from waybill_runtime.work import Asked

pytestmark = pytest.mark.postgres

CLOCK = SystemClock()


@pytest.fixture
async def dsn(postgres: Server) -> AsyncIterator[str]:
    async with fresh_database(postgres, "inventory") as dsn:
        yield dsn


@pytest.fixture
async def replicas(dsn: str) -> AsyncIterator[list[Service]]:
    """Two services as two processes would run them, each with a pool of its own."""
    broker = MemoryBroker(CLOCK)
    settings = Settings(database_url=dsn, key_pepper="p", location_priorities="main=1")
    async with AsyncExitStack() as stack:
        services = []
        for node in ("one", "two"):
            on = await stack.enter_async_context(process(dsn, node, broker=broker))
            services.append(Service(compose(settings, on), on))
        yield services


def placed(order: str, *skus: str) -> capture.OrderPlaced:
    lines = [orders.line(number, 1, 100, sku=sku) for number, sku in enumerate(skus, start=1)]
    return orders.placed(*lines, order_id=order, expires_at=datetime.now(UTC) + timedelta(hours=1))


async def receive(service: Service, quantity: int, *skus: str) -> None:
    on = service.infrastructure
    lines = [bodies.ReceiptLine(sku=sku, quantity=quantity) for sku in skus]
    receipt = bodies.Receipt(location="main", reference="PO-1", lines=lines)

    async def body(transaction: Transaction) -> None:
        asked = Asked(tenant="default", actor="key:test", command_id="key:1")
        await Shelves(on).receive(transaction, asked, receipt)

    await transact(on.store, on.ids, body)


def of_topic_orders(events: list[Event]) -> dict[Partition, list[Delivery]]:
    """The events as they lie in the partitions of their topic."""
    log: dict[Partition, list[Delivery]] = {}
    for event in events:
        assert isinstance(event, capture.OrderPlaced)
        row = recorded(
            event,
            stream=f"default/order/{event.order_id}",
            version=1,
            topic="orders",
            key=event.order_id,
        )
        partition = Partition("orders", partition_of(event.order_id))
        sent: Message = message(row)
        lying = log.setdefault(partition, [])
        lying.append(Delivery(sent, partition, len(lying)))
    return log


async def share(replicas: list[Service], events: list[Event], batch: int) -> None:
    """Half of the partitions to each replica, both at work at once, so many at a time."""
    log = of_topic_orders(events)

    async def work(service: Service, own: set[int]) -> None:
        mine = [partition for partition in sorted(log) if partition.number in own]
        await service.consumer.assigned(mine)
        deliveries = [delivery for partition in mine for delivery in log[partition]]
        for start in range(0, len(deliveries), batch):
            await service.consumer.take(deliveries[start : start + batch])

    async with asyncio.TaskGroup() as group:
        for number, service in enumerate(replicas):
            group.create_task(work(service, set(range(number, PARTITIONS, len(replicas)))))


async def log_of(service: Service, category: str) -> list[Event]:
    async with service.infrastructure.store.reading() as reading:
        return [codec.decode(row) async for row in reading.streams.scan(category)]


def promised(levels: tuple[inventory.StockLevel, ...]) -> bool:
    return all(level.held + level.allocated <= level.on_hand for level in levels)


@pytest.mark.parametrize("batch", [1, 7, 100])
async def test_two_hundred_buyers_get_exactly_the_ten_there_are(
    replicas: list[Service], batch: int
) -> None:
    await receive(replicas[0], 10, "HOT")
    await share(replicas, [placed(f"ord_{n:04}", "HOT") for n in range(200)], batch)
    answers = [type(event).__name__ for event in await log_of(replicas[0], "reservation")]
    assert answers.count("StockReserved") == 10
    assert answers.count("StockReservationRejected") == 190
    stock = await log_of(replicas[0], "stock")
    assert all(promised(event.levels) for event in stock if hasattr(event, "levels"))
    held = [event for event in stock if isinstance(event, inventory.StockHeld)]
    assert sum(len(event.moves) for event in held) == 10
    assert held[-1].levels[0].held == 10
    async with replicas[0].infrastructure.store.reading() as reading:
        assert await reading.parking.parked("inventory") == []


async def test_replicas_that_want_the_same_skus_in_opposite_orders_both_get_on(
    replicas: list[Service],
) -> None:
    skus = [f"S{n:02}" for n in range(20)]
    await receive(replicas[0], 1_000, *skus)
    events: list[Event] = [
        placed(f"ord_{n:04}", *(skus if n % 2 else reversed(skus))) for n in range(120)
    ]
    await share(replicas, events, 10)
    answers = [type(event).__name__ for event in await log_of(replicas[0], "reservation")]
    assert answers == ["StockReserved"] * 120
    async with replicas[0].infrastructure.store.reading() as reading:
        assert await reading.parking.parked("inventory") == []
