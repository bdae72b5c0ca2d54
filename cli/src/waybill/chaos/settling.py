"""Quiet after the storm: everything runs, every order has ended, nothing waits to be done."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

from waybill.audit import quiet
from waybill.chaos import repairing
from waybill.chaos.faults import messages
from waybill.chaos.ground import Ground
from waybill.programs import SERVICES

QUIET_S = 60.0
"""The design's I7, with test timers."""
WAIT_S = 300.0
"""After that it is not waited for; the audit then says what is stuck."""
REPAIR_EVERY_S = 5.0


async def settle(ground: Ground, tell: Callable[[str], None]) -> tuple[float, Mapping[str, object]]:
    """Wait until nothing waits; answers how long it took, and what still waited if it did not.

    Parked keys of our own planting are repaired, as staff would.
    """
    begun_s = ground.clock.monotonic_s()
    repaired_s, looks = 0.0, 0
    while True:
        left = await waiting(ground)
        now_s = ground.clock.monotonic_s() - begun_s
        looks = 0 if left else looks + 1
        if looks == quiet.LOOKS or now_s > WAIT_S:
            return round(now_s, 1), left
        if left:
            tell(f"settling for {now_s:.0f} s: " + ", ".join(f"{k} {v}" for k, v in left.items()))
        if left.get("parked") and now_s - repaired_s >= REPAIR_EVERY_S:
            await repairing.repair(ground)
            repaired_s = ground.clock.monotonic_s() - begun_s
        await asyncio.sleep(quiet.LOOK_EVERY_S)


async def waiting(ground: Ground) -> Mapping[str, object]:
    """What is not done yet, by name; empty when all is quiet."""
    found: dict[str, object] = {}
    if unready := ground.house.unready():
        found["not ready"] = ", ".join(unready)
    if ground.load.asking:
        found["unanswered posts"] = ground.load.asking
    if ground.load.open:
        found["open orders"] = len(ground.load.open)
    counted: Counter[str] = Counter()
    try:
        for name in SERVICES:
            async with ground.house.system.connect(name) as on:
                counted.update(await quiet.under_way(name, on))
                async with on.store.reading() as reading:
                    counted["parked"] += (await reading.parking.parked_backlog(name)).count
    except messages.TROUBLE as error:
        return {**found, "stores": type(error).__name__}
    return {**found, **{what: count for what, count in counted.items() if count}}
