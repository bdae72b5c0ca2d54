"""How long-running parts live: started together, restarted when they fail, stopped in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import structlog

from waybill_runtime import metrics
from waybill_runtime.clock import Clock

log = structlog.get_logger("waybill.lifecycle")

T = TypeVar("T")

REST_TIMES = 2.0
RESTART_DELAY_S = 0.1
RESTART_DELAY_S_MAX = 5.0
LAG_EVERY_S = 1.0
FAILING_S = 30.0
"""So long a part may fail again and again before the process calls itself unready."""


def rest_s(worked_s: float, most_s: float) -> float:
    """How long a part rests that has done all there was: a multiple of its work, up to `most_s`.

    The busier the machine, the longer the work takes, and the larger the next batch is.
    """
    return min(REST_TIMES * worked_s, most_s)


class Stopping:
    """A request to stop that everybody can wait for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """True once stopping was asked for, False when the time passed first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        return self._event.is_set()


class Wake:
    """Lets a loop sleep until there is something to do, or until its patience ends."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, timeout_s: float) -> None:
        """Return at the next `set`, or after the time-out. A `set` in between is not lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        self._event.clear()


@asynccontextmanager
async def alongside(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Run `work` beside the body; it is cancelled, and has ended, when the body leaves."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


class Probe:
    """Asks something that may hang. One question is under way at a time, however many wait."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._ask = ask
        self._asked: asyncio.Task[None] | None = None

    async def answers(self, timeout_s: float) -> bool:
        """Whether it answers in time; raises what the question raises.

        One that hangs is left to its own limits: it may not end at once when it is cancelled.
        """
        asked = self._asked
        if asked is None or asked.done():
            asked = self._asked = asyncio.ensure_future(self._ask())
            asked.add_done_callback(_seen)
        await asyncio.wait([asked], timeout=timeout_s)
        if not asked.done():
            return False
        asked.result()
        return True


def _seen(task: asyncio.Task[None]) -> None:
    """Nobody may wait for the answer any more, and its failure is no news."""
    if not task.cancelled():
        task.exception()


class Failing:
    """Since when each part of a process has failed again and again, and on what."""

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}
        self._error: dict[str, str] = {}
        self._running_s: dict[str, float] = {}

    def started(self, part: str, at_s: float) -> None:
        self._running_s[part] = at_s

    def failed(self, part: str, error: Exception, at_s: float) -> None:
        if self._is_well(part, at_s):
            self._since_s.pop(part, None)
        self._since_s.setdefault(part, at_s)
        self._error[part] = type(error).__name__
        self._running_s.pop(part, None)

    def parts(self, at_s: float) -> Mapping[str, str]:
        """What is wrong with each part that has kept failing for FAILING_S; sets the gauge."""
        found = {}
        for part, since_s in self._since_s.items():
            failing_s = 0.0 if self._is_well(part, at_s) else at_s - since_s
            metrics.PART_FAILING_S.labels(part=part).set(failing_s)
            if failing_s >= FAILING_S:
                found[part] = f"fails again and again for {failing_s:.0f} s: {self._error[part]}"
        return found

    def _is_well(self, part: str, at_s: float) -> bool:
        """One that has run for longer than it would have waited has got over it."""
        return at_s - self._running_s.get(part, at_s) > RESTART_DELAY_S_MAX


async def keep_running(
    name: str,
    run: Callable[[], Awaitable[None]],
    stopping: Stopping,
    failing: Failing | None = None,
) -> None:
    """Run a part until stopping; start it again, with a growing delay, when it fails.

    A part never takes its process down: its failure is logged and counted, `failing` is told, and
    its work is durable and waits. One that ran for a while before it failed is started again at
    once: what went wrong long ago makes nobody wait today.
    """
    loop = asyncio.get_running_loop()
    failing = failing or Failing()
    delay_s = RESTART_DELAY_S
    while not stopping:
        started_s = loop.time()
        failing.started(name, started_s)
        try:
            await run()
        except Exception as error:  # the last line of defence of a part: logged, started again
            metrics.PART_FAILURES.labels(part=name).inc()
            failing.failed(name, error, loop.time())
            log.exception("part failed", part=name)
            if loop.time() - started_s > RESTART_DELAY_S_MAX:
                delay_s = RESTART_DELAY_S
            await stopping.wait(delay_s)
            delay_s = min(delay_s * 2, RESTART_DELAY_S_MAX)


async def time_the_loop(clock: Clock) -> None:
    """Record every second how late the event loop is, and how many tasks it has; cancel it."""
    while True:
        due_s = clock.monotonic_s() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        metrics.LOOP_LAG_S.set(max(0.0, clock.monotonic_s() - due_s))
        metrics.TASKS.set(len(asyncio.all_tasks()))
