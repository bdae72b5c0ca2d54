"""A simulated day: open the shop, sell, let the planned faults strike, mend, wait, judge.

One seed decides everything: the schedule, the orders, the faults. `simulate` is the whole of it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice

from waybill import programs
from waybill.audit.endings import ENDS
from waybill.audit.evidence import Finding, OnBus, Violation
from waybill.audit.facts import kind
from waybill.audit.oracles import judge
from waybill.simulation import evidence, faults, faulty, logged, partners, system
from waybill.simulation.backoffice import BackOffice
from waybill.simulation.faults import Fault
from waybill.simulation.operator import Operator
from waybill.simulation.points import Points
from waybill.simulation.shared import Compositions
from waybill.simulation.storefront import BEHAVIOUR, Storefront, stock
from waybill.simulation.weather import Strike, Weather
from waybill.simulation.wire import FaultyWire
from waybill_events.catalogue import SUBSCRIPTIONS
from waybill_events.envelope import Recorded
from waybill_runtime.bus import Partition
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.stored import Ownership
from waybill_runtime.testing.seeded_loop import SeededLoop

ORDERS = 8
FAULTS_PER_ORDER = 10
SECONDS_PER_ORDER = 0.3
LEASE_S = 2.0
"""How long a member of a consumer group is waited for; a pause is longer."""
ENDED_S = 60
"""Every order has ended so long after the last fault was mended (I7)."""
QUIET_S = 180
"""Then everything said is heard, everything begun is done, so long after."""
AHEAD = timedelta(seconds=75)
"""A job that is due sooner is work; later ones are the deadlines of what did not happen."""
EXTRA_ORDERS = 20
"""At most, so that what was planned for the next of something finds one."""
EXTRA_S = 3.0
NOWHERE = Ownership(0, 0)


@dataclass(slots=True, kw_only=True)
class Result:
    """What a day came to. `findings` are those of the last judgement."""

    seed: int
    orders: int = 0
    planned: int = 0
    numbers: Sequence[int] = ()
    """Of the planned faults."""
    struck: Mapping[str, int] = field(default_factory=dict)
    log: Sequence[str] = ()
    statuses: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, int] = field(default_factory=dict)
    """Events by type, of all services."""
    findings: Sequence[Finding] = ()
    broken: Sequence[Violation] = ()
    """What the oracles found, in both judgements."""
    violations: Sequence[str] = ()
    """That, and whatever else went wrong with the day, for people."""
    trace: str = ""
    steps: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    """Of the process that lived it, where somebody measured; no part of the result's meaning."""

    @property
    def faults(self) -> int:
        return sum(self.struck.values())

    @property
    def passes(self) -> bool:
        return not self.violations


def simulate(
    seed: int,
    *,
    orders: int = ORDERS,
    faults: int | Sequence[Fault] | None = None,
    only: Collection[int] | None = None,
    compositions: Compositions | None = None,
) -> Result:
    """One day. The same arguments give the same result, trace included, in any process.

    `faults`: how many to draw from the seed (FAULTS_PER_ORDER times the orders when None), or the
    plan itself; `only` keeps those of these numbers; `compositions` are those of an earlier day of
    this process, if nothing was patched since. Whatever ends a day early is a violation, never an
    exception.
    """
    plan = _planned(seed, orders, faults)
    if only is not None:
        plan = [fault for fault in plan if fault.number in only]
    logging.getLogger("waybill_sandboxes").setLevel(logging.CRITICAL)
    loop = SeededLoop.of(seed)
    day = Day(loop, seed, orders, plan, compositions)
    try:
        loop.run(day.run())
    except Exception as error:  # noqa: BLE001 - whatever ends a day early is a finding
        day.violations.append(f"ended early: {error!r}")
    return day.result()


def _planned(seed: int, orders: int, wanted: int | Sequence[Fault] | None) -> Sequence[Fault]:
    if wanted is None:
        wanted = FAULTS_PER_ORDER * orders
    if isinstance(wanted, int):
        return faults.plan(seed, wanted, orders * SECONDS_PER_ORDER)
    return wanted


