"""S12: a callback is believed when it is signed, fresh and new, and then it is only a hint."""

import asyncio
import base64
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from waybill.simulation import system
from waybill.testing import dump, shopping
from waybill_runtime.http import signatures
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

ORDER = {
    "currency": "GBP",
    "customer": {"email": "buyer@example.com"},
    "shipping_address": {
        "name": "A. Buyer",
        "line1": "1 High Street",
        "city": "London",
        "postal_code": "N1 9GU",
        "country_code": "GB",
    },
    "lines": [{"sku": "A", "name": "Holder", "quantity": 1, "unit_price_minor": 255}],
    "shipping": {"option": "standard", "price_minor": 495},
    "payment": {"method": "card", "token": "tok_approve"},
}
ROUTES = {"payment": "/v1/callbacks/gateway", "fulfillment": "/v1/callbacks/carrier"}
KEPT = ("events", "streams", "jobs", "documents", "answers", "outbox", "marks", "positions")


@dataclass
class Shop:
    loop: SeededLoop
    whole: system.System
    order_id: str
    shipment_id: str


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """One order, delivered and paid; nothing is under way."""
    loop = SeededLoop.of(1)
    whole = system.make(World(), loop)
    scratch = tmp_path_factory.mktemp("warehouse")
    order_id, shipment_id = loop.run(_sold(whole, scratch))
    return Shop(loop, whole, order_id, shipment_id)


async def _sold(whole: system.System, scratch: Path) -> tuple[str, str]:
    await shopping.stocked(whole, scratch, "A")
    order_id = (await shopping.placed(whole, "o-1", ORDER))["id"]
    assert await shopping.ended(whole, order_id) == "completed"
    await asyncio.sleep(60)
    return order_id, next(iter(whole.outside.carrier.purchases))


def stored(shop: Shop) -> Mapping[str, str]:
    """All that a callback could change: every store, and what is on the bus."""
    found = dump.everything(shop.whole.world)
    return {place: rows for place, rows in found.items() if place == "bus" or place.endswith(KEPT)}


def ledgers(shop: Shop) -> str:
    outside = shop.whole.outside
    return repr((outside.gateway.ledger, outside.mail.messages, outside.carrier.purchases))


def hint(shop: Shop, service: str, **more: Any) -> bytes:
    """What the gateway or the carrier says of this order."""
    said = {
        "payment": {"idempotency_key": f"{shop.order_id}:authorize:1", "outcome": "declined"},
        "fulfillment": {"reference": shop.shipment_id, "status": "lost"},
    }[service]
    return json.dumps(said | more).encode()


def signed(
    body: bytes, now_s: float, *, id_: str = "msg_1", secret: str = system.CALLBACK_SECRET
) -> dict[str, str]:
    sent = str(int(now_s))
    return {
        "Webhook-Id": id_,
        "Webhook-Timestamp": sent,
        "Webhook-Signature": signatures.sign(secret, id_, sent, body),
    }


def call(
    shop: Shop, service: str, body: bytes, headers: Mapping[str, str], *, settle_s: float = 30
) -> httpx.Response:
    """The answer, once whatever the callback set going has had its time."""

    async def called() -> httpx.Response:
        async with shop.whole.wire.client(service, {}) as http:
            sent = {"Content-Type": "application/json", **headers}
            answer = await http.post(ROUTES[service], content=body, headers=sent)
        await asyncio.sleep(settle_s)
        return answer

    return shop.loop.run(called())


def now_s(shop: Shop) -> float:
    async def asked() -> float:
        return shop.whole.world.clock.now().timestamp()

    return shop.loop.run(asked())


