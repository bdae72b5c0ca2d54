"""Payment over HTTP on the memory store: reading, refunding, and the gateway's callbacks."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from pydantic import SecretStr

from payment import bootstrap, due
from payment.adapters.gateway_memory import MemoryGateway
from payment.effects import Caller
from payment.service import PAYMENT
from payment.settings import Settings
from waybill_events.event import LineQuantity
from waybill_events.payment import PaymentInitiated, PricedLine
from waybill_runtime.http import auth, signatures
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import Outcome
from waybill_runtime.service import Service
from waybill_runtime.stored import ClaimedJob
from waybill_runtime.testing.asking import PEPPER, asking
from waybill_runtime.testing.working import CAUSE, decide, working
from waybill_runtime.testing.world import World

from payment.decider import commands  # isort: skip

SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="
KEY = "ord_x:authorize:1"

INITIATED = PaymentInitiated(
    payment_id="pay_x",
    order_id="ord_x",
    amount_minor=2025,
    currency="GBP",
    method="card",
    token="tok_approve",
    lines=(PricedLine(line_id="ln_1", quantity=6, unit_price_minor=255),),
    shipping_minor=495,
)
SHIP = commands.CaptureShipment(
    shipment_id="shp_x-1", lines=(LineQuantity(line_id="ln_1", sku="A", quantity=6),)
)


@dataclass
class Rig:
    """The service behind its HTTP side, and by hand what its worker would do."""

    on: Infrastructure
    gateway: MemoryGateway
    http: httpx.AsyncClient

    async def decide(self, *given: commands.Command) -> None:
        await decide(self.on, PAYMENT, "ord_x", *given)

    async def due(self) -> list[ClaimedJob]:
        """Claim what is due now, as a worker would: nobody else can for the lease's time."""
        async with self.on.store.transaction() as transaction:
            return list(await transaction.jobs.claim(due.CALLS, limit=10, lease_s=30))

    async def work_off(self) -> None:
        """Make every call that is due, until none is."""
        caller = Caller(self.gateway, self.on.ids)
        while jobs := await self.due():
            for job in jobs:
                outcome: Outcome = await caller.call(job)
                async with working(self.on) as work:
                    await work.run([(intent, CAUSE) for intent in outcome.intents])
                    await work.transaction.jobs.finish([job.token])

    async def captured(self) -> None:
        await self.decide(commands.Initiate(payment=INITIATED), commands.Authorize())
        await self.work_off()
        await self.decide(SHIP)
        await self.work_off()

    async def call_back(
        self, key: str = KEY, *, id_: str = "gcb_1", age_s: int = 0, secret: str = SECRET
    ) -> httpx.Response:
        body = json.dumps({"id": id_, "idempotency_key": key, "type": "authorization.approved"})
        stamp = str(int(self.on.clock.now().timestamp()) - age_s)
        headers = {
            "Webhook-Id": id_,
            "Webhook-Timestamp": stamp,
            "Webhook-Signature": signatures.sign(secret, id_, stamp, body.encode()),
        }
        return await self.http.post("/v1/callbacks/gateway", content=body, headers=headers)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    on = World().infrastructure("payment")
    gateway = MemoryGateway(on.clock)
    settings = Settings(
        database_url=SecretStr("unused"),
        key_pepper=SecretStr(PEPPER),
        gateway_url="http://gateway.test",
        gateway_api_key=SecretStr("key"),
        gateway_webhook_secret=SecretStr(SECRET),
    )
    service = Service(bootstrap.assemble(settings, on, gateway), on)
    async with asking(service, auth.ROLES["operator"], name="staff") as http:
        yield Rig(on, gateway, http)


async def refund(
    rig: Rig, body: object, *, key: str = "r-1", if_match: str | None = "*"
) -> httpx.Response:
    headers = {"Idempotency-Key": key} | ({"If-Match": if_match} if if_match else {})
    return await rig.http.post("/v1/payments/pay_x/refunds", json=body, headers=headers)


async def test_a_payment_shows_its_sums_and_every_call_with_its_verdict(rig: Rig) -> None:
    await rig.captured()
    answer = await rig.http.get("/v1/payments/pay_x")
    assert answer.status_code == 200
    body = answer.json()
    assert answer.headers["etag"] == f'"{body["version"]}"'
    assert body["status"] == "captured"
    assert body["amounts"] == {
        "due_minor": 2025,
        "authorized_minor": 2025,
        "captured_minor": 2025,
        "voided_minor": 0,
        "expired_minor": 0,
        "refunded_minor": 0,
    }
    assert [(one["idempotency_key"], one["status"]) for one in body["operations"]] == [
        (KEY, "approved"),
        ("ord_x:capture:shp_x-1", "approved"),
    ]


