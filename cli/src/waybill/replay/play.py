"""Plays a plan against a running system: stock, then orders, then patience until all have ended.

May be interrupted anywhere and begun again: the checkpoint knows what was answered, and
idempotency keys make harmless what was answered and not yet noted.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from waybill.failure import CONFLICT, FAILED, Failure
from waybill.replay import plan as plans
from waybill.replay.checkpoint import Checkpoint, Made
from waybill.replay.progress import stage
from waybill.shop import Json, Shop, problem_kind
from waybill_runtime.clock import Clock

TERMINAL = frozenset({"completed", "rejected", "cancelled", "expired"})
LOOK_EVERY_S = 1.0
ORDERS_A_LOOK = 40
STALLED_S = 300.0
"""Without any order ending for so long, waiting is over: something is stuck."""
LOOKED_AT = 10
"""Every so manieth order's tracking view is looked at, on its way and at its end."""
SENT_TWICE = 10
"""Every so manieth order is sent once more under its key, for the audit to compare the answers."""

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Played:
    """What became of a plan. `orders` are as capture shows them at the end, by invoice."""

    orders: dict[str, Json] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    made_before: int = 0
    looked: int = 0
    stock_s: float = 0.0
    orders_s: float = 0.0
    settled_s: float = 0.0


class Player:
    """One run over one plan, with so many orders posted at once."""

    def __init__(self, shop: Shop, checkpoint: Checkpoint, clock: Clock, *, at_once: int) -> None:
        self._shop = shop
        self._kept = checkpoint
        self._clock = clock
        self._at_once = at_once
        self._looking = asyncio.Semaphore(at_once)

    async def play(self, plan: plans.Plan) -> Played:
        """All of it.

        Raises:
            Failure: the system does not answer, a delivery is refused, or orders are stuck.
        """
        new = [order for order in plan.orders if order.post.key not in self._kept.made]
        played = Played(made_before=len(plan.orders) - len(new))
        begun_s = self._clock.monotonic_s()
        await self._each("stock", {post.key: post for post in plan.receipts}, self._receive, 1)
        played.stock_s = self._clock.monotonic_s() - begun_s
        begun_s = self._clock.monotonic_s()
        orders = {order.post.key: order for order in plan.orders}
        await self._each("orders", orders, self._place, self._at_once)
        played.orders_s = self._clock.monotonic_s() - begun_s
        taken = [order for order in new if not self._kept.made[order.post.key].refusal]
        for order in taken[::SENT_TWICE]:
            await self._shop.place(order.post.key, order.post.body)
        made = {order.invoice: self._kept.made[order.post.key] for order in plan.orders}
        played.refused = {number: one.refusal for number, one in made.items() if one.refusal}
        placed = {number: one for number, one in made.items() if not one.refusal}
        await self._until_ended(placed, played)
        played.settled_s = self._clock.monotonic_s() - begun_s
        return played

    async def _each(
        self,
        name: str,
        posts: Mapping[str, T],
        do: Callable[[T], Awaitable[Made]],
        at_once: int,
    ) -> None:
        """Do what is not done yet, in order, so many at a time, and keep each answer."""
        waiting = iter([key for key in posts if key not in self._kept.made])
        done = sum(key in self._kept.made for key in posts)
        with stage(name, len(posts), self._clock) as told:
            told.at(done)

            async def work() -> None:
                nonlocal done
                for key in waiting:
                    self._kept.note(await do(posts[key]))
                    done += 1
                    told.at(done)

            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(work())

    async def _receive(self, post: plans.Post) -> Made:
        response = await self._shop.receive(post.key, post.body)
        if not response.is_success:
            raise Failure(
                f"Stock was refused: {response.status_code} {response.text[:300]}",
                "Start anew on an empty system: `waybill clean`.",
                code=CONFLICT,
            )
        return Made(key=post.key)

    async def _place(self, order: plans.Order) -> Made:
        key = order.post.key
        response = await self._shop.place(key, order.post.body)
        if not response.is_success:
            return Made(key=key, refusal=problem_kind(response))
        answer = response.json()
        token = answer["tracking"]["token"]
        return Made(key=key, order_id=answer["id"], tracking_token=token)

    async def _until_ended(self, placed: Mapping[str, Made], played: Played) -> None:
        """Look at the orders that are open, some a second, until there are none.

        Raises:
            Failure: no order ended for STALLED_S.
        """
        watched = [one for at, one in enumerate(placed.values()) if at % LOOKED_AT == 0]
        open_ones = deque(placed)
        with stage("ended", len(placed), self._clock) as told:
            since_s = self._clock.monotonic_s()
            while open_ones:
                some = [open_ones.popleft() for _ in range(min(ORDERS_A_LOOK, len(open_ones)))]
                seen = await asyncio.gather(*(self._see(placed[number]) for number in some))
                for number, order in zip(some, seen, strict=True):
                    if order["status"] in TERMINAL:
                        played.orders[number] = order
                        since_s = self._clock.monotonic_s()
                    else:
                        open_ones.append(number)
                told.at(len(played.orders))
                await self._look(watched, played)
                if open_ones and self._clock.monotonic_s() - since_s > STALLED_S:
                    raise Failure(
                        f"{len(open_ones)} orders are open and none ended for {STALLED_S:.0f} s.",
                        "Look with `waybill status`, `waybill parked list` and `waybill logs`.",
                        code=FAILED,
                    )
                await asyncio.sleep(LOOK_EVERY_S if open_ones else 0.0)

    async def _see(self, made: Made) -> Json:
        async with self._looking:
            return await self._shop.order(made.order_id)

    async def _look(self, watched: Sequence[Made], played: Played) -> None:
        """What a few customers see now; a view that went back would show in the audit."""
        start = played.looked % max(1, len(watched))
        for one in watched[start : start + 5]:
            await self._shop.track(one.order_id, one.tracking_token)
            played.looked += 1
