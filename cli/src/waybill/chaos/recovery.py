"""How long it takes after a kill until useful work is done again, seen from outside.

Useful work: it answers /readyz with 200, and since the kill it has applied deliveries, sent events
or done jobs, as its own counters say. Load has to flow meanwhile. For Postgres: all services.
"""

import asyncio
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import httpx

from waybill_runtime.clock import Clock

WATCH_S = 90.0
LOOK_EVERY_S = 0.15
WORK = ("waybill_consumed_total{", "waybill_relayed_total", "waybill_jobs_total{")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """One kill. `alone`: no other fault was under way from the kill to the recovery."""

    what: str
    took_s: float
    in_time: bool
    alone: bool


class Recovery:
    """Watches kills; `active` answers the numbers of the faults under way now."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        clock: Clock,
        urls: Callable[[], Mapping[str, str]],
        active: Callable[[], Collection[int]],
    ) -> None:
        self.found: list[Recovered] = []
        self._http = http
        self._clock = clock
        self._urls = urls
        self._active = active
        self._group: asyncio.TaskGroup | None = None
        self._watching: set[asyncio.Task[None]] = set()

    def watch_in(self, group: asyncio.TaskGroup) -> None:
        """Kills are watched by tasks of this group."""
        self._group = group

    async def work_of(self, services: Sequence[str]) -> Mapping[str, float | None]:
        """What each has done since it started, by its own counters; None: no answer."""
        done = await asyncio.gather(*(self._work(self._urls()[name]) for name in services))
        return dict(zip(services, done, strict=True))

    def killed(
        self, what: str, before: Mapping[str, float | None], number: int, *, restarted: bool
    ) -> None:
        """A kill happened now; whose work is watched, and what it had done, stands in `before`.

        `restarted`: its own process died, so its counters begin anew.
        """
        base = {name: 0.0 if restarted else (done or 0.0) for name, done in before.items()}
        if self._group is None:
            raise RuntimeError("nobody watches: call watch_in() first")
        watch = self._watch(what, base, number, self._clock.monotonic_s())
        task = self._group.create_task(watch)
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def settle(self) -> None:
        """Return when every kill has recovered, or its WATCH_S went by."""
        if self._watching:
            await asyncio.wait(self._watching)

    def seconds(self, what: str, *, alone: bool = False) -> list[float]:
        """What kills of these took, in order of their length."""
        return sorted(
            one.took_s for one in self.found if one.what.startswith(what) and one.alone >= alone
        )

    async def _watch(
        self, what: str, base: Mapping[str, float], number: int, struck_s: float
    ) -> None:
        left = dict(base)
        alone = True
        # The process that was killed may answer for a moment yet.
        await asyncio.sleep(LOOK_EVERY_S)
        while left and self._clock.monotonic_s() < struck_s + WATCH_S:
            alone = alone and not set(self._active()) - {number}
            for name in list(left):
                if await self._works(self._urls()[name], left[name]):
                    del left[name]
            if left:
                await asyncio.sleep(LOOK_EVERY_S)
        took_s = self._clock.monotonic_s() - struck_s
        self.found.append(
            Recovered(what=what, took_s=round(took_s, 3), in_time=not left, alone=alone)
        )

    async def _works(self, url: str, base: float) -> bool:
        done = await self._work(url)
        if done is None or done <= base:
            return False
        try:
            return (
                await self._http.get(f"{url}/readyz", timeout=2.0)
            ).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    async def _work(self, url: str) -> float | None:
        try:
            answer = await self._http.get(f"{url}/metrics", timeout=2.0)
        except httpx.HTTPError:
            return None
        return work_done(answer.text)


def work_done(metrics: str) -> float:
    """Deliveries applied, events sent and jobs done, of a text in Prometheus' format."""
    lines = (line for line in metrics.splitlines() if line.startswith(WORK))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def p99(seconds: Sequence[float]) -> float:
    """The nearest-rank 99th percentile of sorted figures; 0 of none."""
    return seconds[math.ceil(0.99 * len(seconds)) - 1] if seconds else 0.0
