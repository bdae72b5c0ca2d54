"""One segment of chaos: up, storm, heal, quiet, audit, restart, audit; then written down."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import httpx

from waybill import ledger, proof
from waybill import shop as shops
from waybill.audit.evidence import Finding
from waybill.chaos import auditing, history, kinds, plan, repairing, settling
from waybill.chaos.conduct import Conductor
from waybill.chaos.faults import disks
from waybill.chaos.ground import Ground
from waybill.chaos.house import House
from waybill.chaos.load import Load
from waybill.chaos.rebalances import Rebalances
from waybill.chaos.recovery import Recovery
from waybill.programs import BusName
from waybill_runtime.clock import Clock
from waybill_runtime.lifecycle import alongside

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a segment is to be. `faults` have to strike; some more are planned, as a few find
    nothing to strike.
    """

    bus: BusName
    seed: int
    minutes: float
    faults: int
    at_once: int
    command: str
    kinds: Sequence[str] = ()
    """Only these kinds of faults; none named: all that bus and machine allow."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All segments of the home with this one, and what the last audit found."""

    history: history.History
    findings: Sequence[Finding]
    planted: Sequence[str]


def planned(faults: int) -> int:
    """How many are planned so that so many strike."""
    return faults + max(3, faults // 6)


async def segment(path: Path, wish: Wish, clock: Clock, tell: Tell) -> Outcome:
    """Run one segment on the home at `path`, from where its history ends.

    Raises:
        Failure: the system does not come up, or an audit breaks.
    """
    house = House(path, wish.bus, clock)
    past = history.read(house.home)
    number = len(past.segments) + 1
    tell("starting")
    try:
        await house.open()
        first = history.first_order(house.home, past, wish.seed)
        file = house.home.path / ledger.FOLDER / f"chaos-{number}.jsonl"
        with closing(ledger.Ledger(file)) as book:
            return await _with_clients(house, past, wish, clock, tell, book, first)
    finally:
        await house.close()


async def _with_clients(
    house: House,
    past: history.History,
    wish: Wish,
    clock: Clock,
    tell: Tell,
    book: ledger.Ledger,
    first: int,
) -> Outcome:
    async with (
        shops.opened(house.system.values, book, clock) as shop,
        httpx.AsyncClient(timeout=10.0, trust_env=False) as http,
    ):
        load = Load(shop, book, clock, seed=wish.seed, first=first, at_once=wish.at_once)
        return await _Run(house, past, wish, clock, tell, load, http).run()


class _Run:
    """One segment's parts, and what they come to."""

    def __init__(
        self,
        house: House,
        past: history.History,
        wish: Wish,
        clock: Clock,
        tell: Tell,
        load: Load,
        http: httpx.AsyncClient,
    ) -> None:
        self._house, self._past, self._wish = house, past, wish
        self._clock, self._tell, self._load = clock, tell, load
        self._first_order = load.next_number
        recovery = Recovery(http, clock, self._urls, lambda: self._ground.under_way)
        self._ground = Ground(house, load, recovery, http, clock)
        self._ground.planted += past.planted
        own_disk = disks.postgres_room(house.home.path).is_mount()
        self._kinds = kinds.chosen(wish.bus, wish.kinds, disk=own_disk)
        log = house.home.logs / "faults.jsonl"
        self._conductor = Conductor(self._ground, self._kinds, clock, log)
        self._rebalances = Rebalances(house)

    async def run(self) -> Outcome:
        begun, begun_s = self._clock.now(), self._clock.monotonic_s()
        await self._load.stock()
        quiet_s, left = await self._storm(begun_s)
        stormed_s = self._clock.monotonic_s() - begun_s
        segment = self._stormed(begun, stormed_s, quiet_s, left)
        self._past.segments.append(segment)
        history.write(self._house.home, self._past)
        self._tell("auditing")
        first = await auditing.audit(self._ground)
        self._tell("restarting everything")
        await self._house.down()
        await self._house.up()
        segment.restarted_quiet_s, left_again = await settling.settle(self._ground, self._tell)
        segment.still_waiting |= left_again
        self._tell("auditing again")
        second = await auditing.audit(self._ground)
        segment.violations = [*first.violations, *second.violations]
        segment.unchecked = [*first.unchecked, *second.unchecked]
        segment.judged = True
        history.write(self._house.home, self._past)
        return Outcome(self._past, second.findings, second.planted)

    def _stormed(
        self, begun: datetime, stormed_s: float, quiet_s: float, left: Mapping[str, object]
    ) -> history.Segment:
        """What there is to say before the audits: written down, so that none of it is lost."""
        load, counts = self._load, self._load.counts
        return history.Segment(
            seed=self._wish.seed,
            bus=self._wish.bus,
            command=self._wish.command,
            commit=proof.commit(),
            started_at=begun,
            duration_s=round(stormed_s, 1),
            first_order=self._first_order,
            next_order=load.next_number,
            first_fault=self._past.next_fault,
            next_fault=self._past.next_fault + planned(self._wish.faults),
            asked_faults=self._wish.faults,
            acknowledged=counts.acknowledged,
            unknown=counts.unknown,
            refused=dict(counts.refused),
            gave_up=counts.gave_up,
            looks=counts.looks,
            ended=dict(counts.ended),
            kinds=dict(counts.kinds),
            faults=[asdict(one) for one in self._conductor.done],
            recovered=[asdict(one) for one in self._ground.recovery.found],
            told=list(self._ground.told),
            planted=self._ground.planted[len(self._past.planted) :],
            quiet_s=quiet_s,
            restarted_quiet_s=0.0,
            still_waiting=dict(left),
            rebalances=self._rebalances.count,
            violations=[],
            unchecked=[],
            judged=False,
        )

    async def _storm(self, begun_s: float) -> tuple[float, Mapping[str, object]]:
        """Load and faults, then load's end and the quiet; answers how long quiet took to come."""
        wish = self._wish
        faults = plan.draw(
            wish.seed,
            [one.kind for one in self._kinds.values()],
            duration_s=wish.minutes * 60,
            count=planned(wish.faults),
            first=self._past.next_fault,
        )
        async with asyncio.TaskGroup() as group:
            self._ground.recovery.watch_in(group)
            beside = [
                group.create_task(self._rebalances.run()),
                group.create_task(repairing.watch(self._ground)),
            ]
            loading = group.create_task(self._load.run())
            await self._conductor.run(faults, self._progress)
            left_s = begun_s + wish.minutes * 60 - self._clock.monotonic_s()
            await asyncio.sleep(max(0.0, left_s))
            self._load.stop()
            quiet_s, left = await self._quiet()
            with suppress(asyncio.CancelledError):
                loading.cancel()
            await self._ground.recovery.settle()
            for task in beside:
                task.cancel()
        return quiet_s, left

    async def _quiet(self) -> tuple[float, Mapping[str, object]]:
        """From the last fault's healing on: customers follow their orders meanwhile."""
        async with alongside(self._load.follow()):
            return await settling.settle(self._ground, self._tell)

    def _progress(self, what: str) -> None:
        counts = self._load.counts
        ended = sum(counts.ended.values())
        self._tell(
            f"{counts.acknowledged} orders, {ended} ended, {len(self._load.open)} open; {what}"
        )

    def _urls(self) -> Mapping[str, str]:
        values = self._house.system.values
        return {name.removesuffix("_URL").lower(): url for name, url in values.items()}