def forgeries(body: bytes, good: dict[str, str], at_s: float) -> Iterator[tuple[str, bytes, Any]]:
    """What is nearly a callback: (why not, body, headers)."""
    signature = good["Webhook-Signature"]
    yield "no headers", body, {}
    for name in good:
        yield f"no {name}", body, {k: v for k, v in good.items() if k != name}
        yield f"an empty {name}", body, good | {name: ""}
    yield "another secret", body, signed(body, at_s, secret="guessed")
    yield "an empty secret", body, signed(body, at_s, secret="")
    yield "another id", body, good | {"Webhook-Id": "msg_2"}
    yield "another time", body, good | {"Webhook-Timestamp": str(int(at_s) + 1)}
    yield "another body", body.replace(b"}", b" }"), good
    yield "no body", b"", good
    yield "an asymmetric version", body, good | {"Webhook-Signature": f"v1a,{signature[3:]}"}
    yield "another version", body, good | {"Webhook-Signature": f"v2,{signature[3:]}"}
    yield "no version", body, good | {"Webhook-Signature": signature[3:]}
    yield "hex", body, good | {"Webhook-Signature": "v1," + base64.b64decode(signature[3:]).hex()}
    yield "cut short", body, good | {"Webhook-Signature": signature[:-4]}
    yield "too old", body, signed(body, at_s - signatures.TOLERANCE_S - 1)
    yield "too new", body, signed(body, at_s + signatures.TOLERANCE_S + 2)
    yield "before there was time", body, signed(body, -1)
    yield "a long id", body, signed(body, at_s, id_="m" * 201)


@pytest.mark.parametrize("service", ROUTES)
def test_a_forged_or_late_callback_is_refused_and_changes_nothing(shop: Shop, service: str) -> None:
    before, outside = stored(shop), ledgers(shop)
    at_s = now_s(shop)
    body = hint(shop, service)
    for why, sent, headers in list(forgeries(body, signed(body, at_s), at_s)):
        answer = call(shop, service, sent, headers, settle_s=0)
        assert answer.status_code == 401, (why, answer.text)
        assert system.CALLBACK_SECRET not in answer.text
    shop.loop.run(asyncio.sleep(60))
    assert stored(shop) == before
    assert ledgers(shop) == outside


@pytest.mark.parametrize("service", ROUTES)
def test_no_flipped_bit_gets_by(shop: Shop, service: str) -> None:
    dice = random.Random(12)
    body = hint(shop, service)
    at_s = now_s(shop)
    good = signed(body, at_s)
    for _ in range(200):
        where = dice.choice(("body", "signature"))
        if where == "body":
            changed = bytearray(body)
            changed[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
            with pytest.raises(Exception, match="Webhook-Signature"):
                verify(good, bytes(changed), at_s)
        else:
            raw = bytearray(base64.b64decode(good["Webhook-Signature"][3:]))
            raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
            forged = "v1," + base64.b64encode(bytes(raw)).decode()
            with pytest.raises(Exception, match="Webhook-Signature"):
                verify(good | {"Webhook-Signature": forged}, body, at_s)
    assert verify(good, body, at_s) == "msg_1"


def verify(headers: Mapping[str, str], body: bytes, at_s: float) -> str:
    lower = {name.lower(): value for name, value in headers.items()}
    return signatures.verify(system.CALLBACK_SECRET, lower, body, datetime.fromtimestamp(at_s, UTC))


@pytest.mark.parametrize("service", ROUTES)
def test_a_signed_lie_and_its_repetitions_move_no_money_and_no_parcel(
    shop: Shop, service: str
) -> None:
    """Signed or not, a callback is no news: the books of the one who knows are asked."""
    before, outside = stored(shop), ledgers(shop)
    lies = [
        hint(shop, service),
        hint(shop, service, amount_minor=10**9, currency="GBP", status="delivered"),
        hint(shop, service, outcome="approved", order_id="ord_other"),
    ]
    for number in (2, 0, 1, 1, 0, 2):  # out of order, and twice each
        body = lies[number]
        answer = call(shop, service, body, signed(body, now_s(shop), id_=f"msg_{number}"))
        assert answer.status_code in (204, 404), answer.text
    after = stored(shop)
    assert [place for place in after if after[place] != before[place]] == []
    assert ledgers(shop) == outside


@pytest.mark.parametrize("service", ROUTES)
@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b'{"reference": 1}'])
def test_a_signed_callback_that_says_nothing_of_ours_changes_nothing(
    shop: Shop, service: str, body: bytes
) -> None:
    before = stored(shop)
    answer = call(shop, service, body, signed(body, now_s(shop), id_="msg_odd"))
    assert answer.status_code in (204, 404, 422), answer.text
    assert stored(shop) == before
