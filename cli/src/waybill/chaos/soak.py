"""Load without faults for a long time: what each process holds must not grow after warm-up."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import fmean, linear_regression

import httpx
import psutil

from waybill import ledger
from waybill import shop as shops
from waybill.audit.evidence import Finding
from waybill.chaos import auditing, settling
from waybill.chaos.ground import Ground
from waybill.chaos.house import House
from waybill.chaos.load import Load
from waybill.chaos.recovery import Recovery
from waybill.programs import SERVICES, BusName
from waybill.proof import Proof
from waybill_runtime.clock import Clock

SAMPLE_EVERY_S = 5.0
MIB = 1024 * 1024
MAY_GROW = 0.05
"""From the second quarter to the last, and by no less than the floor of each measure."""
FLOORS: Mapping[str, float] = {
    "rss_mib": 8.0,
    "open_files": 10.0,
    "connections": 8.0,
    "tasks": 15.0,
}
"""A pool of connections to a store may fill after warm-up, as load comes together by chance: that
is no leak. Each connection is a file as well.
"""
TASKS = "waybill_tasks "
NONE_OF = ("refused", "gave_up", "restarts")
"""Without faults no valid order is refused, nobody waits in vain and no process ends. A figure of
one that was started anew says nothing of growth.
"""


@dataclass(slots=True)
class Samples:
    """Figures over time, by process and measure."""

    at_s: list[float] = field(default_factory=list)
    series: dict[tuple[str, str], list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    restarts: Counter[str] = field(default_factory=Counter)
    """How often each program was another process than at the look before."""
    _pids: dict[str, int] = field(default_factory=dict)

    def met(self, program: str, pid: int) -> None:
        """Note which process a program is now."""
        self.restarts[program] += self._pids.setdefault(program, pid) != pid
        self._pids[program] = pid

    def add(self, at_s: float, process: str, measures: Mapping[str, float]) -> None:
        for name, figure in measures.items():
            self.series[process, name].append((at_s, figure))


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How one figure went: means of the second and the last quarter, slope after warm-up."""

    process: str
    measure: str
    second_quarter: float
    last_quarter: float
    slope_per_h: float
    flat: bool


