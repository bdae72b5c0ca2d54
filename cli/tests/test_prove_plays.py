"""The plays of `waybill prove`, on a shop of paper: a promise that is broken falls short."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import httpx
import pytest

from waybill.chaos.house import House
from waybill.prove import customers, run
from waybill.prove.run import Size
from waybill.shop import Shop


class Paper:
    """Sells what there is: a shop, its stock and its gateway; `cheats` names what it breaks."""

    def __init__(self, *cheats: str) -> None:
        self.left = 0
        self.cheats = cheats
        self.orders: dict[str, dict[str, Any]] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self.answered: list[str] = []
        self.ledger: list[Mapping[str, Any]] = []

    async def receive(self, _: str, body: bytes) -> httpx.Response:
        self.left += sum(line["quantity"] for line in json.loads(body)["lines"])
        return httpx.Response(201)

    async def place(self, key: str, body: bytes) -> httpx.Response:
        if key not in self.orders or "doubles orders" in self.cheats:
            made = self._decide(f"ord_{len(self.made)}", json.loads(body))
            self.orders[key] = self.made[made["id"]] = made
        order = self.orders[key]
        told = {"id": order["id"], "total": {"amount_minor": 750}}
        if "answers anew" in self.cheats:
            told["at"] = {"n": len(self.answered)}
        self.answered.append(key)
        return httpx.Response(201, json=told)

    def _decide(self, order_id: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        if asked["payment"]["token"] == "tok_pending":
            paid = "pays in time" in self.cheats
            return {"id": order_id, "status": "rejected" if paid else "expired"}
        if self.left <= 0 and "oversells" not in self.cheats:
            return {"id": order_id, "status": "rejected"}
        self.left -= 1
        for _ in range(2 if "captures twice" in self.cheats else 1):
            self.ledger.append(
                {
                    "operation": "capture",
                    "outcome": "approved",
                    "reference": order_id,
                    "amount_minor": 749 if "short by one" in self.cheats else 750,
                }
            )
        return {"id": order_id, "status": "completed"}

    async def order(self, order_id: str) -> Mapping[str, Any]:
        return self.made[order_id]


class PaperStage(run.Stage):
    """The stage without a system."""

    paper: Paper

    async def entries(self) -> Sequence[Mapping[str, Any]]:
        return self.paper.ledger

    async def sold_out(self, sku: str) -> tuple[int, int]:
        return self.paper.left, 0

    async def struck(self) -> Mapping[str, int]:
        draws = 2 * self.size.orders
        struck = {lie: round(draws * rate) for lie, rate in (run.LIES | run.CALLBACK_LIES).items()}
        return struck | ({"stored_error": 0} if "keeps to the truth" in self.paper.cheats else {})


async def played(name: run.Name, size: Size, *cheats: str) -> Sequence[str]:
    paper = Paper(*cheats)
    async with httpx.AsyncClient() as http:
        stage = PaperStage(cast(Shop, paper), cast(House, None), http, size, lambda _: None)
        stage.paper = paper
        asked, reached = await run.PLAYS[name](stage)
    return run.shortfalls(asked, reached)


OVER = Size(orders=30, at_once=5, rounds=2, units=10)
TWICE = Size(orders=6, at_once=2, posts=4)
LIED = Size(orders=9, at_once=3)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customers, "LOOK_MIN_S", 0.0)
    monkeypatch.setattr(run, "TOP_UP_PAUSE_S", 0.0)


async def test_a_shop_that_keeps_its_word_falls_short_of_nothing() -> None:
    assert await played("oversell", OVER) == []
    assert await played("double-submit", TWICE) == []
    assert await played("gateway", LIED) == []


@pytest.mark.parametrize(
    ("name", "size", "cheat", "short"),
    [
        ("oversell", OVER, "oversells", "rounds_not_exact: 2 of 0"),
        ("oversell", OVER, "pays in time", "rounds_with_expiries: 0 of 2"),
        ("double-submit", TWICE, "doubles orders", "orders: 24 of 6"),
        ("double-submit", TWICE, "answers anew", "keys_answered_differently: 6 of 0"),
        ("double-submit", TWICE, "captures twice", "captures: 12 of 6"),
        ("gateway", LIED, "captures twice", "captured_twice: 9 of 0"),
        ("gateway", LIED, "short by one", "minor_units_off: 9 of 0"),
        ("gateway", LIED, "keeps to the truth", "stored_error_struck: 0 of 1"),
    ],
)
async def test_each_broken_word_is_a_shortfall(
    name: run.Name, size: Size, cheat: str, short: str
) -> None:
    assert short in await played(name, size, cheat)
