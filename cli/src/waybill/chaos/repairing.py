"""What staff do with what this run planted: discard it, then apply what waited behind it.

The same calls as `waybill parked retry` and `discard`, without a process for each. Only our own
poison is discarded: anything else that is parked is the audit's to find.
"""

import asyncio

from waybill import registry
from waybill.chaos.faults.messages import POISON, TROUBLE
from waybill.chaos.ground import Ground
from waybill.unparking import unparking
from waybill_runtime.stored import Parked
from waybill_runtime.unpark import Busy, NotParked, Unparking

PAUSE_S = 1.0
ROUNDS_MAX = 20
"""So often one key may be poisoned and repaired in one go."""


async def repair(ground: Ground) -> int:
    """Take up every key that we poisoned, in every service; answers how many did not yield.

    A store that is away leaves its keys for the next call.
    """
    left = 0
    async with ground.one_repair:
        for name in registry.SERVICES:
            try:
                left += await _repair(ground, name)
            except TROUBLE:
                left += 1
    return left


async def watch(ground: Ground) -> None:
    """Staff on duty: whatever was planted is taken up again soon. Runs until cancelled."""
    while True:
        await ground.poisoned.wait()
        ground.poisoned.clear()
        await asyncio.sleep(PAUSE_S)
        if await repair(ground):
            ground.poisoned.set()


async def _repair(ground: Ground, name: str) -> int:
    async with ground.house.system.connect(name) as on:
        keys = sorted({str(one["key"]) for one in ground.planted})
        async with on.store.reading() as reading:
            parked = await reading.parking.parked_keys(name, keys)
        if not parked:
            return 0
        left = 0
        async with unparking(ground.house.system, name, on) as taken:
            for key in sorted(parked):
                left += not await _take_up(taken, key)
        return left


async def _take_up(taken: Unparking, key: str) -> bool:
    """Whether nothing of the key is parked any more."""
    for _ in range(ROUNDS_MAX):
        try:
            told = await taken.retry(key)
            if told.failed is None:
                return True
            if not _planted(told.failed):
                return False
            await taken.discard(key, reason="planted by chaos", actor="staff:chaos")
        except NotParked:
            return True
        except Busy:
            return False
    return False


def _planted(parked: Parked) -> bool:
    return any(name == POISON for name, _ in parked.headers)
