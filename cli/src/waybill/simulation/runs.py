"""Many days, a few at a time, each in a process that has nothing of the day before in it."""

import gc
import hashlib
import multiprocessing
import resource
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from multiprocessing.connection import Connection

from waybill.audit.evidence import Finding, add_up
from waybill.simulation.day import Result, simulate
from waybill.simulation.shared import Compositions
from waybill.simulation.system import compose_here

PROCESSES = 2
ORDERS_AT_ONCE = 300
"""In one child, which keeps in memory what they leave behind."""
_COMPOSED = Compositions(compose_here)
"""Shared by all days of a process: it keeps nothing of any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which days are wanted. `faults` None: as many as the orders call for."""

    first: int
    seeds: int
    orders: int
    faults: int | None = None


@dataclass(slots=True)
class Sum:
    """What many days came to together."""

    days: int = 0
    orders: int = 0
    planned: int = 0
    violations: int = 0
    steps: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    struck: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    failed: list[Result] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)
    _traces: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def add(self, day: Result) -> None:
        self.days += 1
        self.orders += day.orders
        self.planned += day.planned
        self.violations += len(day.violations)
        self.steps += day.steps
        self.virtual_s += day.virtual_s
        self.cpu_s += day.cpu_s
        self.struck.update(day.struck)
        self.said.update(day.said)
        self._traces.update(day.trace.encode())
        if not day.passes:
            self.failed.append(day)
        for finding in day.findings:
            add_up(self.findings, finding, f"seed {day.seed}: ")

    @property
    def faults(self) -> int:
        return self.struck.total()

    @property
    def trace(self) -> str:
        """A hash over the traces of all days, in the order of their seeds."""
        return self._traces.hexdigest()


def run(asked: Asked, *, processes: int = PROCESSES) -> Iterator[Result]:
    """The days in the order of their seeds, without their logs."""
    seeds = range(asked.first, asked.first + asked.seeds)
    if processes == 1:
        yield from (_day(seed, asked.orders, asked.faults) for seed in seeds)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["waybill.simulation.day"])
    at_once = max(1, ORDERS_AT_ONCE // asked.orders)
    parts = [seeds[at : at + at_once] for at in range(0, len(seeds), at_once)]
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_settle_in) as pool:
        count = len(parts)
        try:
            days = pool.map(_days, parts, [asked.orders] * count, [asked.faults] * count)
            yield from chain.from_iterable(days)
        finally:
            pool.shutdown(cancel_futures=True)


def _days(seeds: Sequence[int], orders: int, faults: int | None) -> Sequence[Result]:
    """Some days, in a child that ends without tidying up: to look for garbage takes longer.

    Raises:
        ChildProcessError: it died of something else than a day.
    """
    context = multiprocessing.get_context("fork")
    reading, writing = context.Pipe(duplex=False)
    child = context.Process(target=_live_through, args=(writing, seeds, orders, faults))
    child.start()
    writing.close()
    try:
        found: Sequence[Result] = reading.recv()
    except EOFError:
        child.join()
        raise ChildProcessError(f"seeds {seeds} ended with {child.exitcode}") from None
    child.join()
    return found


def _live_through(told: Connection, seeds: Sequence[int], orders: int, faults: int | None) -> None:
    told.send([_day(seed, orders, faults) for seed in seeds])


def _settle_in() -> None:
    """What is loaded is shared by the children, and never looked through for garbage."""
    simulate(0, orders=1, faults=0, compositions=_COMPOSED)
    gc.collect()
    gc.freeze()
    gc.disable()


def _day(seed: int, orders: int, faults: int | None) -> Result:
    before_s = _cpu_s()
    day = simulate(seed, orders=orders, faults=faults, compositions=_COMPOSED)
    return replace(day, log=(), statuses={}, cpu_s=_cpu_s() - before_s)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def describe(struck: Counter[str]) -> Sequence[str]:
    """Faults by kind, most first."""
    return [f"{count:>9,}  {kind}" for kind, count in struck.most_common()]
