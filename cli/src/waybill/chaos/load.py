"""The load: customers who order, watch, cancel and ask again, a bounded number at once.

Closed loop: whoever has an order waits for its end before the next, so that a backlog stays as
small as the customers are many. What they saw goes into the clients' ledger, outside the system;
an answer that never came is there as unknown.
"""

# ruff: noqa: S311, TID251  what a proof draws, it draws from its seed
import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field

import httpx

from waybill import shop as shops
from waybill.chaos import orders
from waybill.chaos.staff import Staff
from waybill.failure import Failure
from waybill.ledger import Ledger
from waybill_runtime.clock import Clock

TERMINAL = frozenset({"completed", "rejected", "cancelled", "expired"})
LOOK_MIN_S, LOOK_MAX_S = 1.0, 4.0
PATIENCE_S = 120.0
"""An order that is open for so long is left to itself while load goes on; its end is owed still."""
RESTOCK_EVERY_S = 5.0
ABORT_S = 0.03
TOKENS_KEPT = 200


@dataclass(slots=True)
class Counts:
    """What customers came to. `acknowledged` are orders, not answers.

    Every order that is drawn is a valid one: whichever was `refused`, by the kind of problem, is
    owed to somebody, and so is whoever `gave_up` for want of an answer.
    """

    started: int = 0
    acknowledged: int = 0
    unknown: int = 0
    looks: int = 0
    gave_up: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    chores: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Placed:
    """An acknowledged order as its customer knows it."""

    order_id: str
    token: str


