"""S6: a tracking token opens its own order, says no more than it should, and is in no log."""

import base64
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from waybill.simulation import system
from waybill.testing import shopping
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

PERSON = ("A. Buyer", "1 High Street", "buyer@example.com", "+442079460000", "N1 9GU")
ORDER = {
    "currency": "GBP",
    "customer": {"ref": "customer-1", "email": PERSON[2], "phone": PERSON[3]},
    "shipping_address": {
        "name": PERSON[0],
        "line1": PERSON[1],
        "city": "London",
        "postal_code": PERSON[4],
        "country_code": "GB",
    },
    "lines": [{"sku": "A", "name": "Holder", "quantity": 1, "unit_price_minor": 255}],
    "shipping": {"option": "standard", "price_minor": 495},
    "payment": {"method": "card", "token": "tok_approve"},
}
SHOWN = {"order", "lines", "shipments", "messages", "version"}


class Shop:
    def __init__(self, scratch: Path) -> None:
        self.loop = SeededLoop.of(6)
        self.whole = system.make(World(), self.loop)
        self.orders: list[dict[str, Any]] = self.loop.run(self._sell(scratch))

    async def _sell(self, scratch: Path) -> list[dict[str, Any]]:
        await shopping.stocked(self.whole, scratch, "A")
        orders = [
            await shopping.placed(self.whole, f"o-{n}", ORDER | {"external_ref": f"ref-{n}"})
            for n in range(3)
        ]
        for placed in orders:
            await shopping.ended(self.whole, placed["id"])
        return orders

    def track(self, token: str, method: str = "GET") -> httpx.Response:
        async def asked() -> httpx.Response:
            async with self.whole.wire.client("tracking", {}) as http:
                return await http.request(method, f"/v1/track/{token}")

        return self.loop.run(asked())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("warehouse"))


def test_a_token_shows_its_own_order_and_nothing_of_the_person(shop: Shop) -> None:
    for placed in shop.orders:
        answer = shop.track(placed["tracking"]["token"])
        assert answer.status_code == 200
        assert answer.json().keys() <= SHOWN
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert placed["id"] not in placed["tracking"]["token"]
        others = [other["id"] for other in shop.orders if other is not placed]
        for hidden in (*PERSON, *others, "customer-1", "tok_approve"):
            assert hidden not in answer.text


def test_a_link_is_looked_at_with_head_as_it_is_read(shop: Shop) -> None:
    token = shop.orders[0]["tracking"]["token"]
    read, looked_at = shop.track(token), shop.track(token, "HEAD")
    assert looked_at.status_code == 200
    for name in ("etag", "content-length", "content-type", "referrer-policy"):
        assert looked_at.headers[name] == read.headers[name]
    assert shop.track("trk_unknown", "HEAD").status_code == 404


def test_guesses_find_nothing(shop: Shop) -> None:
    """Of the 2**256 that there may be; `test_limits` has who guesses much turned away."""
    dice = random.Random(6)
    for _ in range(2_000):
        guess = "trk_" + base64.urlsafe_b64encode(dice.randbytes(32)).decode().rstrip("=")
        assert len(guess) == len(shop.orders[0]["tracking"]["token"])
        assert shop.track(guess).status_code == 404


def near(token: str) -> list[str]:
    """What somebody tries who has a token or an order's id."""
    swapped = token[:-1] + ("A" if token[-1] != "A" else "B")
    return [
        swapped,
        token[:-1],
        token + "A",
        token.swapcase(),
        token[::-1],
        "x",
        "A" * 43,
        "0" * 500,
    ]


def test_whatever_opens_nothing_is_answered_the_same(shop: Shop) -> None:
    (placed, *_) = shop.orders
    tried = [*near(placed["tracking"]["token"]), placed["id"], "ord_unknown"]
    answers = [shop.track(token) for token in tried]
    said = set()
    for token, answer in zip(tried, answers, strict=True):
        told = answer.json()
        assert told.pop("instance") == f"/v1/track/{token}"
        told.pop("request_id")
        said.add((answer.status_code, str(told), answer.headers["referrer-policy"]))
    assert len(said) == 1
    assert {status for status, *_ in said} == {404}


def test_no_token_is_in_a_log_whatever_becomes_of_the_request(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = shop.orders[0]["tracking"]["token"]
    with capture_logs() as logs:
        assert shop.track(token).status_code == 200
        assert shop.track(token + "x").status_code == 404
        store = shop.whole.nodes["tracking"].infrastructure.store

        def broken() -> None:
            raise RuntimeError("unforeseen")

        monkeypatch.setattr(store, "reading", broken)
        assert shop.track(token).status_code == 500
    assert [line["event"] for line in logs].count("request") == 3
    assert "unexpected error" in [line["event"] for line in logs]
    assert token not in repr(logs)
