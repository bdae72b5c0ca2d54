"""Tells callbacks over HTTP: signed, a few at a time, tried again until they arrive or are dropped.

A callback arrived when its receiver answered 2xx; 410 means that nobody wants it any more.
"""

import asyncio
import contextlib
import logging
from datetime import datetime
from typing import Protocol

import aiohttp
import httpx
from httpx_aiohttp import HttpxAiohttpClient

from waybill_sandboxes import callbacks, clock

IN_FLIGHT_MAX = 16
TIMEOUT_S = 5.0
IDLE_S = 5.0
DISK_PAUSE_S = 1.0

logger = logging.getLogger(__name__)


class Teller(Protocol):
    """A core that has callbacks to tell and things to do as time passes."""

    outbox: callbacks.Outbox

    def advance(self, now: datetime) -> None:
        """Do what is due by now."""
        ...

    def next_due(self) -> datetime | None:
        """When `advance` has something to do next."""
        ...

    def acknowledged(self, callback: callbacks.Callback) -> None:
        """Never tell this callback again, not after a restart either."""
        ...


class Courier:
    """Moves one core through time and tells its callbacks."""

    def __init__(self, teller: Teller, secret: str) -> None:
        self._teller = teller
        self._secret = secret
        self._changed = asyncio.Event()
        self._in_flight = 0

    def wake(self) -> None:
        """Look again: the core was given something to do."""
        self._changed.set()

    async def run(self) -> None:
        """Run until cancelled."""
        limits = httpx.Limits(max_connections=IN_FLIGHT_MAX)
        async with (
            HttpxAiohttpClient(timeout=TIMEOUT_S, limits=limits) as client,
            asyncio.TaskGroup() as deliveries,
        ):
            while True:
                self._changed.clear()
                now = clock.now()
                try:
                    self._teller.advance(now)
                except OSError as refusal:
                    logger.error("nothing moves until the disk takes writes: %s", refusal)  # noqa: TRY400
                    await asyncio.sleep(DISK_PAUSE_S)
                    continue
                free = IN_FLIGHT_MAX - self._in_flight
                for callback in self._teller.outbox.take_due(now, free):
                    self._in_flight += 1
                    deliveries.create_task(self._deliver(client, callback))
                await self._wait(now)

    async def _wait(self, now: datetime) -> None:
        """Sleep until something is due, something changed, or a delivery ended."""
        moments = [self._teller.next_due()]
        if self._in_flight < IN_FLIGHT_MAX:
            moments.append(self._teller.outbox.next_due())
        waits_s = [(moment - now).total_seconds() for moment in moments if moment is not None]
        try:
            async with asyncio.timeout(max(0.0, min(waits_s, default=IDLE_S))):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _deliver(self, client: httpx.AsyncClient, callback: callbacks.Callback) -> None:
        arrived = await self._send(client, callback)
        self._in_flight -= 1
        if arrived:
            self._teller.outbox.told(callback)
            self._acknowledge(callback)
        elif not self._teller.outbox.failed(callback, clock.now()):
            logger.warning("gave up callback %s to %s", callback.id, callback.url)
            self._acknowledge(callback)
        self._changed.set()

    def _acknowledge(self, callback: callbacks.Callback) -> None:
        # What the disk does not take is told once more after a restart, which receivers allow.
        with contextlib.suppress(OSError):
            self._teller.acknowledged(callback)

    async def _send(self, client: httpx.AsyncClient, callback: callbacks.Callback) -> bool:
        headers = callbacks.signed_headers(self._secret, callback, clock.now())
        try:
            answer = await client.post(callback.url, content=callback.body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError):
            return False
        return answer.is_success or answer.status_code == 410