@pytest.mark.parametrize("payment_id", ["pay_none", "ord_x", "pay_", "x"])
async def test_a_payment_that_does_not_exist_is_not_found(rig: Rig, payment_id: str) -> None:
    answer = await rig.http.get(f"/v1/payments/{payment_id}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_payment_of_an_order_is_found_by_the_order(rig: Rig) -> None:
    await rig.captured()
    answer = await rig.http.get("/v1/payments", params={"order_id": "ord_x"})
    assert answer.status_code == 200
    assert answer.json() == {"data": [(await rig.http.get("/v1/payments/pay_x")).json()]}


async def test_an_order_without_a_payment_has_an_empty_list(rig: Rig) -> None:
    answer = await rig.http.get("/v1/payments", params={"order_id": "ord_none"})
    assert (answer.status_code, answer.json()) == (200, {"data": []})


@pytest.mark.parametrize("query", [{}, {"order_id": ""}, {"order_id": "pay_x"}])
async def test_payments_are_listed_for_an_order_and_for_nothing_else(
    rig: Rig, query: dict[str, str]
) -> None:
    answer = await rig.http.get("/v1/payments", params=query)
    assert answer.status_code == 422
    assert "order_id" in answer.text


async def test_a_refund_is_taken_in_then_made(rig: Rig) -> None:
    await rig.captured()
    answer = await refund(rig, {"amount_minor": 495, "reason": "goodwill"})
    assert answer.status_code == 202
    assert answer.json()["operations"][-1]["status"] == "requested"
    await rig.work_off()
    body = (await rig.http.get("/v1/payments/pay_x")).json()
    assert (body["status"], body["amounts"]["refunded_minor"]) == ("partially_refunded", 495)


async def test_a_refund_sent_twice_is_made_once_and_answered_the_same(rig: Rig) -> None:
    await rig.captured()
    first = await refund(rig, {"amount_minor": 495, "reason": "goodwill"})
    again = await refund(rig, {"amount_minor": 495, "reason": "goodwill"})
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    await rig.work_off()
    assert [e.operation for e in rig.gateway.ledger].count("refund") == 1


async def test_refunds_beyond_what_was_captured_are_refused_with_what_would_be_possible(
    rig: Rig,
) -> None:
    await rig.captured()
    await refund(rig, {"amount_minor": 2000, "reason": "goodwill"})
    answer = await refund(rig, {"amount_minor": 26, "reason": "goodwill"}, key="r-2")
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:waybill:problem:refund-too-large"
    assert "At most 25" in answer.json()["detail"]
    await refund(rig, {"amount_minor": 25, "reason": "goodwill"}, key="r-3")
    answer = await refund(rig, {"amount_minor": 1, "reason": "goodwill"}, key="r-4")
    assert answer.json()["detail"].startswith("Nothing can be refunded")


async def test_a_refund_needs_a_key_and_the_version_it_was_decided_on(rig: Rig) -> None:
    await rig.captured()
    body = {"amount_minor": 1, "reason": "goodwill"}
    assert (await refund(rig, body, key="")).status_code == 400
    assert (await refund(rig, body, if_match=None)).status_code == 428
    assert (await refund(rig, body, if_match='"1"')).status_code == 412


@pytest.mark.parametrize(
    "body",
    [
        {"amount_minor": 0, "reason": "goodwill"},
        {"amount_minor": -1, "reason": "goodwill"},
        {"amount_minor": "1", "reason": "goodwill"},
        {"amount_minor": 1, "reason": "Free text, 4111 1111 1111 1111"},
        {"amount_minor": 1},
        {"amount_minor": 1, "reason": "goodwill", "currency": "GBP"},
        [],
    ],
)
async def test_a_refund_that_says_something_else_is_refused(rig: Rig, body: object) -> None:
    await rig.captured()
    assert (await refund(rig, body)).status_code == 422


async def test_staff_without_the_scope_see_nothing(rig: Rig) -> None:
    rig.http.headers["Authorization"] = "Bearer wb_no_key"
    assert (await rig.http.get("/v1/payments/pay_x")).status_code == 401
    assert (await rig.http.get("/v1/payments?order_id=ord_x")).status_code == 401


async def test_a_callback_has_its_call_looked_up_at_once(rig: Rig) -> None:
    await rig.decide(commands.Initiate(payment=INITIATED), commands.Authorize())
    (held,) = await rig.due()  # a worker waits for an answer that does not come
    await Caller(rig.gateway, rig.on.ids).call(held)
    assert await rig.due() == []

    assert (await rig.call_back()).status_code == 204

    await rig.work_off()
    body = (await rig.http.get("/v1/payments/pay_x")).json()
    assert (body["status"], len(rig.gateway.ledger)) == ("authorized", 1)


async def test_a_callback_that_lies_changes_nothing(rig: Rig) -> None:
    """It says approved; the gateway's books know of nothing, so the call is simply made."""
    declined = INITIATED.model_copy(update={"token": "tok_decline"})
    await rig.decide(commands.Initiate(payment=declined), commands.Authorize())
    assert (await rig.call_back()).status_code == 204
    await rig.work_off()
    assert (await rig.http.get("/v1/payments/pay_x")).json()["status"] == "declined"


async def test_a_callback_told_again_sets_nothing_going(rig: Rig) -> None:
    await rig.decide(commands.Initiate(payment=INITIATED), commands.Authorize())
    await rig.call_back()
    await rig.due()
    assert (await rig.call_back()).status_code == 204
    assert await rig.due() == []


@pytest.mark.parametrize("age_s", [301, -330])  # a busy machine may take its time
async def test_a_callback_out_of_its_time_is_refused(rig: Rig, age_s: int) -> None:
    await rig.decide(commands.Initiate(payment=INITIATED), commands.Authorize())
    await rig.due()
    assert (await rig.call_back(age_s=age_s)).status_code == 401
    assert await rig.due() == []


async def test_a_forged_callback_is_refused(rig: Rig) -> None:
    await rig.decide(commands.Initiate(payment=INITIATED), commands.Authorize())
    await rig.due()
    assert (await rig.call_back(secret="another secret")).status_code == 401
    unsigned = await rig.http.post("/v1/callbacks/gateway", json={"idempotency_key": KEY})
    assert unsigned.status_code == 401
    assert await rig.due() == []


@pytest.mark.parametrize("key", ["ord_x:refund:rfn_1", "ord_none:authorize:1", "not ours", ""])
async def test_a_callback_about_no_call_of_ours_is_ignored(rig: Rig, key: str) -> None:
    await rig.decide(commands.Initiate(payment=INITIATED), commands.Authorize())
    await rig.due()
    assert (await rig.call_back(key)).status_code == 204
    assert await rig.due() == []
