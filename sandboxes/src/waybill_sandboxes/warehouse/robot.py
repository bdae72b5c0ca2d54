"""Works fulfillment orders through the public warehouse API alone: reads, acts, reads again.

Nothing is remembered but a cursor: an order's status says where its work stands, so a robot
that was killed anywhere goes on from there.
"""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from waybill_sandboxes.warehouse import plan

CREATED = "fulfillment.fulfillment_order_created.v1"
PAGES_PER_SWEEP = 200
RETRY_PAUSE_MAX_S = 5.0

logger = logging.getLogger(__name__)


class GaveUp(Exception):
    """An order could not be worked in as many tries as are allowed; the next sweep meets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the robot works and how often it tries."""

    workers: int = 8
    step_s: float = 0.0
    poll_s: float = 0.2
    sweep_s: float = 5.0
    tries_max: int = 20
    location: str = ""


class Robot:
    """One warehouse. At most `pace.workers` orders at a time, each by one worker at a time."""

    def __init__(
        self, http: httpx.AsyncClient, behaviour: plan.Behaviour, pace: Pace, cursor_file: Path
    ) -> None:
        self._http = http
        self._behaviour = behaviour
        self._pace = pace
        self._cursor_file = cursor_file
        self._queue: asyncio.Queue[str] = asyncio.Queue(maxsize=pace.workers * 4)
        self._taken: set[str] = set()
        self.cursor = cursor_file.read_text().strip() if cursor_file.exists() else ""
        self.done = 0

    @property
    def in_hand(self) -> int:
        """How many orders are queued or being worked."""
        return len(self._taken)

    async def run(self) -> None:
        """Work until cancelled."""
        async with self._http, asyncio.TaskGroup() as group:
            group.create_task(self._follow_feed())
            group.create_task(self._sweep())
            for _ in range(self._pace.workers):
                group.create_task(self._work_queue())

    async def work(self, order_id: str) -> None:
        """Take one order as far as it goes; nothing to do is fine.

        Raises:
            GaveUp: too many refusals that should pass, or one that will not.
        """
        order: plan.Order | None = None
        stalls = 0
        for _ in range(self._pace.tries_max):
            if order is None:
                order = await self._read(order_id, stalls)
                if order is None:
                    stalls += 1
                    continue
            step = plan.next_step(order, self._behaviour)
            if step is None or self._is_elsewhere(order):
                return
            await asyncio.sleep(self._pace.step_s)
            order = await self._act(step, order, stalls)
            stalls = 0 if order is not None else stalls + 1
        raise GaveUp(f"{order_id}: not done in {self._pace.tries_max} tries")

    async def _read(self, order_id: str, stalls: int) -> plan.Order | None:
        """The order, None when it should be asked for again."""
        answer = await self._request("GET", f"/v1/fulfillment-orders/{order_id}")
        if answer is not None and answer.is_success:
            order: plan.Order = answer.json()
            return order
        if answer is not None and answer.status_code == 410:
            return {"id": order_id, "status": "cancelled", "lines": []}
        # A 404 too: the feed may be ahead of what this replica of the API can read.
        if answer is None or answer.status_code in (404, 429) or answer.status_code >= 500:
            await self._pause(answer, stalls)
            return None
        raise GaveUp(f"{order_id}: read answered {answer.status_code}")

    async def _act(self, step: plan.Step, order: plan.Order, stalls: int) -> plan.Order | None:
        """The order after a step, None when it must be read again before anything else."""
        headers = {"Idempotency-Key": step.key, "If-Match": f'"{order["version"]}"'}
        answer = await self._request("POST", step.path, json=step.body, headers=headers)
        if answer is not None and answer.is_success:
            after: plan.Order = answer.json()
            is_whole = {"status", "lines", "version"} <= after.keys()
            # A repeated answer is as old as its first telling; and a step may end later.
            is_news = is_whole and after["status"] != order["status"]
            if is_news and "Idempotent-Replayed" not in answer.headers:
                return after
            await self._pause(answer, stalls)
            return None
        if answer is None or answer.status_code in (408, 409, 429) or answer.status_code >= 500:
            await self._pause(answer, stalls)
            return None
        if answer.status_code in (404, 410, 412, 428):
            return None
        raise GaveUp(f"{order['id']}: {step.name} answered {answer.status_code}: {answer.text}")

    async def _request(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        """An answer, None when none came."""
        try:
            return await self._http.request(method, path, **more)
        except (httpx.TransportError, aiohttp.ClientError):
            return None

    async def _pause(self, answer: httpx.Response | None, stalls: int) -> None:
        """Wait as asked by Retry-After, else ever longer; never more than a few seconds."""
        asked = "" if answer is None else answer.headers.get("Retry-After", "")
        wanted_s = float(asked) if asked.isdigit() else 0.05 * 2 ** min(stalls, 10)
        await asyncio.sleep(min(wanted_s, RETRY_PAUSE_MAX_S))

    def _is_elsewhere(self, order: plan.Order) -> bool:
        return bool(self._pace.location) and order.get("location") != self._pace.location

    # --- finding work ---------------------------------------------------------------------

    async def _follow_feed(self) -> None:
        while True:
            params = {"after": self.cursor} if self.cursor else {}
            page = await self._page("/v1/feed/fulfillment", params)
            for event in page.get("data", []):
                if event.get("type") == CREATED:
                    await self._take(event["data"]["fulfillment_order_id"])
            self._move_cursor(page.get("next_cursor"))
            if not page.get("has_more"):
                await asyncio.sleep(self._pace.poll_s)

    async def _sweep(self) -> None:
        """List what is open now and then: whatever the feed or a crash left behind."""
        while True:
            for status in plan.OPEN_STATUSES:
                await self._sweep_status(status)
            await asyncio.sleep(self._pace.sweep_s)

    async def _sweep_status(self, status: str) -> None:
        params = {"status": status}
        if self._pace.location:
            params["location"] = self._pace.location
        for _ in range(PAGES_PER_SWEEP):
            page = await self._page("/v1/fulfillment-orders", params)
            for order in page.get("data", []):
                await self._take(order["id"])
            if not page.get("has_more") or not page.get("next_cursor"):
                return
            params["cursor"] = page["next_cursor"]

    async def _page(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        """A page of a list; an empty one when it could not be had, for the caller comes again."""
        answer = await self._request("GET", path, params=params)
        if answer is None or not answer.is_success:
            status = "no answer" if answer is None else answer.status_code
            logger.warning("%s: %s", path, status)
            await self._pause(answer, stalls=4)
            return {}
        page: dict[str, Any] = answer.json()
        return page

    def _move_cursor(self, cursor: str | int | None) -> None:
        """Keep the cursor on disk. Orders in hand may be lost with it: the sweep finds them."""
        if cursor is None or str(cursor) == self.cursor:
            return
        self.cursor = str(cursor)
        beside = self._cursor_file.with_suffix(".new")
        try:
            beside.write_text(self.cursor)
            beside.replace(self._cursor_file)
        except OSError as refusal:
            logger.warning("the cursor stays where it was on disk: %s", refusal)

    async def _take(self, order_id: str) -> None:
        """Queue an order that is not in hand; waits while the queue is full."""
        if order_id not in self._taken:
            self._taken.add(order_id)
            await self._queue.put(order_id)

    async def _work_queue(self) -> None:
        while True:
            order_id = await self._queue.get()
            try:
                await self.work(order_id)
                self.done += 1
            except GaveUp as refusal:
                logger.warning("gave up for now: %s", refusal)
            finally:
                self._taken.discard(order_id)
