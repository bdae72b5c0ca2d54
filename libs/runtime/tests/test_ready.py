"""Readiness: which part is away, said in time, whatever the part does."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from waybill_runtime.adapters.memory.broker import MemoryBroker
from waybill_runtime.adapters.memory.bus import MemoryBus
from waybill_runtime.adapters.memory.store import MemoryStore
from waybill_runtime.bus import BusUnavailable
from waybill_runtime.http import app as http_app
from waybill_runtime.http.auth import KeyRing
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.testing.world import World, simulate


class _Frozen(MemoryStore):
    """A store that neither answers nor lets itself be cancelled."""

    asked = 0

    async def ping(self) -> None:
        self.asked += 1
        until_s = asyncio.get_running_loop().time() + 30
        while asyncio.get_running_loop().time() < until_s:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue


class _Away(MemoryBus):
    """A bus that fails as its adapter says, or with no text at all."""

    def __init__(self, broker: MemoryBroker, text: str) -> None:
        super().__init__(broker, "node")
        self._text = text

    async def ping(self) -> None:
        raise BusUnavailable(self._text)


async def _readyz(on: Infrastructure, times: int = 1) -> list[httpx.Response]:
    app = http_app.create("things", "Things.", [], on, KeyRing(on.store, on.clock, "pepper"))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://things.test") as client:
        return [await client.get("/readyz") for _ in range(times)]


def test_a_system_whose_parts_answer_is_ready() -> None:
    (answer,) = simulate(1, _readyz(World().infrastructure("db")))
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("text", "said"),
    [("no broker at :9092", "no broker at :9092"), ("TimeoutError: ", "TimeoutError"), ("", "Bus")],
)
def test_a_bus_that_is_away_is_named_with_its_reason(text: str, said: str) -> None:
    world = World()
    on = replace(world.infrastructure("db"), bus=_Away(world.broker, text))
    (answer,) = simulate(1, _readyz(on))
    assert answer.status_code == 503
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == "urn:waybill:problem:not-ready"
    assert problem["parts"]["store"] == "ok"
    assert problem["parts"]["bus"].startswith(said)
    assert f"bus: {said}" in problem["detail"]
    assert ": ." not in problem["detail"]


def test_a_frozen_store_is_named_within_a_second_and_asked_once() -> None:
    async def main() -> tuple[list[httpx.Response], float, int]:
        world = World()
        store = _Frozen(world.database("db"))
        on = replace(world.infrastructure("db"), store=store)
        answers = await _readyz(on, times=3)
        return answers, asyncio.get_running_loop().time(), store.asked

    answers, took_s, asked = simulate(1, main())
    for answer in answers:
        assert answer.json()["parts"] == {"store": "no answer within 1 s", "bus": "ok"}
    assert (took_s < 4, asked) == (True, 1)


def test_a_part_that_keeps_failing_is_named() -> None:
    async def main() -> httpx.Response:
        on = World().infrastructure("db")
        on.failing.failed("consumer", OSError("again"), asyncio.get_running_loop().time())
        assert (await _readyz(on))[0].status_code == 200
        await asyncio.sleep(31)
        return (await _readyz(on))[0]

    answer = simulate(1, main())
    assert answer.status_code == 503
    assert answer.json()["parts"]["consumer"] == "fails again and again for 31 s: OSError"