class SimulatedSystem(system.System):
    """Six services whose nodes meet the weather wherever they reach outside themselves."""

    def __init__(
        self,
        world: faulty.FaultyWorld,
        loop: SeededLoop,
        weather: Weather,
        seed: int,
        compositions: Compositions | None,
    ) -> None:
        def tell(strike: Strike, service: str, what: str, after_s: Sequence[float]) -> None:
            self.operator.tell(strike, service, what, after_s)

        outside = partners.make(world.clock, weather, tell)
        super().__init__(world, loop, outside, BEHAVIOUR, compositions)
        self.wire = FaultyWire(loop, self.nodes.get, weather)
        self.weather = weather
        self.operator = Operator(self, weather, world, seed)

    def start(self, name: str) -> system.Node:
        """A new life, stumbling over the same events as every other."""
        node = super().start(name)
        node.service.handler = faulty.stumbling(self.weather, name, node.service.handler)
        return node

    def infrastructure(self, name: str, node: str) -> Infrastructure:
        return Points(self.weather, name, node).around(super().infrastructure(name, node))

    def seen_by(self, node: str) -> system.Outside:
        outside, weather = self.outside, self.weather
        gateway = partners.FaultyGateway(outside.gateway, weather, node, self.operator.tell)
        at = Points(weather, node.partition("#")[0], node)
        return system.Outside(
            gateway=at.around_port(gateway, "gateway"),
            carrier=at.around_port(partners.FaultyCarrier(outside.carrier, weather), "carrier"),
            mail=at.around_port(partners.FaultyChannel(outside.mail, weather), "email"),
            text=at.around_port(partners.FaultyChannel(outside.text, weather), "sms"),
        )


