"""The robot against a warehouse API that keeps versions and keys, and has bad days."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from waybill_sandboxes.warehouse import plan, robot
from waybill_sandboxes.warehouse.settings import Settings

AFTER = {
    "accept": "accepted",
    "pick": "picked",
    "pack": "packed",
    "ship": "shipped",
    "reject": "rejected",
}
FROM = {"accept": "requested", "reject": "requested", "pick": "accepted", "pack": "picked"}


class Api:
    """A fulfillment service of one process: statuses, versions, keys, a feed."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.feed: list[str] = []
        self.calls: list[tuple[str, str, Any]] = []
        self.keys: list[str] = []
        self.bad_days: list[httpx.Response] = []
        self.before_act: Callable[[dict[str, Any]], None] = lambda _order: None

    def add(self, number: int, *, status: str = "requested", told: bool = True) -> str:
        order_id = f"ffo_{number}"
        self.orders[order_id] = {
            "id": order_id,
            "order_id": f"ord_{number}",
            "location": "main",
            "status": status,
            "version": 3,
            "shipping": {"option": "express"},
            "lines": [
                {"line_id": "l1", "sku": "A", "name": "a", "quantity": 2, "picked": 0, "short": 0},
                {"line_id": "l2", "sku": "B", "name": "b", "quantity": 1, "picked": 0, "short": 0},
            ],
        }
        if status in ("picked", "packed"):
            for line in self.orders[order_id]["lines"]:
                line["picked"] = line["quantity"]
        if told:
            self.feed.append(order_id)
        return order_id

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer wk"
        match request.url.path.strip("/").split("/"):
            case ["v1", "feed", "fulfillment"]:
                return self._feed(int(request.url.params.get("after", 0)))
            case ["v1", "fulfillment-orders"]:
                status = request.url.params["status"]
                data = [one for one in self.orders.values() if one["status"] == status]
                return httpx.Response(200, json={"data": data, "has_more": False})
            case ["v1", "fulfillment-orders", order_id]:
                return httpx.Response(200, json=self.orders[order_id])
            case ["v1", "fulfillment-orders", order_id, step]:
                return self._act(self.orders[order_id], step, request)
        raise AssertionError(request.url)

    def _feed(self, after: int) -> httpx.Response:
        page = self.feed[after : after + 2]
        data = [
            {"type": robot.CREATED, "data": {"fulfillment_order_id": one, "location": "main"}}
            for one in page
        ]
        end = after + len(page)
        return httpx.Response(
            200, json={"data": data, "next_cursor": str(end), "has_more": end < len(self.feed)}
        )

    def _act(self, order: dict[str, Any], step: str, request: httpx.Request) -> httpx.Response:
        self.before_act(order)
        if self.bad_days:
            return self.bad_days.pop(0)
        if request.headers["If-Match"] != f'"{order["version"]}"':
            return httpx.Response(412)
        if order["status"] != FROM.get(step, "packed"):
            return httpx.Response(409)
        body = json.loads(request.content)
        self.calls.append((order["id"], step, body))
        self.keys.append(request.headers["Idempotency-Key"])
        order["status"] = AFTER[step]
        order["version"] += 1
        if step == "pick":
            for line, picked in zip(order["lines"], body["lines"], strict=True):
                line["picked"] = picked["quantity"]
        return httpx.Response(200, json=order)

    def steps(self, order_id: str) -> list[str]:
        return [step for one, step, _ in self.calls if one == order_id]


@pytest.fixture
def api() -> Api:
    return Api()


def worker(
    api: Api, tmp_path: Path, behaviour: plan.Behaviour | None = None, **pace: Any
) -> robot.Robot:
    http = httpx.AsyncClient(
        base_url="http://fulfillment.test",
        headers={"Authorization": "Bearer wk"},
        transport=httpx.MockTransport(api.answer),
    )
    quick = robot.Pace(**{"poll_s": 0.01, "sweep_s": 0.02, "tries_max": 8} | pace)
    return robot.Robot(http, behaviour or plan.Behaviour(), quick, tmp_path / "feed.cursor")


async def run_until(one: robot.Robot, done: Callable[[], bool]) -> None:
    """Run the robot until `done`, then kill it where it stands."""
    async with asyncio.timeout(10):
        task = asyncio.create_task(one.run())
        while not done():
            assert not task.done(), task.exception()
            await asyncio.sleep(0.005)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_an_order_is_accepted_picked_packed_and_shipped(api: Api, tmp_path: Path) -> None:
    order_id = api.add(1)

    await worker(api, tmp_path).work(order_id)

    every = [{"line_id": "l1", "quantity": 2}, {"line_id": "l2", "quantity": 1}]
    assert api.calls == [
        (order_id, "accept", {}),
        (order_id, "pick", {"lines": every}),
        (order_id, "pack", {"packages": [{"weight_g": 300, "lines": every}]}),
        (order_id, "ship", {"service": "express"}),
    ]
    assert api.keys == [f"wh-ffo_1-{step}" for step in ("accept", "pick", "pack", "ship")]


@pytest.mark.parametrize(
    ("status", "left"),
    [
        ("accepted", ["pick", "pack", "ship"]),
        ("picked", ["pack", "ship"]),
        ("packed", ["ship"]),
        ("shipped", []),
        ("cancelled", []),
        ("rejected", []),
    ],
)
async def test_work_goes_on_from_wherever_it_stands(
    api: Api, tmp_path: Path, status: str, left: list[str]
) -> None:
    order_id = api.add(1, status=status)

    await worker(api, tmp_path).work(order_id)

    assert api.steps(order_id) == left


