"""Each chore of a chaos run is asked of the service it concerns, once, as an operator asks."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from waybill.chaos import orders
from waybill.chaos.staff import Staff
from waybill.ledger import Ledger
from waybill.shop import Shop
from waybill_runtime.clock import SystemClock

SERVICES = ("capture", "inventory", "payment", "notification")
VALUES = {f"{name.upper()}_URL": f"http://{name}" for name in SERVICES} | {"OPERATOR_KEY": "wb_o"}
CAPTURED = {"data": [{"id": "pay_1", "amounts": {"captured_minor": 1001}}]}
ASKED: dict[str, list[tuple[str, str]]] = {
    "refund": [("POST", "http://payment/v1/payments/pay_1/refunds")],
    "refund twice": [("POST", "http://payment/v1/payments/pay_1/refunds")] * 2,
    "erase": [("POST", "http://capture/v1/recipients/erase")],
    "prefer": [("PUT", "http://notification/v1/preferences/customer-1-7")],
    "count": [("POST", "http://inventory/v1/stock/counts")],
    "adjust": [("POST", "http://inventory/v1/stock/adjustments")],
    "reorder": [("PUT", "http://inventory/v1/stock/SCARCE-03/reorder-points/main")],
}


async def asked(chore: Any, folder: Path) -> list[httpx.Request]:
    """The commands that a chore comes to."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=CAPTURED)
        seen.append(request)
        return httpx.Response(202, json={})

    wanted = replace(orders.draw(1, 7), chore=chore, scarce="SCARCE-03")
    with closing(Ledger(folder / "ledger.jsonl")) as ledger:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            await Staff(Shop(http, VALUES, ledger, SystemClock())).do(wanted, "ord_1")
    return seen


@pytest.mark.parametrize("chore", get_args(orders.Chore))
async def test_a_chore_is_asked_where_it_belongs(chore: str, tmp_path: Path) -> None:
    requests = await asked(chore, tmp_path)
    assert [(one.method, str(one.url)) for one in requests] == ASKED[chore]
    assert len({one.headers["Idempotency-Key"] for one in requests}) == len(requests)
    assert all(one.headers["Authorization"] == "Bearer wb_o" for one in requests)


async def test_two_refunds_give_back_all_that_was_taken(tmp_path: Path) -> None:
    requests = await asked("refund twice", tmp_path)
    assert sum(json.loads(one.content)["amount_minor"] for one in requests) == 1001


async def test_an_order_without_a_chore_is_left_alone(tmp_path: Path) -> None:
    assert await asked(None, tmp_path) == []
