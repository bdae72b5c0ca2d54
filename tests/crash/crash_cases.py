"""One case: arm a process, run a story into it, heal, deliver again, wait for quiet, judge.

A service that died is started again; one that stands still gets a replica beside it until its
leases have long lapsed, and then goes on as if nothing had been. What must hold is judged by the
oracles of `waybill audit` on all there is of the case's own orders.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg
import httpx

import crash_again
from crash_audit import Auditor
from crash_stories import STORIES, OrderEnded, Shop
from crash_system import Life, System, until
from crash_table import Case
from crash_told import PAUSE_S, Arm
from waybill.audit.evidence import Finding
from waybill.audit.oracles import judge
from waybill_events.catalogue import SUBSCRIPTIONS
from waybill_runtime.bus import Message
from waybill_runtime.clock import SystemClock

ATTEMPTS = 4
FIRES_S = 4.0
"""How long after its story's end a point may still be reached: marks and positions come last."""
TOOL_S = 40.0
CONVERGES_S = 40.0
AGAIN_S = 0.5
FAILURES = 8
"""So many make one delivery fail for good, though it comes in a batch of up to 32 with others."""
LOOK_S = 0.05
PARKED_TOPIC: Mapping[str, str] = {
    "capture": "orders",
    "inventory": "orders",
    "payment": "orders",
    "fulfillment": "orders",
    "notification": "notifications",
    "tracking": "notifications",
}
WHOLE_ONLY = ("I8", "I14")
"""What is asked of everything at the end, and not of one case's orders."""


@dataclass(slots=True)
class Result:
    """What a case came to; `again`: delivered again; `problem`: what kept it from being one."""

    id: str
    label: str
    fired: bool = False
    converged: bool = False
    attempts: int = 0
    duration_s: float = 0.0
    orders: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    again: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""

    @property
    def passes(self) -> bool:
        return self.fired and self.converged and not self.violations and not self.problem


class Cases:
    """Runs cases on one system; those of different services at once, those of one in turn."""

    def __init__(self, system: System, auditor: Auditor) -> None:
        self._system = system
        self._auditor = auditor
        self._clock = SystemClock()
        self._number = 0
        self.shops: list[Shop] = []

    async def run(self, case: Case) -> Result:
        """Try a case until its point was reached, and wait for its end."""
        begun_s = self._clock.monotonic_s()
        result = Result(case.id, case.row.label)
        while result.attempts < ATTEMPTS and not (result.fired or result.problem):
            result.attempts += 1
            self._number += 1
            shop = Shop(self._system, f"c{self._number}")
            self.shops.append(shop)
            try:
                await _Run(case, self._system, self._auditor, shop, result).go()
            except Exception as error:  # noqa: BLE001 - whatever it is, the case did not end well
                result.problem = _told(error)[:800]
        if not result.fired and not result.problem:
            result.problem = f"the point was not reached in {result.attempts} stories"
        result.duration_s = round(self._clock.monotonic_s() - begun_s, 2)
        return result


