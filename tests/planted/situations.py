"""Days of the simulator in which a bug is hunted: its own, and two that are slower than most.

In each an older release still runs beside today's, and the limits of a rebuild are so low that a
day of a few orders reaches them.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from older import older_release
from payment.adapters import gateway_memory
from payment.adapters.gateway_memory import Entry, MemoryGateway
from payment.ports import Answer
from waybill.programs import SERVICES
from waybill.simulation import day, faults, faulty, storefront
from waybill.simulation.day import Result
from waybill.simulation.faults import Fault
from waybill.simulation.operator import Operator
from waybill.simulation.storefront import Storefront
from waybill.simulation.system import System
from waybill_runtime import rebuild
from waybill_runtime.clock import LoopClock
from waybill_runtime.rebuild import Rebuild
from waybill_runtime.stored import StoreUnavailable

ORDERS = 8
FAULTS = 80
SLOW_S = 400
QUIET_S = 30
"""Who waits for a silent gateway waits for ever."""
HANGS_S = 60
FAILS_EVERY = 7
REBUILDS = 4
LOOKS = 12
POISONED = 12
"""Events that a service cannot read for so long that it has to set them aside."""
POISON_S = 5.0
NIGHT_ORDERS = 24
"""Enough that what was let go of is sold again before the warehouse opens."""
NIGHT_S = 300
"""Longer than a hold lasts."""
BIG_EVERY = 5
KNOBS: Sequence[tuple[object, str, object]] = (
    (rebuild, "NEAR", 5),
    (rebuild, "BATCH", 10),
    (faults, "BIG_EVERY", BIG_EVERY),
)


class Behind(LoopClock):
    """The wall clock of a machine that is an hour slow and that nobody sets."""

    def now(self) -> datetime:
        return super().now() - timedelta(hours=1)


def _bad_partners() -> Iterator[tuple[object, str, object]]:
    """Of one order in four the gateway never hears; every second capture takes it a minute.

    And all machines but the databases' are an hour slow. Nobody pays with holds of seconds: such a
    gateway never captures one in time.
    """

    def call(self: MemoryGateway, entry: Entry, *how: Any) -> Answer:
        if entry.operation == "authorize" and sum(entry.reference.encode()) % 4 == 0:
            return gateway_memory.NO_ANSWER
        return real(self, entry, *how)

    async def capture(self: MemoryGateway, key: str, *how: Any, **more: Any) -> Answer:
        if key not in hung and sum(key.encode()) % 2 == 0:
            hung.add(key)
            await asyncio.sleep(HANGS_S)
        return await real_capture(self, key, *how, **more)

    hung: set[str] = set()
    real, real_capture = MemoryGateway._call, MemoryGateway.capture
    yield MemoryGateway, "_call", call
    yield MemoryGateway, "capture", capture
    yield faulty, "LoopClock", Behind
    yield storefront, "ODD_PAYMENTS", 0.0
    yield day, "ENDED_S", SLOW_S
    yield day, "QUIET_S", QUIET_S


def _night() -> Iterator[tuple[object, str, object]]:
    """The warehouse opens late, and orders come in until shortly before."""

    def work(self: System, *how: Any) -> asyncio.Task[None]:
        return asyncio.ensure_future(_later(self, *how))

    async def _later(self: System, *how: Any) -> None:
        await asyncio.sleep(NIGHT_S)
        await real(self, *how)

    real = System.work_warehouse
    yield System, "work_warehouse", work
    yield day, "ENDED_S", SLOW_S
    yield day, "SECONDS_PER_ORDER", NIGHT_S / NIGHT_ORDERS


def _interrupted() -> Iterator[tuple[object, str, object]]:
    """Every few batches of a rebuild the store is lost; an operator takes the rebuild up again."""

    async def move(self: Rebuild, *how: Any) -> None:
        if self._switch:
            batches.append(self)
        if self._switch and len(batches) % FAILS_EVERY == 0:
            raise StoreUnavailable("the connection was lost")
        await real_move(self, *how)

    async def finish(self: Operator, name: str) -> None:
        for _ in range(REBUILDS):
            await real(self, name)

    batches: list[Rebuild] = []
    real, real_move = Operator._rebuild, Rebuild._move
    yield Rebuild, "_move", move
    yield Operator, "_rebuild", finish


def _no_references() -> Iterator[tuple[object, str, object]]:
    """A shop that numbers nothing itself: an order's key alone keeps it from being placed twice."""

    def order(number: int, dice: random.Random) -> dict[str, object]:
        return {k: v for k, v in real(number, dice).items() if k != "external_ref"}

    real = storefront.order
    yield storefront, "order", order


def _watching() -> Iterator[tuple[object, str, object]]:
    """Customers who look at their tracking pages once a second."""

    async def serve(self: Storefront, number: int, body: dict[str, object]) -> None:
        await real(self, number, body)
        for _ in range(LOOKS):
            await asyncio.sleep(1.0)
            for order_id in self.order_ids:
                await self.look(order_id)

    real = Storefront._serve
    yield Storefront, "_serve", serve


def _regrets() -> Iterator[tuple[object, str, object]]:
    """Customers who cancel what was confirmed and is on its way through the warehouse."""
    yield storefront, "CANCELS", 0.0
    yield storefront, "CANCELS_LATE", 1.0


def _nothing_else() -> Iterator[tuple[object, str, object]]:
    yield from ()


SITUATIONS: Mapping[str, Callable[[], Iterator[tuple[object, str, object]]]] = {
    "day": _nothing_else,
    "bad partners": _bad_partners,
    "night": _night,
    "interrupted rebuilds": _interrupted,
    "no references": _no_references,
    "watching customers": _watching,
    "regrets": _regrets,
    "poison": _nothing_else,
}


@contextmanager
def _in(situation: str) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(older_release())
        for owner, name, value in (*KNOBS, *SITUATIONS[situation]()):
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


def live(seed: int, situation: str) -> Result:
    """One day of this seed in this situation."""
    with _in(situation):
        orders = NIGHT_ORDERS if situation == "night" else ORDERS
        span_s = orders * day.SECONDS_PER_ORDER
        plan = list(faults.plan(seed, FAULTS, span_s))
        if situation == "poison":
            plan += [
                Fault(FAULTS + at, span_s * at / POISONED, "unreadable event", service, POISON_S)
                for at, service in enumerate(SERVICES * (POISONED // len(SERVICES)))
            ]
        plan.sort(key=lambda fault: fault.at_s)
        return day.simulate(seed, orders=orders, faults=plan)


def violated(result: Result) -> dict[str, Sequence[str]]:
    """What each guarantee's oracle said in either judgement, and nothing else that was said."""
    found: dict[str, list[str]] = defaultdict(list)
    for violation in result.broken:
        found[violation.guarantee].append(violation.text)
    return dict(found)
