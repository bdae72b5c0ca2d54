"""If-Match on a real Postgres: what commits while a cancellation waits is not ignored."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr

from capture import bootstrap, service
from capture.decider import commands
from capture.settings import Settings
from waybill_events.event import Allocation
from waybill_runtime.decider import Intent
from waybill_runtime.http import auth
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.service import Service
from waybill_runtime.store import Transaction
from waybill_runtime.testing.asking import PEPPER, asking
from waybill_runtime.testing.postgres import Server, fresh_database, process, somebody_waits
from waybill_runtime.testing.working import CAUSE
from waybill_runtime.work import Work

pytestmark = pytest.mark.postgres


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


@pytest.fixture
async def dsn(postgres: Server) -> AsyncIterator[str]:
    async with fresh_database(postgres, "capture") as dsn:
        yield dsn


@pytest.fixture
async def on(dsn: str) -> AsyncIterator[Infrastructure]:
    async with process(dsn, "capture") as on:
        yield on


@pytest.fixture
async def http(on: Infrastructure) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        database_url=SecretStr("unused"),
        key_pepper=SecretStr(PEPPER),
        tracking_token_secret=SecretStr("secret"),
        public_tracking_url="https://track.example",
    )
    served = Service(bootstrap.compose(settings, on), on)
    async with asking(served, auth.ROLES["storefront"], name="shop") as client:
        yield client


async def decide(
    on: Infrastructure, transaction: Transaction, order_id: str, *given: commands.Command
) -> None:
    work = Work(transaction, now=on.store.now(), ids=on.ids)
    await work.run([(Intent(service.ORDER, order_id, command), CAUSE) for command in given])
    await work.flush()


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