class _Run:
    """One attempt at a case."""

    def __init__(
        self, case: Case, system: System, auditor: Auditor, shop: Shop, result: Result
    ) -> None:
        self._case = case
        self._row = case.row
        self._system = system
        self._auditor = auditor
        self._shop = shop
        self._result = result
        self._told = len(system.fired(case.row.service))
        self._replica: Life | None = None

    async def go(self) -> None:
        try:
            await self._reach()
            if not self._result.fired:
                return
            if self._case.redelivered:
                await self._deliver_again()
            self._result.orders += self._shop.orders
            self._result.violations += await self._converge()
            self._result.converged = not self._result.violations
        finally:
            await self._tidy()

    async def _reach(self) -> None:
        match self._row.reach:
            case "story":
                await self._armed()
                await self._alongside(self._story())
            case "birth":
                self._system.lives[self._row.service].kill()
                await self._gone(self._system.lives[self._row.service])
                await self._system.start(self._row.service, self._case.arms)
                await self._alongside(self._story())
            case "poison":
                await self._armed()
                await self._alongside(self._poison())
                await self._give_up()
                await self._story()
            case "tool":
                await self._tool()

    async def _armed(self) -> None:
        await self._system.arm(self._system.lives[self._row.service], self._case.arms)

    async def _story(self) -> None:
        try:
            await STORIES[self._row.story](self._shop)
        except OrderEnded:
            return  # otherwise than meant, and well: the oracles look at it

    # --- the crash and its healing

    async def _alongside(self, story: Awaitable[None]) -> None:
        """Run a story while somebody watches for the crash and heals it."""
        async with asyncio.TaskGroup() as group:
            told = group.create_task(_awaited(story))
            healing = group.create_task(self._heal(self._system.lives[self._row.service]))
            await asyncio.wait([told])
            if not self._fired():
                await asyncio.wait([healing], timeout=FIRES_S)
            if not self._fired():
                healing.cancel()
        self._result.fired = self._fired()

    def _fired(self) -> bool:
        """Whether the point itself was reached, not only what leads to it."""
        arm = self._case.arms[-1]
        line = f"{arm.act} {arm.moment} {arm.label}"
        return line in self._system.fired(self._row.service)[self._told :]

    async def _heal(self, life: Life) -> None:
        while not self._fired():
            await asyncio.sleep(LOOK_S)
        match self._case.arms[-1].act:
            case "kill":
                await self._gone(life)
                assert await self._system.up(await self._system.start(life.service))
            case "stop":
                await self._outlive(life)
            case _:
                return

    async def _gone(self, life: Life) -> None:
        async def is_gone() -> bool | None:
            return True if life.is_dead() else None

        await until(f"{life.service} dies", is_gone, TOOL_S)

    async def _outlive(self, life: Life) -> None:
        """Let it stand for longer than its leases while a replica works, then go on."""

        async def stands() -> bool | None:
            return True if life.is_stopped() else None

        await until(f"{life.service} stands still", stands, TOOL_S)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._replace(life.service))
            await asyncio.sleep(PAUSE_S / 2)
            await self._system.cut_leaderships(life)
            await asyncio.sleep(PAUSE_S / 2)
        life.go_on()
        if self._row.reach != "tool":
            assert await self._system.up(life)
        self._system.stand_ins.pop(life.service, None)

    async def _replace(self, service: str) -> None:
        if self._row.reach == "tool":
            return
        port = self._system.taken.all()[f"{service}-2"]
        self._replica = await self._system.fork(service, port=port)
        assert await self._system.up(self._replica)
        self._system.stand_ins[service] = self._replica.url

    async def _tidy(self) -> None:
        """No arm is left behind, no replica, and the service is up."""
        service = self._row.service
        self._system.stand_ins.pop(service, None)
        if self._replica is not None:
            self._replica.kill()
        life = self._system.lives[service]
        if life.is_stopped():
            life.go_on()
        if life.is_dead():
            life = await self._system.start(service)
        if await self._system.up(life):
            await self._system.arm(life, ())

    # --- poison, and the operators' tools

    async def _poison(self) -> None:
        """Put a message on the bus that is none of ours, and wait until it is set aside."""
        topic = PARKED_TOPIC[self._row.service]
        key = f"poison-{self._shop.name}"
        self._auditor.not_ours.add(key)
        producer = await self._system.bus.producer()
        await producer.send([Message(topic, key, b"{}", (("ce_id", b"none"),))])
        await producer.close()
        for service in self._listeners():
            await self._parked(service, key)

    def _listeners(self) -> Sequence[str]:
        topic = PARKED_TOPIC[self._row.service]
        return [service for service, topics in SUBSCRIPTIONS.items() if topic in topics]

    async def _parked(self, service: str, key: str = "") -> list[str]:
        """Wait until something is parked, with this key if one is named; answers the keys."""

        async def keys() -> list[str] | None:
            found = await self._parked_now(service, key)
            return found or None

        return await until(f"{service} parks {key}", keys, CONVERGES_S)

    async def _parked_now(self, service: str, key: str = "") -> list[str]:
        """The keys that are parked, or this one alone; never another case's poison."""
        connection = await asyncpg.connect(self._system.databases[service])
        try:
            rows = await connection.fetch(
                "SELECT DISTINCT key FROM parked WHERE consumer = $1", service
            )
        finally:
            await connection.close()
        keys = [str(row["key"]) for row in rows]
        return [one for one in keys if one == key or (not key and not one.startswith("poison"))]

    async def _give_up(self, first: str = "", arms: Sequence[Arm] = ()) -> None:
        """Discard the poison wherever it is parked: in `first` with a tool that is armed."""
        key = f"poison-{self._shop.name}"
        for service in self._listeners():
            await self._use(
                service,
                "discard",
                key,
                [arm for arm in arms if arm.label.startswith(first)] if service == first else (),
            )

    async def _tool(self) -> None:
        """Use a tool that dies, then use it again, to its end."""
        row, arms = self._row, self._case.arms
        match row.tool:
            case "retry" | "repair":
                failing = Arm(
                    label=f"{row.service}/consumer.apply orders",
                    moment="before",
                    act="surprise",
                    times=FAILURES,
                )
                life = self._system.lives[row.service]
                await self._system.arm(life, [failing])
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._story())
                    keys = await self._parked(row.service)
                    await self._system.arm(life, ())
                    for key in keys:
                        await self._use(row.service, row.tool, key, () if self._fired() else arms)
                    while left := await self._parked_now(row.service):
                        for key in left:
                            await self._use(row.service, "retry", key)
            case "discard":
                await self._poison()
                await self._give_up(row.service, arms)
                await self._story()
            case "give_back":
                await self._story()
                await self._lose_an_event()
                await self._use(row.service, row.tool, row.subject, arms)
            case "revoke":
                await self._use(row.service, "add", row.subject)
                await self._use(row.service, row.tool, row.subject, arms)
                await self._story()
            case "republish":
                await self._story()
                await self._use(row.service, row.tool, row.subject, arms)
                await STORIES["bought"](self._shop)
            case _:
                await self._story()
                await self._use(row.service, row.tool, row.subject, arms)
        self._result.fired = self._fired()

    async def _lose_an_event(self) -> None:
        self._result.violations += await self._converge()
        await crash_again.set_back(self._system, self._row.service, self._shop.order)

    async def _use(self, service: str, role: str, subject: str, arms: Sequence[Arm] = ()) -> None:
        """Run a tool until it ends; once more when it was armed, for it may have died halfway."""
        life = await self._system.fork(service, role=role, subject=subject, arms=arms)
        if arms and arms[-1].act == "stop":
            healing = asyncio.create_task(self._heal(life))
            await self._gone_or_stopped(life)
            if life.is_stopped():
                await healing
            healing.cancel()
        await self._gone(life)
        if arms:
            await self._use(service, role, subject)

    async def _gone_or_stopped(self, life: Life) -> None:
        async def has_ended() -> bool | None:
            return True if life.is_dead() or life.is_stopped() else None

        await until(f"a tool of {life.service} ends", has_ended, TOOL_S)

    async def _deliver_again(self) -> None:
        """Every message of the orders, every command, and every job of the service, once more."""
        service, shop = self._row.service, self._shop
        events = await self._auditor.events(service, shop.orders)
        again = await crash_again.deliver(self._system, service, shop, events)
        self._result.again = again.counts
        self._result.violations += again.violations
        self._result.problem = again.lacking

    # --- the end

    async def _converge(self) -> list[str]:
        """Wait until no oracle has anything to say of these orders; answers what is left."""

        async def look() -> Sequence[Finding]:
            shop = self._shop
            return judge(await self._auditor.of_orders(shop.orders, shop.skus, shop.clients))

        return await quiet(look, CONVERGES_S, leave_out=WHOLE_ONLY)


async def quiet(
    look: Callable[[], Awaitable[Sequence[Finding]]],
    within_s: float,
    *,
    leave_out: Sequence[str] = (),
) -> list[str]:
    """Look until nothing is violated; answers what still is when the time is over."""
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + within_s
    while True:
        try:
            told = [
                f"{finding.guarantee} {violation}"
                for finding in await look()
                if finding.guarantee not in leave_out
                for violation in (
                    *finding.said,
                    *(f"without {one}" for one in finding.missing),
                )
            ]
        except httpx.HTTPError as error:  # a service that another case has just killed
            told = [_told(error)]
        if not told or clock.monotonic_s() > deadline_s:
            return told
        await asyncio.sleep(AGAIN_S)


def _told(error: BaseException) -> str:
    """An error in one line, with those that a group holds."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"


async def _awaited(story: Awaitable[None]) -> None:
    await story
