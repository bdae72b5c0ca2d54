"""Whether anything is still under way: nothing to publish, to take or to do that is due by now."""

import asyncio
from collections.abc import Mapping

from waybill_events.catalogue import SUBSCRIPTIONS
from waybill_runtime.infrastructure import Infrastructure

LOOK_EVERY_S = 0.5
LOOKS = 2
"""So often in a row must nothing be found: what is on its way between two places is in neither."""


async def wait(on: Mapping[str, Infrastructure], patience_s: float) -> str:
    """Return once nothing is under way: empty; or what still was when patience ended."""
    clock = on["capture"].clock
    deadline_s = clock.monotonic_s() + patience_s
    quiet = 0
    while True:
        busy = [what for name in on if (what := _told(name, await under_way(name, on[name])))]
        quiet = 0 if busy else quiet + 1
        if quiet == LOOKS:
            return ""
        if clock.monotonic_s() > deadline_s:
            return "; ".join(busy)
        await asyncio.sleep(LOOK_EVERY_S)


async def under_way(name: str, on: Infrastructure) -> Mapping[str, int]:
    """What a service has still to publish, to do, or to take: how much of each that it has."""
    ends = await on.bus.bounds(SUBSCRIPTIONS[name])
    async with on.store.reading() as reading:
        unpublished = (await reading.streams.outbox_backlog()).count
        due = sum(backlog.count for backlog in (await reading.jobs.job_backlog()).values())
        positions = await reading.inbox.positions(name)
    behind = sum(max(0, end - positions.get(p, 0)) for p, (_, end) in ends.items())
    counted = {"to publish": unpublished, "to do": due, "to take": behind}
    return {what: count for what, count in counted.items() if count}


def _told(name: str, counted: Mapping[str, int]) -> str:
    words = [f"{count:,} {what}" for what, count in counted.items()]
    return f"{name} has {', '.join(words)}" if words else ""
