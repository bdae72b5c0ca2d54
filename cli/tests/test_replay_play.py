"""Playing a plan: to its end, on after an interruption, nothing twice, and an account that adds up.

The system is stood in for by one that keeps orders by idempotency key and ends each at once.
"""

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from waybill.ledger import Ledger, Posted, read
from waybill.replay import plan as plans
from waybill.replay import play, reading, report
from waybill.replay.checkpoint import Checkpoint
from waybill.shop import Shop
from waybill_runtime.clock import SystemClock

SHA = "ab" * 32
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
ROWS = [
    "1,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n",
    "1,POST,POSTAGE,1,2010-12-01 08:26:00,18.00,17850.0,United Kingdom\n",
    "2,22423,CAKESTAND,2,2010-12-01 08:28:00,12.75,,Germany\n",
    "2,22423,CAKESTAND,1,2010-12-01 08:28:00,12.75,,Germany\n",
    "3,84029E,BOTTLE,3,2010-12-01 08:30:00,3.39,13047.0,EIRE\n",
    "C4,22423,CAKESTAND,-1,2010-12-01 08:32:00,12.75,13047.0,EIRE\n",
]
VALUES = {
    "CAPTURE_URL": "http://capture",
    "INVENTORY_URL": "http://inventory",
    "TRACKING_URL": "http://tracking",
    "STOREFRONT_KEY": "wb_s",
    "OPERATOR_KEY": "wb_o",
}
FOUND = reading.sort(reading.parse(HEADER + "".join(ROWS)))
PLAN = plans.make(FOUND, SHA)


class StandIn:
    """Capture, inventory and tracking in one, with as much of their behaviour as is used."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.receipts: set[str] = set()
        self.posts = 0
        self.trouble: list[httpx.Response | Exception] = []
        """Given to the next posts of orders, in turn, after the order was made."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "POST" and path == "/v1/stock/receipts":
            self.receipts.add(request.headers["Idempotency-Key"])
            return httpx.Response(201, json={})
        if request.method == "POST":
            return self._place(request)
        if path.startswith("/v1/track/"):
            return httpx.Response(200, json={"version": 3})
        (order,) = [o for o in self.orders.values() if path.endswith(o["id"])]
        return httpx.Response(200, json=order)

    def _place(self, request: httpx.Request) -> httpx.Response:
        self.posts += 1
        key, body = request.headers["Idempotency-Key"], json.loads(request.content)
        order = self.orders.setdefault(key, _completed(f"ord_{len(self.orders)}", body))
        if self.trouble:
            trouble = self.trouble.pop(0)
            if isinstance(trouble, Exception):
                raise trouble
            if trouble.status_code == httpx.codes.CONFLICT:
                del self.orders[key]
            return trouble
        return httpx.Response(201, json=order)


