"""A storefront and a goods-in desk as clients of the public APIs: patient, and bounded in it.

No answer, 409 `request-in-flight`, 429 and 5xx are asked again under the same key; what was
answered, and what was not, goes into the clients' ledger.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from waybill.failure import UNAVAILABLE, Failure
from waybill.ledger import Ledger
from waybill_runtime.adapters.http_client import HttpClient
from waybill_runtime.clock import Clock

TIMEOUT_S = 20.0
PATIENCE_S = 180.0
"""How long one request is asked again; a restart of everything fits in."""
PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 3.0
CONNECTIONS_MAX = 64

Json = Mapping[str, Any]


@dataclass(slots=True)
class Counts:
    """What it took."""

    requests: int = 0
    asked_again: int = 0


class Shop:
    """Talks to one running system. Safe to use from several tasks."""

    def __init__(
        self, http: httpx.AsyncClient, values: Mapping[str, str], ledger: Ledger, clock: Clock
    ) -> None:
        self._http = http
        self._values = values
        self._ledger = ledger
        self._clock = clock
        self._tracked: set[str] = set()
        self.counts = Counts()

    async def place(self, key: str, body: bytes) -> httpx.Response:
        """Post an order; answers 201 or a refusal that asking again would not change."""
        url = f"{self._values['CAPTURE_URL']}/v1/orders"
        headers = self._headers("STOREFRONT_KEY") | {"Idempotency-Key": key}
        return await self._ask("POST", url, headers, key=key, body=body, is_order=True)

    async def receive(self, key: str, body: bytes) -> httpx.Response:
        """Book a delivery."""
        url = f"{self._values['INVENTORY_URL']}/v1/stock/receipts"
        headers = self._headers("OPERATOR_KEY") | {"Idempotency-Key": key}
        return await self._ask("POST", url, headers, key=key, body=body)

    async def order(self, order_id: str) -> Json:
        """An order as it stands, never stale."""
        url = f"{self._values['CAPTURE_URL']}/v1/orders/{order_id}"
        return _json(await self._ask("GET", url, self._headers("STOREFRONT_KEY")))

    async def cancel(self, key: str, order_id: str) -> httpx.Response:
        """Ask for a cancellation, whatever the order has come to meanwhile."""
        url = f"{self._values['CAPTURE_URL']}/v1/orders/{order_id}/cancel"
        headers = self._headers("STOREFRONT_KEY") | {"Idempotency-Key": key, "If-Match": "*"}
        return await self._ask("POST", url, headers, key=key, body=b"{}")

    async def command(
        self, key: str, method: str, service: str, path: str, body: bytes, *, match: str = ""
    ) -> httpx.Response:
        """What staff tell a service; `match` is sent as If-Match where it is not empty."""
        url = f"{self._values[f'{service.upper()}_URL']}{path}"
        headers = self._headers("OPERATOR_KEY") | {"Idempotency-Key": key}
        if match:
            headers["If-Match"] = match
        return await self._ask(method, url, headers, key=key, body=body)

    async def read(self, service: str, path: str) -> Json:
        """What a service shows to staff."""
        url = f"{self._values[f'{service.upper()}_URL']}{path}"
        return _json(await self._ask("GET", url, self._headers("OPERATOR_KEY")))

    async def track(self, order_id: str, token: str) -> Json | None:
        """What the customer sees, noted in the ledger; None while tracking has not heard of it.

        One that was there before this look began, and is gone, is noted as version 0.
        """
        url = f"{self._values['TRACKING_URL']}/v1/track/{token}"
        was_there = order_id in self._tracked
        response = await self._ask("GET", url, {})
        if response.status_code == httpx.codes.NOT_FOUND:
            if was_there:
                self._ledger.polled(order_id, 0, token=token)
            return None
        view = _json(response)
        self._tracked.add(order_id)
        self._ledger.polled(order_id, view["version"], token=token)
        return view

    def _note(self, key: str, body: bytes, response: httpx.Response) -> None:
        """Write down how a try to place an order was answered."""
        order_id, token = "", ""
        if response.is_success:
            placed = response.json()
            order_id, token = placed["id"], placed["tracking"]["token"]
        answer = response.content
        self._ledger.posted(key, body, response.status_code, order_id, answer, token=token)

    def _headers(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._values[role]}", "Content-Type": "application/json"}

    async def _ask(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        *,
        key: str = "",
        body: bytes = b"",
        is_order: bool = False,
    ) -> httpx.Response:
        """One request, again until it is answered for good.

        Raises:
            Failure: PATIENCE_S went by.
        """
        deadline_s = self._clock.monotonic_s() + PATIENCE_S
        pause_s = PAUSE_MIN_S
        why = ""
        while self._clock.monotonic_s() < deadline_s:
            self.counts.requests += 1
            try:
                response = await self._http.request(method, url, headers=headers, content=body)
            except httpx.HTTPError as error:
                why = str(error) or type(error).__name__
                if is_order:
                    self._ledger.posted(key, body, 0, "", b"")
            else:
                if is_order:
                    self._note(key, body, response)
                if not _may_pass(response):
                    return response
                why = f"{response.status_code} {response.text[:300]}"
            self.counts.asked_again += 1
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)
        raise Failure(
            f"{method} {url.partition('?')[0]} was not answered for {PATIENCE_S:.0f} s: {why}",
            "Look with `waybill status`; then start the replay again, it goes on where it was.",
            code=UNAVAILABLE,
        )


@asynccontextmanager
async def opened(values: Mapping[str, str], ledger: Ledger, clock: Clock) -> AsyncIterator[Shop]:
    """A shop with connections of its own."""
    limits = httpx.Limits(max_connections=CONNECTIONS_MAX)
    async with HttpClient(timeout=TIMEOUT_S, limits=limits, trust_env=False) as http:
        yield Shop(http, values, ledger, clock)


def problem_kind(response: httpx.Response) -> str:
    """The last part of a problem's type, else the status."""
    try:
        return str(response.json()["type"]).rpartition(":")[2]
    except (ValueError, KeyError, TypeError):
        return f"http-{response.status_code}"


def _may_pass(response: httpx.Response) -> bool:
    """Whether asking again may be answered otherwise."""
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        return True
    return (
        response.status_code == httpx.codes.CONFLICT
        and problem_kind(response) == "request-in-flight"
    )


def _json(response: httpx.Response) -> Json:
    if not response.is_success:
        raise Failure(
            f"GET {response.url.path} answered {response.status_code}: {response.text[:300]}",
            "The keys may be of another home: set WAYBILL_HOME to the running system's.",
        )
    found: Json = response.json()
    return found
