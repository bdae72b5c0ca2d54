"""If-Match on a real Postgres: what commits while a refund waits for its payment is not ignored."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr

from payment import bootstrap
from payment.adapters.gateway_memory import MemoryGateway
from payment.decider import commands
from payment.service import PAYMENT
from payment.settings import Settings
from waybill_events.event import LineQuantity
from waybill_events.payment import PaymentInitiated, PricedLine
from waybill_runtime.clock import SystemClock
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

CLOCK = SystemClock()

CAPTURED: tuple[commands.Command, ...] = (
    commands.Initiate(
        payment=PaymentInitiated(
            payment_id="pay_x",
            order_id="ord_x",
            amount_minor=2025,
            currency="GBP",
            method="card",
            token="tok_approve",
            lines=(PricedLine(line_id="ln_1", quantity=6, unit_price_minor=255),),
            shipping_minor=495,
        )
    ),
    commands.Authorize(),
    commands.NoteAuthorized(
        key="ord_x:authorize:1",
        authorization_id="ga_1",
        expires_at=CLOCK.now() + timedelta(days=7),
    ),
    commands.CaptureShipment(
        shipment_id="shp_x-1", lines=(LineQuantity(line_id="ln_1", sku="A", quantity=6),)
    ),
    commands.NoteDone(key="ord_x:capture:shp_x-1"),
)
GOODWILL = commands.Refund(refund_id="rfn_first", amount_minor=495, reason="goodwill")


@pytest.fixture
async def dsn(postgres: Server) -> AsyncIterator[str]:
    async with fresh_database(postgres, "payment") as dsn:
        yield dsn


@pytest.fixture
async def on(dsn: str) -> AsyncIterator[Infrastructure]:
    async with process(dsn, "payment") as on:
        yield on


@pytest.fixture
async def http(on: Infrastructure) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        database_url=SecretStr("unused"),
        key_pepper=SecretStr(PEPPER),
        gateway_url="http://gateway.test",
        gateway_api_key=SecretStr("key"),
        gateway_webhook_secret=SecretStr("whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="),
    )
    service = Service(bootstrap.assemble(settings, on, MemoryGateway(on.clock)), on)
    async with asking(service, auth.ROLES["operator"], name="staff") as client:
        yield client


async def decide(on: Infrastructure, transaction: Transaction, *given: commands.Command) -> None:
    work = Work(transaction, now=on.store.now(), ids=on.ids)
    await work.run([(Intent(PAYMENT, "ord_x", command), CAUSE) for command in given])
    await work.flush()


async def test_a_refund_that_another_one_overtook_is_decided_anew_by_its_sender(
    dsn: str, on: Infrastructure, http: httpx.AsyncClient
) -> None:
    async with on.store.transaction() as transaction:
        await decide(on, transaction, *CAPTURED)
    seen = (await http.get("/v1/payments/pay_x")).headers["ETag"]
    async with asyncio.TaskGroup() as group, on.store.transaction() as first:
        await decide(on, first, GOODWILL)
        second = group.create_task(
            http.post(
                "/v1/payments/pay_x/refunds",
                json={"amount_minor": 495, "reason": "goodwill"},
                headers={"Idempotency-Key": "k1", "If-Match": seen},
            )
        )
        await somebody_waits(dsn)
    assert second.result().status_code == 412, second.result().text
    payment = (await http.get("/v1/payments/pay_x")).json()
    refunds = [one for one in payment["operations"] if one["operation"] == "refund"]
    assert [one["reference"] for one in refunds] == ["rfn_first"]