class Day:
    """One day under way, and what has come of it so far."""

    def __init__(
        self,
        loop: SeededLoop,
        seed: int,
        orders: int,
        plan: Sequence[Fault],
        compositions: Compositions | None,
    ) -> None:
        self._loop = loop
        self._seed = seed
        self._orders = orders
        self._numbers = [fault.number for fault in plan]
        self._span_s = orders * SECONDS_PER_ORDER
        self._weather = Weather(loop, plan)
        self._world = faulty.FaultyWorld(seed, self._weather, lease_s=LEASE_S)
        self._running = SimulatedSystem(self._world, loop, self._weather, seed, compositions)
        self._shop = Storefront(self._running, self._weather, seed)
        self._office = BackOffice(self._running, self._weather, self._shop, seed)
        self._memory = evidence.Memory()
        self._logged = logged.listen()
        self._read = 0
        self._ended: dict[str, str] = {}
        self._findings: Sequence[Finding] = ()
        self._broken: list[Violation] = []
        self.violations: list[str] = []

    async def run(self) -> None:
        """From the first delivery of stock to the second judgement."""
        await self._running.begin()
        await stock(self._running)
        outside = [self._running.work_warehouse(), self._running.carry_parcels()]
        await self._trade()
        await self._settle()
        await self._judge("")
        self._running.operator.restart_all()
        await self._until(self._is_quiet, QUIET_S)
        await self._judge(" (after a restart of everything)")
        for task in outside:
            task.cancel()
        await self._running.stop()

    def result(self) -> Result:
        weather = self._weather
        if weather.left:
            left = "; ".join(str(fault) for fault in weather.left[:5])
            self.violations.append(
                f"unstruck: {len(weather.left)} of {weather.planned} faults: {left}"
            )
        return Result(
            seed=self._seed,
            orders=len(self._shop.order_ids),
            planned=weather.planned,
            numbers=self._numbers,
            struck=dict(weather.struck),
            log=weather.log,
            statuses=self._ends(),
            said=self._said(),
            findings=self._findings,
            broken=self._broken,
            violations=self.violations,
            trace=self._loop.trace,
            steps=self._loop.steps,
            virtual_s=self._loop.time(),
        )

    async def _trade(self) -> None:
        """Sell while things go wrong, and on until everything planned has gone wrong."""
        self._weather.begins()
        self._office.open(self._span_s)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._shop.sell(self._orders, self._span_s))
            group.create_task(self._running.operator.work())
        self._weather.loosen()
        self._office.attend()
        for _ in range(EXTRA_ORDERS + self._orders):
            await asyncio.sleep(EXTRA_S)
            self._weather.loosen()
            if not self._weather.left:
                break
            if self._weather.wants_more:
                self._running.operator.set_clocks()  # or no callback is heard
                await self._shop.sell_one_more()
            self._office.attend()
            await self._running.operator.take_up()
        await self._running.operator.rest()

    async def _settle(self) -> None:
        """Mend everything; all orders end in time, and then all falls quiet."""
        self._weather.heals()
        self._running.operator.mend()
        await self._running.operator.rest()
        if not await self._until(self._have_ended, ENDED_S):
            self.violations += [
                f"I7: {order_id} has not ended {ENDED_S} s after the last fault"
                for order_id in self._shop.order_ids
                if order_id not in self._ends()
            ]
        await self._office.close()
        await self._shop.ask_again()
        for order_id in self._shop.order_ids[-3:]:
            await self._shop.look(order_id)
        if not await self._until(self._is_quiet, QUIET_S):
            self.violations.append(f"restless: {QUIET_S} s later, {'; '.join(self._unrest())}")

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Wait for it, taking up what is parked, as an operator does."""
        until_s = self._loop.time() + seconds
        while not is_so():
            if self._loop.time() >= until_s:
                return False
            await asyncio.sleep(0.5)
            self._office.attend()
            await self._running.operator.take_up()
        return True

    async def _judge(self, when: str) -> None:
        seen, lines = self._shop.seen, self._logged
        gathered = await evidence.gather(self._running, seen, lines, self._memory)
        self._loop.note("".join(map(_written, gathered.events)))
        # What the weather itself wrote to the bus is no word of any service.
        bus = [one for one in gathered.bus or () if _place(one) not in self._weather.foreign]
        self._findings = judge(replace(gathered, bus=bus))
        for finding in self._findings:
            self._broken += finding.violations
            self.violations += [f"{finding.guarantee}: {text}{when}" for text in finding.said]
            self.violations += [
                f"{finding.guarantee}: lacks {what}{when}" for what in finding.missing
            ]

    # --- what stands in the stores ----------------------------------------------------------

    def _ends(self) -> Mapping[str, str]:
        """How each order ended, by its own stream's last words."""
        events = self._world.database("capture").rows.events
        for event in islice(events.values(), self._read, None):  # what was said stays said
            if (end := ENDS.get(kind(event))) is not None:
                self._ended[event.key] = end
        self._read = len(events)
        return self._ended

    def _said(self) -> Mapping[str, int]:
        databases = [self._world.database(name) for name in programs.SERVICES]
        return Counter(event.type for one in databases for event in one.rows.events.values())

    def _have_ended(self) -> bool:
        return self._ends().keys() >= set(self._shop.order_ids)

    def _is_quiet(self) -> bool:
        return not self._unrest()

    def _unrest(self) -> Sequence[str]:
        """What is still to be said, heard or done."""
        found = []
        soon = self._world.clock.now() + AHEAD
        for name in programs.SERVICES:
            rows = self._world.database(name).rows
            behind = [
                f"{name} is at {at} of {end} on {p.topic}/{p.number}"
                for p, end in self._world.broker.ends(SUBSCRIPTIONS[name]).items()
                if end > (at := rows.positions.get((name, p), NOWHERE).next_offset)
            ]
            jobs = [row.job.id for row in rows.jobs.values() if row.ready_at < soon]
            found += [f"{name} has {len(rows.outbox)} to publish"] if rows.outbox else []
            found += [f"{name} has parked {len(rows.parked)}"] if rows.parked else []
            found += [f"{name} has due {', '.join(jobs[:3])}"] if jobs else []
            found += behind[:2]
        return found


def _written(event: Recorded) -> str:
    """An event to the last letter, as the trace takes it in."""
    return (
        f"{event.event_id} {event.type} {event.stream} {event.version} {event.tenant} "
        f"{event.topic} {event.key} {event.occurred_at} {event.causation_id} "
        f"{event.correlation_id} {event.actor} {event.origin} {event.data}\n"
    )


def _place(message: OnBus) -> tuple[Partition, int]:
    return Partition(message.event.topic, message.partition), message.offset
