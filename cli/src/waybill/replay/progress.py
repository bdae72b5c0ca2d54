"""How far a stage is: a bar with rate and time left in a terminal, else a line every tenth."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from waybill import show
from waybill_runtime.clock import Clock

TENTHS = 10


class Stage:
    """One stage of so many steps, told as it goes."""

    def __init__(self, name: str, total: int, clock: Clock, bar: Progress | None) -> None:
        self._name = name
        self._total = total
        self._clock = clock
        self._bar = bar
        self._task = bar.add_task(name, total=total, rate="") if bar is not None else None
        self._begun_s = clock.monotonic_s()
        self._first: int | None = None
        self._tenth = 0

    def at(self, done: int) -> None:
        """So many steps are done now; may be told the same twice."""
        if self._first is None:
            self._first = done
            self._tenth = done * TENTHS // max(1, self._total)
        rate = self._rate(done)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, rate=f"{rate:.1f}/s")
            return
        tenth = done * TENTHS // max(1, self._total)
        if tenth > self._tenth:
            self._tenth = tenth
            left = f", {(self._total - done) / rate:.0f} s left" if rate else ""
            show.err.print(
                f"{self._name}: {done:,} of {self._total:,}, {rate:.1f}/s{left}", markup=False
            )

    def _rate(self, done: int) -> float:
        """Steps per second since this run of the stage began."""
        took_s = self._clock.monotonic_s() - self._begun_s
        return (done - (self._first or 0)) / took_s if took_s > 0 else 0.0


@contextmanager
def stage(name: str, total: int, clock: Clock) -> Iterator[Stage]:
    """Tell of a stage on stderr while it lasts."""
    if not show.err.is_terminal:
        yield Stage(name, total, clock, None)
        return
    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=show.err) as bar:
        yield Stage(name, total, clock, bar)
