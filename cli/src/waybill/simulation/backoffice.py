"""The back office of a simulated day: what staff do beside selling, a little of each.

They count and correct shelves, set reorder points, note what customers want to hear, give money
back, forget people, cancel what no carrier takes, and book in what left without a hold. All over
HTTP, as any staff would.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import islice
from typing import Any

from waybill.simulation.calls import Caller
from waybill.simulation.storefront import CUSTOMERS, Storefront
from waybill.simulation.system import System
from waybill.simulation.weather import Weather
from waybill_events import codec
from waybill_events.fulfillment import LabelFailed, ShipmentDispatched
from waybill_runtime import unpark

UNHELD = "ShippedUnheld"
CHORES = 3
"""Of the stock and of what customers want to hear, in a day."""
REFUNDS = 0.25
ERASES = 0.1
ERASES_EARLY = 0.25
"""Of those erased: while their order is under way; staff that forget somebody cancel first."""
PATIENCE = 6
"""How often somebody looks whether an order has come so far, with `LOOK_S` between."""
LOOK_S = 2.0
BOOK_AGAIN_S = 5.0
"""Units that were booked in for a shipment may have gone to somebody else before it was retried."""
ENDED = frozenset({"completed", "rejected", "cancelled", "expired"})


class BackOffice:
    """Staff who open with the shop; `close` waits until they are done."""

    def __init__(self, running: System, weather: Weather, shop: Storefront, seed: int) -> None:
        self._running = running
        self._weather = weather
        self._shop = shop
        self._dice = random.Random(f"back office of {seed}")
        self._calls = Caller(running)
        self._tasks: list[asyncio.Task[None]] = []
        self._known = 0
        self._read = 0
        self._asked = 0
        self._book_s: dict[int, float] = {}

    def open(self, span_s: float) -> None:
        """Begin the day's chores, spread over so many seconds."""
        known = (self._count, self._adjust, self._receive, self._set_point, self._prefer)
        for chore in self._dice.sample(known, CHORES):
            self._go(self._at(self._dice.uniform(0.0, span_s), chore))

    def attend(self) -> None:
        """Take up the orders that are new, and what got stuck since."""
        new = self._shop.order_ids[self._known :]
        self._known += len(new)
        for order_id in new:
            if self._dice.random() < REFUNDS:
                self._go(self._refund(order_id, self._dice.randint(1, 3)))
            if self._dice.random() < ERASES:
                early = self._dice.random() < ERASES_EARLY
                self._go(self._forget_early(order_id) if early else self._forget(order_id))
        for order_id in self._stuck():
            self._go(self._cancel(order_id))
        for shipment in self._unheld():
            self._go(self._book_in(shipment))

    async def close(self) -> None:
        """Return when everything that was begun has ended."""
        while under_way := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(under_way)
        for task in self._tasks:
            task.result()

    # --- the shelves, and what customers said ---------------------------------------------

    async def _count(self) -> None:
        """Count a shelf: mostly what the books say, at times less; what is held stays covered."""
        counted = self._dice.choice([4, 5, 6])
        lines = [{"sku": "scarce", "counted": counted}]
        body = {"location": "main", "reference": "cycle count", "lines": lines}
        await self._ask("inventory", "POST", "/v1/stock/counts", body)

    async def _adjust(self) -> None:
        delta = self._dice.choice([-1, 2])
        lines = [{"sku": self._dice.choice(["scarce", "awkward"]), "delta": delta}]
        reason = "damaged" if delta < 0 else "found"
        body = {"location": "north", "reason": reason, "lines": lines}
        await self._ask("inventory", "POST", "/v1/stock/adjustments", body)

    async def _receive(self) -> None:
        lines = [{"sku": "scarce", "quantity": self._dice.randint(1, 2)}]
        body = {"location": "north", "reference": "PO-2", "lines": lines}
        await self._ask("inventory", "POST", "/v1/stock/receipts", body)

    async def _set_point(self) -> None:
        path = "/v1/stock/scarce/reorder-points/main"
        body = {"reorder_point": self._dice.randint(2, 5), "reorder_quantity": 6}
        await self._ask("inventory", "PUT", path, body)

    async def _prefer(self) -> None:
        path = f"/v1/preferences/customer-{self._dice.randrange(CUSTOMERS)}"
        body = {"channel": self._dice.choice(["sms", "email", "chat"]), "allowed": False}
        await self._ask("notification", "PUT", path, body)

    # --- single orders --------------------------------------------------------------------

    async def _refund(self, order_id: str, parts: int) -> None:
        """Give back all that was taken for an order once it ended, in so many requests."""
        if not await self._has_ended(order_id):
            return
        answer = await self._calls.insist("payment", "GET", f"/v1/payments?order_id={order_id}")
        found = answer.json()["data"] if answer is not None and answer.is_success else []
        left_minor = found[0]["amounts"]["captured_minor"] if found else 0
        for number in range(parts, 0, -1):
            amount_minor = left_minor if number == 1 else left_minor * 2 // 3
            left_minor -= amount_minor
            if amount_minor:
                body = {"amount_minor": amount_minor, "reason": "goodwill"}
                await self._ask("payment", "POST", f"/v1/payments/{found[0]['id']}/refunds", body)

    async def _forget(self, order_id: str) -> None:
        if await self._has_ended(order_id):
            await self._erase(order_id)

    async def _forget_early(self, order_id: str) -> None:
        await self._cancel(order_id)
        await self._erase(order_id)

    async def _erase(self, order_id: str) -> None:
        await self._ask("capture", "POST", "/v1/recipients/erase", {"order_id": order_id})

    async def _cancel(self, order_id: str) -> None:
        await self._ask("capture", "POST", f"/v1/orders/{order_id}/cancel", {})

    def _stuck(self) -> Sequence[str]:
        """What the carrier refused since: it stands packed until somebody cancels it."""
        events = self._running.world.database("fulfillment").rows.events
        new = islice(events.values(), self._read, None)  # what was said stays said
        self._read = len(events)
        return [event.key for event in new if event.type == LabelFailed.TYPE]

    def _unheld(self) -> Sequence[ShipmentDispatched]:
        """What inventory cannot take off its books, as whoever is shown its parked keys sees it."""
        now_s = asyncio.get_running_loop().time()
        found = []
        for row in self._running.world.database("inventory").rows.parked.values():
            at = row.parked
            if not at.reason.startswith(UNHELD) or now_s < self._book_s.get(at.position, 0.0):
                continue
            self._book_s[at.position] = now_s + BOOK_AGAIN_S
            said = codec.decode(unpark.opened(at))
            found += [said] if isinstance(said, ShipmentDispatched) else []
        return found

    async def _book_in(self, shipment: ShipmentDispatched) -> None:
        units = Counter[str]()
        for line in shipment.lines:
            units[line.sku] += line.quantity
        lines = [{"sku": sku, "delta": quantity} for sku, quantity in units.items()]
        body = {"location": shipment.location, "reason": "left_without_a_hold", "lines": lines}
        await self._ask("inventory", "POST", "/v1/stock/adjustments", body)

    async def _has_ended(self, order_id: str) -> bool:
        """Whether it ended while somebody looked."""
        for _ in range(PATIENCE):
            await asyncio.sleep(LOOK_S)
            answer = await self._calls.send("capture", "GET", f"/v1/orders/{order_id}")
            if answer is not None and answer.is_success and answer.json()["status"] in ENDED:
                return True
        return False

    async def _ask(self, host: str, method: str, path: str, body: object) -> None:
        """One command under a key of its own. A refusal is an answer, too."""
        self._asked += 1
        headers = {"Idempotency-Key": f"office-{self._asked}"}
        if method == "PUT" or "/orders/" in path or "/payments/" in path:
            headers["If-Match"] = "*"
        await self._calls.insist(host, method, path, body, **headers)

    async def _at(self, at_s: float, chore: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(max(0.0, at_s - self._weather.at_s))
        await chore()

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        with self._running.loop.on("back office"):
            self._tasks.append(asyncio.ensure_future(work))
