"""What every fault works on, and what it has to tell."""

# ruff: noqa: S311, TID251  what a proof draws, it draws from its seed
import asyncio
import random
import signal
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx
import psutil

from waybill import programs
from waybill.chaos.house import House
from waybill.chaos.load import Load
from waybill.chaos.plan import Fault
from waybill.chaos.recovery import Recovery
from waybill_runtime.clock import Clock

STRIKE_WITHIN_S = 25.0
POLL_S = 0.1
END_WITHIN_S = 60.0
"""What was told to stop in order does, within this; what was killed, at once."""
COMMAND_TIMEOUT_S = 400.0
HEALED_KEPT = 100
ENDED = psutil.STATUS_ZOMBIE
STOPPED = psutil.STATUS_STOPPED


class NotStruck(Exception):
    """A fault found nothing to strike, or had no effect; the reason is its message. It does not
    count.
    """


@dataclass(slots=True)
class Ground:
    """One running system under chaos. `planted` are messages that this run put on the bus and that
    no store has, by the name the audit gives them.
    """

    house: House
    load: Load
    recovery: Recovery
    http: httpx.AsyncClient
    clock: Clock
    planted: list[Mapping[str, Any]] = field(default_factory=list)
    told: list[Mapping[str, Any]] = field(default_factory=list)
    """What faults found out by the way: rebuilds and their hashes, republished slices."""
    lies: dict[str, dict[int, Mapping[str, float]]] = field(default_factory=dict)
    poisoned: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is something to repair."""
    under_way: dict[int, Fault] = field(default_factory=dict)
    """The faults that strike now, by number."""
    healed: deque[tuple[float, Fault]] = field(default_factory=lambda: deque(maxlen=HEALED_KEPT))
    """The last faults that healed, and when."""
    one_rebuild: asyncio.Lock = field(default_factory=asyncio.Lock)
    one_repair: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def process(self, name: str) -> psutil.Process:
        """A program's process, once it is ready.

        Raises:
            NotStruck: it does not come up within STRIKE_WITHIN_S.
        """
        deadline_s = self.clock.monotonic_s() + STRIKE_WITHIN_S
        while self.clock.monotonic_s() < deadline_s:
            known = self.house.state().programs.get(name)
            process = known.process() if known is not None and known.ready else None
            if process is not None:
                return process
            await asyncio.sleep(POLL_S)
        raise NotStruck(f"{name} was not ready for {STRIKE_WITHIN_S:.0f} s")

    async def strike(self, name: str, number: signal.Signals) -> psutil.Process:
        """Signal a program that is ready; answers the process that it was.

        Raises:
            NotStruck: it is not there.
        """
        process = await self.process(name)
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess as gone:
            raise NotStruck(f"{name} died by itself") from gone
        return process

    async def see(
        self, process: psutil.Process, wanted: Collection[str], within_s: float = END_WITHIN_S
    ) -> None:
        """Return once a process that was signalled is so; `ENDED` is how one is that is gone.

        Raises:
            NotStruck: it is not within the time.
        """
        deadline_s = self.clock.monotonic_s() + within_s
        while (now := status(process)) not in wanted:
            if self.clock.monotonic_s() > deadline_s:
                raise NotStruck(f"pid {process.pid} was {now} {within_s:.0f} s after its signal")
            await asyncio.sleep(POLL_S)

    def begin(self, fault: Fault) -> None:
        self.under_way[fault.number] = fault

    def end(self, fault: Fault) -> None:
        self.under_way.pop(fault.number, None)
        self.healed.append((self.clock.monotonic_s(), fault))

    def lately(self, within_s: float) -> list[Fault]:
        """The faults that strike now, and those that healed no longer ago than this."""
        since_s = self.clock.monotonic_s() - within_s
        return [*self.under_way.values(), *(one for at_s, one in self.healed if at_s >= since_s)]

    async def command(
        self, *arguments: str, within_s: float = COMMAND_TIMEOUT_S
    ) -> tuple[int, str]:
        """Run `waybill` on this system; answers its exit code and what it said on stdout."""
        process = await asyncio.create_subprocess_exec(
            *programs.python("waybill"),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.house.home.path,
            env=self.house.environment(),
        )
        try:
            async with asyncio.timeout(within_s):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return -1, f"no end within {within_s:.0f} s"
        return process.returncode or 0, (out or err).decode(errors="replace")


def status(process: psutil.Process) -> str:
    """How a process is; one that is gone, or waits to be reaped, is ENDED."""
    try:
        # A pid may be another process's by now.
        return str(process.status()) if process.is_running() else ENDED
    except psutil.NoSuchProcess:
        return ENDED


def dice(fault: Fault) -> random.Random:
    """What a fault draws for itself; the same for the same plan."""
    return random.Random(fault.seed)


Strike: TypeAlias = Callable[[Ground, Fault], AbstractAsyncContextManager[str]]
"""Entered it has struck, and answers a note; left it has healed. Raises NotStruck."""