def courses(samples: Samples) -> Sequence[Course]:
    """How each figure went after the first quarter, which is warm-up."""
    found = []
    for (process, measure), points in sorted(samples.series.items()):
        quarter = len(points) // 4
        if quarter < 2:
            continue
        after = points[quarter:]
        second = fmean(figure for _, figure in points[quarter : 2 * quarter])
        last = fmean(figure for _, figure in points[-quarter:])
        slope = linear_regression(*zip(*after, strict=True)).slope * 3600
        allowed = max(FLOORS[measure], MAY_GROW * second)
        found.append(
            Course(
                process=process,
                measure=measure,
                second_quarter=round(second, 1),
                last_quarter=round(last, 1),
                slope_per_h=round(slope, 2),
                flat=last - second <= allowed,
            )
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a soak is to be."""

    bus: BusName
    seed: int
    minutes: float
    orders_per_s: float
    at_once: int


async def soak(path: Path, wish: Wish, clock: Clock, tell: Callable[[str], None]) -> Proof:
    """Run it: load, quiet, audit.

    Raises:
        Failure: the system does not come up, or the audit breaks.
    """
    house = House(path, wish.bus, clock, proxied=False)
    tell("starting")
    begun = clock.now()
    try:
        await house.open()
        async with AsyncExitStack() as stack:
            book = ledger.Ledger(house.home.path / ledger.FOLDER / "soak.jsonl")
            stack.callback(book.close)
            shop = await stack.enter_async_context(shops.opened(house.system.values, book, clock))
            http = await stack.enter_async_context(httpx.AsyncClient(timeout=10.0, trust_env=False))
            load = Load(shop, book, clock, seed=wish.seed, first=1, at_once=wish.at_once)
            ground = Ground(house, load, Recovery(http, clock, dict, set), http, clock)
            await load.stock()
            samples, took_s = await _run(house, load, http, wish, clock, tell)
            quiet_s, _ = await settling.settle(ground, tell)
            tell("auditing")
            audited = await auditing.audit(ground)
    finally:
        await house.close()
    reached = {
        "minutes": round(took_s / 60, 2),
        "orders_per_s": round(load.counts.acknowledged / took_s, 2),
        "orders": float(load.counts.acknowledged),
        "refused": float(load.counts.refused.total()),
        "gave_up": float(load.counts.gave_up),
        "restarts": float(samples.restarts.total()),
        "quiet_s": quiet_s,
    }
    return _proof(begun, wish, reached, courses(samples), audited.findings)


async def _run(
    house: House,
    load: Load,
    http: httpx.AsyncClient,
    wish: Wish,
    clock: Clock,
    tell: Callable[[str], None],
) -> tuple[Samples, float]:
    """Load until the time is up; answers what was seen, and how long it was."""
    samples = Samples()
    begun_s = clock.monotonic_s()
    async with asyncio.TaskGroup() as group:
        loading = group.create_task(load.run())
        sampling = group.create_task(_sample(house, http, samples, clock))
        while (left_s := begun_s + wish.minutes * 60 - clock.monotonic_s()) > 0:
            tell(f"{load.counts.acknowledged} orders, {left_s:.0f} s to go")
            await asyncio.sleep(min(10.0, left_s))
        took_s = clock.monotonic_s() - begun_s
        sampling.cancel()
        load.stop()
        await loading
    return samples, took_s


def _proof(
    begun: datetime,
    wish: Wish,
    reached: Mapping[str, float],
    gone: Sequence[Course],
    findings: Sequence[Finding],
) -> Proof:
    asked = {
        "minutes": wish.minutes,
        "orders_per_s": wish.orders_per_s,
        "figures_that_grow": 0.0,
        **dict.fromkeys(NONE_OF, 0.0),
        "quiet_s": settling.QUIET_S,
    }
    grown = float(sum(not one.flat for one in gone))
    return Proof(
        name=f"soak-{wish.bus}",
        command=f"waybill soak --minutes {wish.minutes:g} --seed {wish.seed} --bus {wish.bus}"
        f" --rate {wish.orders_per_s:g} --customers {wish.at_once}",
        seed=wish.seed,
        started_at=begun,
        duration_s=reached["minutes"] * 60,
        asked=asked,
        reached={**reached, "figures": float(len(gone)), "figures_that_grow": grown},
        shortfalls=shortfalls(asked, reached, gone),
        left_out={},
        findings=findings,
        details={
            "warm_up": "the first quarter",
            "may_grow": f"{MAY_GROW:.0%} from the second quarter to the last, or the floor",
            "floors": dict(FLOORS),
            "figures": [asdict(one) for one in gone],
        },
    )


def shortfalls(
    asked: Mapping[str, float], reached: Mapping[str, float], gone: Sequence[Course]
) -> Sequence[str]:
    """Every figure that fell short, in words."""
    found = [
        f"{name}: {reached[name]:g} of {asked[name]:g}"
        for name in ("minutes", "orders_per_s")
        if reached[name] < asked[name]
    ]
    found += [f"{name}: {reached[name]:g}, not one" for name in NONE_OF if reached[name]]
    if not gone:
        found.append("too short to see anything grow")
    found += [
        f"{one.process} {one.measure} grew from {one.second_quarter:g} to {one.last_quarter:g}"
        for one in gone
        if not one.flat
    ]
    if reached["quiet_s"] > settling.QUIET_S:
        found.append(f"quiet only after {reached['quiet_s']:g} s")
    return found


async def _sample(house: House, http: httpx.AsyncClient, samples: Samples, clock: Clock) -> None:
    """Look at every process, again and again, until cancelled."""
    begun_s = clock.monotonic_s()
    while True:
        values = house.system.values
        for name in house.state().programs:
            process = house.process(name)
            if process is None:
                continue
            samples.met(name, process.pid)
            measures = held(process)
            if name in SERVICES:
                measures |= await _tasks(http, values[f"{name.upper()}_URL"])
            samples.add(clock.monotonic_s() - begun_s, name, measures)
        await asyncio.sleep(SAMPLE_EVERY_S)


def held(process: psutil.Process) -> dict[str, float]:
    """What a process holds now; nothing of one that is gone."""
    try:
        return {
            "rss_mib": process.memory_info().rss / MIB,
            "open_files": float(process.num_fds()),
            "connections": float(len(process.net_connections("tcp"))),
        }
    except psutil.Error:
        return {}


async def _tasks(http: httpx.AsyncClient, url: str) -> dict[str, float]:
    try:
        text = (await http.get(f"{url}/metrics")).text
    except httpx.HTTPError:
        return {}
    found = [line for line in text.splitlines() if line.startswith(TASKS)]
    return {"tasks": float(found[0].removeprefix(TASKS))} if found else {}