async def test_units_that_are_never_found_are_picked_short(api: Api, tmp_path: Path) -> None:
    order_id = api.add(1)

    await worker(api, tmp_path, plan.Behaviour(short_skus={"A": 1, "B": 5})).work(order_id)

    assert api.calls[1][2]["lines"] == [
        {"line_id": "l1", "quantity": 1},
        {"line_id": "l2", "quantity": 0},
    ]
    assert api.calls[2][2]["packages"][0]["lines"] == [{"line_id": "l1", "quantity": 1}]


async def test_a_refused_sku_rejects_the_order(api: Api, tmp_path: Path) -> None:
    order_id = api.add(1)

    await worker(api, tmp_path, plan.Behaviour(reject_skus=frozenset({"B"}))).work(order_id)

    assert api.calls == [(order_id, "reject", {"reason": "cannot ship B"})]


async def test_a_sku_is_refused_by_one_location_alone(api: Api, tmp_path: Path) -> None:
    here, there = api.add(1), api.add(2)
    api.orders[there]["location"] = "north"
    robot = worker(api, tmp_path, plan.Behaviour(reject_skus=frozenset({"main/B"})))

    await robot.work(here)
    await robot.work(there)

    assert api.steps(here) == ["reject"]
    assert api.steps(there) == ["accept", "pick", "pack", "ship"]


@pytest.mark.parametrize("status", [409, 412, 428, 429, 500, 503])
async def test_a_refusal_that_passes_is_tried_again(api: Api, tmp_path: Path, status: int) -> None:
    order_id = api.add(1)
    api.bad_days = [httpx.Response(status, headers={"Retry-After": "0"})] * 2

    await worker(api, tmp_path).work(order_id)

    assert api.steps(order_id) == ["accept", "pick", "pack", "ship"]


async def test_a_version_that_moved_is_read_again(api: Api, tmp_path: Path) -> None:
    order_id = api.add(1)
    moves = [1]

    def move(order: dict[str, Any]) -> None:
        order["version"] += moves.pop() if moves else 0

    api.before_act = move
    await worker(api, tmp_path).work(order_id)

    assert api.orders[order_id]["status"] == "shipped"


async def test_an_order_cancelled_under_the_robots_hands_is_left_alone(
    api: Api, tmp_path: Path
) -> None:
    order_id = api.add(1)

    def cancel(order: dict[str, Any]) -> None:
        if order["status"] == "accepted":
            order.update(status="cancelled", version=9)

    api.before_act = cancel
    await worker(api, tmp_path).work(order_id)

    assert api.steps(order_id) == ["accept"]


async def test_tries_have_an_end(api: Api, tmp_path: Path) -> None:
    order_id = api.add(1)
    api.bad_days = [httpx.Response(503, headers={"Retry-After": "0"})] * 100

    with pytest.raises(robot.GaveUp):
        await worker(api, tmp_path).work(order_id)

    assert len(api.bad_days) > 85


async def test_the_feed_is_followed_and_a_killed_robot_goes_on(api: Api, tmp_path: Path) -> None:
    for number in range(7):
        api.add(number)
    await run_until(worker(api, tmp_path, step_s=0.005), lambda: len(api.calls) >= 10)
    assert len(api.calls) < 28
    cursor = (tmp_path / "feed.cursor").read_text()
    api.add(7)

    second = worker(api, tmp_path)
    assert second.cursor == cursor
    await run_until(second, lambda: all(one["status"] == "shipped" for one in api.orders.values()))

    assert sorted(api.keys) == sorted(set(api.keys))
    assert len(api.calls) == 32


async def test_the_sweep_finds_what_the_feed_never_told(api: Api, tmp_path: Path) -> None:
    untold = api.add(1, told=False)
    half_done = api.add(2, status="picked", told=False)

    await run_until(
        worker(api, tmp_path),
        lambda: {api.orders[one]["status"] for one in (untold, half_done)} == {"shipped"},
    )


async def test_another_locations_orders_are_left_alone(api: Api, tmp_path: Path) -> None:
    await worker(api, tmp_path, location="north").work(api.add(1))

    assert api.calls == []


def test_behaviour_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "WAREHOUSE_KEY": "wk",
        "FULFILLMENT_URL": "http://127.0.0.1:1",
        "WAREHOUSE_SHORT_SKUS": "85123A=1, 71053=3",
        "WAREHOUSE_REJECT_SKUS": "POST,M",
    }.items():
        monkeypatch.setenv(name, value)

    assert Settings().behaviour() == plan.Behaviour(
        short_skus={"85123A": 1, "71053": 3}, reject_skus=frozenset({"POST", "M"})
    )


def test_the_program_lives_while_fulfillment_does_not(
    run_sandbox: Any, free_port: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FULFILLMENT_URL", f"http://127.0.0.1:{free_port()}")
    with run_sandbox("warehouse", key="wk", data_dir=tmp_path) as warehouse:
        assert warehouse.http.get("/status").json() == {"cursor": "", "in_hand": 0, "done": 0}
        assert warehouse.stop() == 0
