"""If-Match on a real Postgres: what commits while a cancellation waits is not ignored."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from typing import Protocol

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from capture import bootstrap, service
from capture.decider import commands
from capture.settings import Settings
from waybill_events.event import Allocation
from waybill_runtime.adapters.memory.broker import MemoryBroker
from waybill_runtime.adapters.memory.bus import MemoryBus
from waybill_runtime.adapters.postgres import migrate
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.clock import SystemClock
from waybill_runtime.decider import Intent
from waybill_runtime.http import auth
from waybill_runtime.ids import RandomIds
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping
from waybill_runtime.service import Service
from waybill_runtime.store import Transaction
from waybill_runtime.work import Cause, Work

pytestmark = pytest.mark.postgres

CLOCK = SystemClock()
CAUSE = Cause(causation_id="test", actor="system:test")
_number = itertools.count(1)

ORDER = {
    "channel": "web",
    "currency": "GBP",
    "customer": {"ref": "17850", "email": "buyer@example.com", "locale": "en-GB"},
    "shipping_address": {
        "name": "A. Buyer",
        "line1": "1 High Street",
        "city": "London",
        "postal_code": "N1 9GU",
        "country_code": "GB",
    },
    "lines": [{"sku": "85123A", "name": "A light", "quantity": 1, "unit_price_minor": 255}],
    "shipping": {"option": "standard", "price_minor": 495},
    "payment": {"method": "card", "token": "tok_approve"},
}
RESERVED = commands.NoteReserved(
    reservation_id="res_x",
    allocations=(Allocation(line_id="ln_1", sku="85123A", location="main", quantity=1),),
    shortages=(),
)
CONFIRMED = commands.NoteAuthorized(payment_id="pay_x", amount_minor=750)


class Postgres(Protocol):
    """What the fixture `postgres` offers."""

    def create_database(self, name: str) -> str: ...

    def drop_database(self, name: str) -> None: ...


@pytest.fixture
async def dsn(postgres: Postgres) -> AsyncIterator[str]:
    name = f"capture_{os.getpid()}_{next(_number)}"
    dsn = await asyncio.to_thread(postgres.create_database, name)
    await migrate.upgrade(dsn)
    yield dsn
    await asyncio.to_thread(postgres.drop_database, name)


@pytest.fixture
async def on(dsn: str) -> AsyncIterator[Infrastructure]:
    store = await PostgresStore.open(dsn, clock=CLOCK, max_connections=4, name="capture")
    bus = MemoryBus(MemoryBroker(CLOCK), "capture")
    yield Infrastructure(store, bus, CLOCK, RandomIds(CLOCK), Stopping())
    await store.close()


@pytest.fixture
async def http(on: Infrastructure) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        database_url=SecretStr("unused"),
        key_pepper=SecretStr("pepper"),
        tracking_token_secret=SecretStr("secret"),
        public_tracking_url="https://track.example",
    )
    ring = auth.KeyRing(on.store, on.clock, "pepper")
    key = auth.new_key()
    await ring.add(key, name="shop", scopes=auth.ROLES["storefront"])
    app = Service(bootstrap.compose(settings, on), on).app(ring)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://capture.test",
        headers={"Authorization": f"Bearer {key}"},
    ) as client:
        yield client


async def decide(
    on: Infrastructure, transaction: Transaction, order_id: str, *given: commands.Command
) -> None:
    work = Work(transaction, now=on.store.now(), ids=on.ids)
    await work.run([(Intent(service.ORDER, order_id, command), CAUSE) for command in given])
    await work.flush()


async def somebody_waits(dsn: str) -> None:
    """Returns once a connection waits for a lock that another one holds; at most 10 s."""
    looking = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(10):
            while not await looking.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0.01)
    finally:
        await looking.close()


async def test_a_cancellation_that_the_confirmation_overtook_is_decided_anew_by_its_sender(
    dsn: str, on: Infrastructure, http: httpx.AsyncClient
) -> None:
    placed = await http.post("/v1/orders", json=ORDER, headers={"Idempotency-Key": "k1"})
    order_id, seen = placed.json()["id"], placed.headers["ETag"]
    async with asyncio.TaskGroup() as group, on.store.transaction() as first:
        await decide(on, first, order_id, RESERVED, CONFIRMED)
        second = group.create_task(
            http.post(
                f"/v1/orders/{order_id}/cancel",
                json={"reason": "customer_request"},
                headers={"Idempotency-Key": "k2", "If-Match": seen},
            )
        )
        await somebody_waits(dsn)
    assert second.result().status_code == 412, second.result().text
    order = (await http.get(f"/v1/orders/{order_id}")).json()
    assert (order["status"], order["cancellation"]) == ("confirmed", None)