def _completed(order_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    lines = [
        {
            "quantities": {
                "ordered": line["quantity"],
                "delivered": line["quantity"],
                "cancelled": 0,
            }
        }
        for line in body["lines"]
    ]
    total = sum(line["quantity"] * line["unit_price_minor"] for line in body["lines"])
    return {
        "id": order_id,
        "status": "completed",
        "reason": None,
        "lines": lines,
        "total": {"amount_minor": total},
        "tracking": {"token": f"trk_{order_id}"},
    }


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


async def played(system: StandIn, folder: Path) -> play.Played:
    with (
        closing(Checkpoint(folder / "kept.jsonl", SHA)) as kept,
        closing(Ledger(folder / "ledger" / "replay.jsonl")) as ledger,
    ):
        transport = httpx.MockTransport(system)
        async with httpx.AsyncClient(transport=transport) as http:
            shop = Shop(http, VALUES, ledger, SystemClock())
            return await play.Player(shop, kept, SystemClock(), at_once=1).play(PLAN)


def told(of: play.Played) -> dict[str, Any]:
    return report.write(FOUND, PLAN, of)


async def test_a_file_is_played_to_its_end_and_adds_up(tmp_path: Path) -> None:
    system = StandIn()
    account = told(await played(system, tmp_path))
    assert report.faults(account, PLAN) == []
    assert account["rows"] == {
        "total": 6,
        "taken": 4,
        "refused": 2,
        "refused_by_reason": {"charge_not_goods": 1, "credit_note": 1},
    }
    assert account["invoices"]["taken"] == 3
    assert account["orders"]["by_status"] == {"completed": 3}
    assert system.receipts == {receipt.key for receipt in PLAN.receipts}


async def test_a_replay_that_was_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    system = StandIn()
    system.trouble = [httpx.Response(201, json=_completed("ord_0", {"lines": []})), Interrupted()]
    with pytest.raises(ExceptionGroup):
        await played(system, tmp_path)
    assert system.posts == 2
    account = await played(system, tmp_path)
    assert account.made_before == 1
    # The second order was made, its answer lost: asked for again. One is then sent twice.
    assert system.posts == 5
    assert len(system.orders) == 3
    assert report.faults(told(account), PLAN) == []


async def test_the_audit_finds_a_key_that_was_sent_twice(tmp_path: Path) -> None:
    await played(StandIn(), tmp_path)
    seen = [one for one in read(tmp_path / "ledger") if isinstance(one, Posted)]
    keys = Counter(one.key for one in seen)
    assert sorted(keys.values()) == [1, 1, 2]
    assert len({one.body_sha256 for one in seen if keys[one.key] == 2}) == 1


async def test_a_finished_replay_played_again_posts_nothing(tmp_path: Path) -> None:
    system = StandIn()
    first = await played(system, tmp_path)
    posts = system.posts
    again = await played(system, tmp_path)
    assert system.posts == posts
    assert again.orders == first.orders


async def test_an_answer_that_never_came_is_asked_for_again_and_noted(tmp_path: Path) -> None:
    system = StandIn()
    busy = httpx.Response(409, json={"type": "urn:waybill:problem:request-in-flight"})
    system.trouble = [httpx.ConnectError("gone"), httpx.Response(503), busy]
    account = await played(system, tmp_path)
    assert len(system.orders) == len(account.orders) == 3
    seen = [one for one in read(tmp_path / "ledger") if isinstance(one, Posted)]
    assert [one.status for one in seen[:4]] == [0, 503, 409, 201]
    assert seen[0].body_sha256 == hashlib.sha256(b"").hexdigest()
    assert seen[2].body_sha256 == hashlib.sha256(busy.content).hexdigest()
    assert seen[3].token


async def test_an_order_that_the_api_refuses_is_accounted_for_with_its_rows(tmp_path: Path) -> None:
    system = StandIn()
    taken = httpx.Response(409, json={"type": "urn:waybill:problem:external-ref-taken"})
    system.trouble = [httpx.Response(201, json=_completed("ord_0", {"lines": []})), taken]
    account = told(await played(system, tmp_path))
    kind = "refused_by_the_api: external-ref-taken"
    assert account["rows"]["refused_by_reason"][kind] == 2
    assert account["invoices"]["refused_by_reason"] == {"credit_note": 1, kind: 1}
    assert report.faults(account, PLAN) == []


@pytest.mark.parametrize(
    ("where", "what"),
    [
        (("rows", "taken"), "not the file's 6"),
        (("invoices", "refused"), "not the file's 4"),
        (("orders", "made"), "orders for 3 invoices"),
        (("orders", "by_status", "completed"), "by status"),
        (("orders", "by_status", "confirmed"), "did not end"),
        (("lines", "ordered"), "lines for 4 rows"),
        (("lines", "short"), "what became of them"),
        (("lines", "units_delivered"), "neither delivered nor cancelled"),
    ],
)
async def test_a_number_that_is_off_by_one_is_told(
    tmp_path: Path, where: tuple[str, ...], what: str
) -> None:
    account = copy.deepcopy(told(await played(StandIn(), tmp_path)))
    place = account
    for name in where[:-1]:
        place = place[name]
    place[where[-1]] = place.get(where[-1], 0) + 1
    assert any(what in fault for fault in report.faults(account, PLAN))


def test_the_demo_buys_what_the_apis_take_and_cancels_some() -> None:
    from capture import bodies as capture_bodies
    from inventory import bodies as inventory_bodies
    from waybill.demo import script

    scenes = script.scenes("demo_x")
    assert len({scene.key for scene in scenes}) == script.ORDERS
    assert any(scene.cancels for scene in scenes)
    for scene in scenes:
        capture_bodies.PlaceOrder.model_validate_json(scene.body)
    for _, body in script.receipts("demo_x"):
        inventory_bodies.Receipt.model_validate_json(body)
