"""What customers of a chaos run come to: refusals and patience that ran out are counted."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx

from waybill import shop as shops
from waybill.chaos.load import Counts, Load
from waybill.ledger import Ledger
from waybill_runtime.testing.world import World, simulate

SERVICES = ("CAPTURE", "INVENTORY", "TRACKING", "PAYMENT", "NOTIFICATION")
VALUES = {f"{name}_URL": "http://x" for name in SERVICES} | {
    "STOREFRONT_KEY": "a",
    "OPERATOR_KEY": "b",
}
PLACED = {"id": "ord_1", "tracking": {"token": "t"}}
TAKEN = {"type": "urn:waybill:problem:external-ref-taken"}

Answer = Callable[[httpx.Request], httpx.Response]


def loaded(folder: Path, answer: Answer, *, for_s: float = 5.0) -> Counts:
    """What one customer came to in this time, in a system that answers so."""

    async def run() -> Counts:
        clock = World().clock
        with closing(Ledger(folder / "ledger.jsonl")) as book:
            async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
                shop = shops.Shop(http, VALUES, book, clock)
                load = Load(shop, book, clock, seed=1, first=1, at_once=1)
                async with asyncio.TaskGroup() as group:
                    group.create_task(load.run())
                    await asyncio.sleep(for_s)  # of virtual time
                    load.stop()
                return load.counts

    return simulate(1, run())


def is_order(request: httpx.Request) -> bool:
    return request.method == "POST" and request.url.path == "/v1/orders"


def test_a_valid_order_that_is_refused_is_counted_by_its_problem(tmp_path: Path) -> None:
    seen = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal seen
        if not is_order(request):
            return httpx.Response(200, json={"status": "completed", "version": 1, "data": []})
        seen += 1
        return httpx.Response(409, json=TAKEN) if seen == 1 else httpx.Response(201, json=PLACED)

    counts = loaded(tmp_path, answer)
    assert counts.refused == {"external-ref-taken": 1}
    assert counts.acknowledged == counts.started - 1 > 0


def test_whoever_is_never_answered_has_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if is_order(request):
            return httpx.Response(503)
        return httpx.Response(200, json={})

    counts = loaded(tmp_path, answer, for_s=2 * shops.PATIENCE_S)
    assert counts.gave_up >= 2
    assert counts.unknown == counts.gave_up


def test_an_order_that_cannot_be_looked_at_is_given_up_and_not_the_run(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if is_order(request):
            return httpx.Response(201, json=PLACED)
        if request.url.path == "/v1/orders/ord_1":
            return httpx.Response(404)
        return httpx.Response(200, json={"version": 1, "data": []})

    counts = loaded(tmp_path, answer)
    assert counts.acknowledged == counts.gave_up == counts.started > 1
