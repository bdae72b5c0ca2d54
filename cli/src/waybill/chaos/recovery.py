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
    """One kill. `alone`: from it to its recovery nothing else was under way, no other fault and no
    other recovery.
    """

    what: str
    took_s: float
    in_time: bool
    alone: bool


@dataclass(slots=True)
class _Kill:
    """One that is being watched: what is left to work again, from which counts on."""

    what: str
    number: int
    left: dict[str, float]
    struck_s: float
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
        self._open: list[_Kill] = []

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
        # A kill lasts no longer than a moment, but what it does lasts until the recovery.
        for other in self._open:
            other.alone = False
        kill = _Kill(what, number, base, self._clock.monotonic_s(), alone=not self._open)
        self._open.append(kill)
        task = self._group.create_task(self._watch(kill))
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

    async def _watch(self, kill: _Kill) -> None:
        # The process that was killed may answer for a moment yet.
        await asyncio.sleep(LOOK_EVERY_S)
        while kill.left and self._clock.monotonic_s() < kill.struck_s + WATCH_S:
            kill.alone = kill.alone and not set(self._active()) - {kill.number}
            for name in list(kill.left):
                await self._look(kill, name)
            if kill.left:
                await asyncio.sleep(LOOK_EVERY_S)
        self._open.remove(kill)
        took_s = self._clock.monotonic_s() - kill.struck_s
        self.found.append(
            Recovered(
                what=kill.what, took_s=round(took_s, 3), in_time=not kill.left, alone=kill.alone
            )
        )

    async def _look(self, kill: _Kill, name: str) -> None:
        """See whether a service works again; one that was itself killed since counts from 0."""
        url = self._urls()[name]
        done = await self._work(url)
        if done is None:
            return
        if done < kill.left[name]:
            kill.left[name] = 0.0
        if done > kill.left[name] and await self._ready(url):
            del kill.left[name]

    async def _ready(self, url: str) -> bool:
        try:
            answer = await self._http.get(f"{url}/readyz", timeout=2.0)
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK

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
