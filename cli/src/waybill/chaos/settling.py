"""Quiet after the storm: everything runs, every order has ended, nothing waits to be done."""

import asyncio
from collections.abc import Callable, Mapping

import asyncpg

from waybill.chaos import repairing
from waybill.chaos.faults import messages
from waybill.chaos.ground import Ground
from waybill.programs import SERVICES
from waybill_events.catalogue import SUBSCRIPTIONS

QUIET_S = 60.0
"""The design's I7, with test timers."""
WAIT_S = 300.0
"""After that it is not waited for; the audit then says what is stuck."""
LOOK_EVERY_S = 0.5
REPAIR_EVERY_S = 5.0

_WAITING = """
SELECT (SELECT count(*) FROM outbox),
       (SELECT count(*) FROM jobs WHERE due_at <= now() + interval '5 s'),
       (SELECT count(*) FROM parked)
"""


async def settle(ground: Ground, tell: Callable[[str], None]) -> tuple[float, Mapping[str, object]]:
    """Wait until nothing waits; answers how long it took, and what still waited if it did not.

    Parked keys of our own planting are repaired, as staff would.
    """
    begun_s = ground.clock.monotonic_s()
    repaired_s = 0.0
    while True:
        left = await waiting(ground)
        now_s = ground.clock.monotonic_s() - begun_s
        if not left or now_s > WAIT_S:
            return round(now_s, 1), left
        tell(f"settling for {now_s:.0f} s: " + ", ".join(f"{k} {v}" for k, v in left.items()))
        if left.get("parked") and now_s - repaired_s >= REPAIR_EVERY_S:
            await repairing.repair(ground)
            repaired_s = ground.clock.monotonic_s() - begun_s
        await asyncio.sleep(LOOK_EVERY_S)


async def waiting(ground: Ground) -> Mapping[str, object]:
    """What is not done yet, by name; empty when all is quiet."""
    found: dict[str, object] = {}
    if unready := ground.house.unready():
        found["not ready"] = ", ".join(unready)
    if ground.load.asking:
        found["unanswered posts"] = ground.load.asking
    if ground.load.open:
        found["open orders"] = len(ground.load.open)
    try:
        outbox = jobs = parked = 0
        for name in SERVICES:
            row = await _row(ground.house.dsn(name), _WAITING)
            outbox, jobs, parked = outbox + row[0], jobs + row[1], parked + row[2]
        lag = await _lag(ground)
    except messages.TROUBLE as error:
        return {**found, "stores": type(error).__name__}
    counted = {"unpublished": outbox, "jobs": jobs, "parked": parked, "not applied": lag}
    return {**found, **{name: count for name, count in counted.items() if count}}


async def _lag(ground: Ground) -> int:
    """Messages on the bus that a consumer has not taken."""
    lag = 0
    async with ground.house.system.connect("capture") as on:
        ends = await on.bus.bounds(sorted({t for topics in SUBSCRIPTIONS.values() for t in topics}))
    for name in SERVICES:
        rows = await _rows(
            ground.house.dsn(name),
            "SELECT topic, number, next_offset FROM consumer_position WHERE consumer = $1",
            name,
        )
        at = {(row[0], row[1]): row[2] for row in rows}
        lag += sum(
            max(0, end - at.get((p.topic, p.number), 0))
            for p, (_, end) in ends.items()
            if p.topic in SUBSCRIPTIONS[name]
        )
    return lag


async def _row(dsn: str, statement: str) -> "asyncpg.Record":
    return (await _rows(dsn, statement))[0]


async def _rows(dsn: str, statement: str, *arguments: object) -> "list[asyncpg.Record]":
    async with asyncio.timeout(10.0):
        connection = await asyncpg.connect(dsn, timeout=5.0)
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close(timeout=2.0)
