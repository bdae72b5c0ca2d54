"""Whoever counts rebalances outlives what the storm does to its connection."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

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