class Load:
    """Customers of one running system. Their numbers go on where the segment before ended.

    `open` are acknowledged orders that have not ended; `asking` counts posts not answered yet, and
    chores not done.
    """

    def __init__(
        self,
        shop: shops.Shop,
        ledger: Ledger,
        clock: Clock,
        *,
        seed: int,
        first: int,
        at_once: int,
    ) -> None:
        self.counts = Counts()
        self.open: dict[str, Placed] = {}
        self.recent: list[Placed] = []
        self.next_number = first
        self.asking = 0
        self._shop = shop
        self._ledger = ledger
        self._clock = clock
        self._seed = seed
        self._at_once = at_once
        self._stopping = asyncio.Event()
        self._receipts = 0
        self._staff = Staff(shop)

    def stop(self) -> None:
        """No new orders; those under way are followed to their ends."""
        self._stopping.set()

    async def stock(self) -> None:
        """Fill the shelves before the first order; booked once, whatever segment this is.

        Raises:
            Failure: the system refuses.
        """
        units = dict.fromkeys(orders.PLENTY, orders.PLENTY_UNITS)
        await self._receive(f"stock-{self._seed}", units)

    async def run(self) -> None:
        """Order until stop(); returns when every customer has left."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._restock())
            for number in range(self._at_once):
                group.create_task(self._customer(number))

    async def follow(self) -> None:
        """See the orders that are open to their ends; returns when there are none."""
        while self.open:
            for placed in list(self.open.values())[:50]:
                with contextlib.suppress(Failure):
                    await self._look(placed)
            if self.open:
                await asyncio.sleep(LOOK_MIN_S)

    async def _customer(self, place: int) -> None:
        # Not all at the same moment: a queue of equal customers would march in step.
        await self._pause(2.0 * place / self._at_once)
        while not self._stopping.is_set():
            number, self.next_number = self.next_number, self.next_number + 1
            self.counts.started += 1
            try:
                await self._journey(orders.draw(self._seed, number), number)
            except* Failure:
                self.counts.gave_up += 1

    async def _journey(self, wanted: orders.Wanted, number: int) -> None:
        self.asking += 1
        try:
            placed = await self._place(wanted)
        finally:
            self.asking -= 1
        if placed is None:
            return
        self.counts.kinds[wanted.kind] += 1
        self.open[placed.order_id] = placed
        self.recent = [placed, *self.recent[: TOKENS_KEPT - 1]]
        async with asyncio.TaskGroup() as group:
            if wanted.cancel_after_s is not None:
                group.create_task(self._cancel(wanted.key, placed, wanted.cancel_after_s))
            group.create_task(self._watch(placed, random.Random(number), often=wanted.watches))
            if wanted.chore in orders.AT_ONCE:
                group.create_task(self._chore(wanted, placed))
        if wanted.chore not in orders.AT_ONCE:
            await self._chore(wanted, placed)

    async def _chore(self, wanted: orders.Wanted, placed: Placed) -> None:
        """What staff do of an order. Nothing new is begun once no orders are."""
        if wanted.chore is None or self._stopping.is_set():
            return
        self.asking += 1
        try:
            with contextlib.suppress(Failure):
                await self._staff.do(wanted, placed.order_id)
                self.counts.chores[wanted.chore] += 1
        finally:
            self.asking -= 1

    async def _place(self, wanted: orders.Wanted) -> Placed | None:
        asked: list[Awaitable[httpx.Response]] = [self._shop.place(wanted.key, wanted.body)]
        if wanted.manners == "doubled":
            asked.append(self._shop.place(wanted.key, wanted.body))
        if wanted.manners == "aborted":
            await self._abort(wanted)
        try:
            answers = await asyncio.gather(*asked)
            if wanted.manners == "again":
                answers += [await self._shop.place(wanted.key, wanted.body)]
        except Failure:
            self.counts.unknown += 1
            raise
        answer = answers[0]
        if not answer.is_success:
            self.counts.refused[shops.problem_kind(answer)] += 1
            return None
        self.counts.acknowledged += 1
        told = answer.json()
        return Placed(told["id"], told["tracking"]["token"])

    async def _abort(self, wanted: orders.Wanted) -> None:
        """Ask, and hang up before the answer: nobody knows what became of it."""
        try:
            async with asyncio.timeout(ABORT_S):
                await self._shop.place(wanted.key, wanted.body)
        except TimeoutError:
            self._ledger.posted(wanted.key, wanted.body, 0, "", b"")

    async def _cancel(self, key: str, placed: Placed, after_s: float) -> None:
        await self._pause(after_s)
        with contextlib.suppress(Failure):
            await self._shop.cancel(f"{key}-cancel", placed.order_id)

    async def _watch(self, placed: Placed, dice: random.Random, *, often: bool) -> None:
        """Look until the order has ended, or patience has."""
        deadline_s = self._clock.monotonic_s() + PATIENCE_S
        pause_s = LOOK_MIN_S
        while self._clock.monotonic_s() < deadline_s:
            await asyncio.sleep(pause_s * (0.7 + 0.6 * dice.random()))
            pause_s = min(LOOK_MAX_S, pause_s * 1.5)
            if often and await self._shop.track(placed.order_id, placed.token) is not None:
                self.counts.looks += 1
            if await self._look(placed):
                return

    async def _look(self, placed: Placed) -> bool:
        """Whether the order has ended; then it is open no more."""
        status = (await self._shop.order(placed.order_id))["status"]
        if status in TERMINAL and self.open.pop(placed.order_id, None) is not None:
            self.counts.ended[status] += 1
        return status in TERMINAL

    async def _restock(self) -> None:
        """A few scarce units now and then, so that some who ask for them are lucky."""
        while not self._stopping.is_set():
            self._receipts += 1
            reference = f"scarce-{self._seed}-{self.next_number}-{self._receipts}"
            sku = orders.SCARCE[self._receipts % len(orders.SCARCE)]
            with contextlib.suppress(Failure):
                await self._receive(reference, {sku: orders.SCARCE_UNITS})
            await self._pause(RESTOCK_EVERY_S)

    async def _receive(self, reference: str, units: dict[str, int]) -> None:
        answer = await self._shop.receive(reference, orders.receipt(reference, units))
        if not answer.is_success:
            raise Failure(f"Stock was refused: {answer.status_code} {answer.text[:300]}")

    async def _pause(self, pause_s: float) -> None:
        """Wait, but not beyond stop()."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause_s)
