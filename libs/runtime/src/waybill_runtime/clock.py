"""The only place that reads a clock, but for shells that wait by the event loop's own.

Rules never ask for the time: it arrives on the command. Shells ask a Clock. Sleeping goes through
the event loop (`asyncio.sleep`), so a loop with virtual time moves everything at once.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for facts, monotonic time for waits."""

    def now(self) -> datetime:
        """The time now, in UTC, to the microsecond."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()


class LoopClock:
    """The running event loop's time, counted from a fixed epoch: virtual under a virtual loop.

    `skew_s` moves the wall time of one node without touching its monotonic time.
    """

    def __init__(self, epoch: datetime, skew_s: float = 0.0) -> None:
        self._epoch = epoch
        self.skew_s = skew_s

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self.monotonic_s() + self.skew_s)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()
