"""Whoever counts rebalances outlives what the storm does to its connection."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from waybill import logfiles
from waybill.chaos import rebalances
from waybill.chaos.house import House
from waybill_runtime.clock import SystemClock


@pytest.mark.parametrize(
    "error", [asyncpg.InternalClientError("cut"), asyncpg.InterfaceError("closed"), OSError()]
)
async def test_a_connection_that_is_cut_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tried = asyncio.Event()
    tries = 0

    async def connect(*_: object, **__: object) -> None:
        nonlocal tries
        tries += 1
        if tries == 2:
            tried.set()
        raise error

    monkeypatch.setattr(asyncpg, "connect", connect)
    monkeypatch.setattr(rebalances, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(House, "dsn", lambda *_: "")
    house = House(tmp_path, "postgres", SystemClock(), proxied=False)
    async with asyncio.TaskGroup() as group:
        counting = group.create_task(rebalances.Rebalances(house).run())
        await tried.wait()
        counting.cancel()


async def test_what_a_broker_logged_is_counted_although_its_log_is_rotated(tmp_path: Path) -> None:
    house = House(tmp_path, "kafka", SystemClock(), proxied=False)
    log = house.home.logs / "kafka.log"
    log.write_text("Stabilized group before\n")
    counter = rebalances.Rebalances(house)
    assert counter.count == 0
    with log.open("a", encoding="utf-8") as broker:
        broker.write("Stabilized group a\n")
        broker.flush()
        assert counter.count == 1
        broker.write("Stabilized group b\nStabilized gr")
        broker.flush()
        assert counter.count == 2
        broker.write("oup c\n")
        broker.flush()
        logfiles.rotate(log, size_max=0)
        broker.write("Stabilized group d\n")
        broker.flush()
        assert counter.count == 4


async def test_a_log_that_was_rotated_twice_counts_each_of_its_lines_once(tmp_path: Path) -> None:
    house = House(tmp_path, "kafka", SystemClock(), proxied=False)
    log = house.home.logs / "kafka.log"
    counter = rebalances.Rebalances(house)
    for number in range(1, 4):
        with log.open("a", encoding="utf-8") as broker:
            broker.write("something\nStabilized group a\n")
        assert counter.count == number
        logfiles.rotate(log, size_max=0)
        assert counter.count == number
