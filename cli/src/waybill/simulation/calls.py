"""How people of a simulated day reach the services: over HTTP, with patience that ends."""

import asyncio

import httpx

from waybill.simulation.system import System

TIMEOUT_S = 5.0
TRIES = 12
PAUSE_S = 0.5


class Caller:
    """One desk's lines to the services, opened when they are first used."""

    def __init__(self, running: System) -> None:
        self._running = running
        self._lines: dict[str, httpx.AsyncClient] = {}

    async def send(
        self, host: str, method: str, path: str, body: object = None, **headers: str
    ) -> httpx.Response | None:
        """The answer; None when there was none, whatever the reason."""
        if host not in self._lines:
            self._lines[host] = self._running.client(host)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._lines[host].request(method, path, json=body, headers=headers)
        except (httpx.TransportError, TimeoutError):
            return None

    async def insist(
        self, host: str, method: str, path: str, body: object = None, **headers: str
    ) -> httpx.Response | None:
        """The same request again until it is answered for good; None when that took too long."""
        for _ in range(TRIES):
            answer = await self.send(host, method, path, body, **headers)
            if answer is not None and not _may_pass(answer):
                return answer
            await asyncio.sleep(PAUSE_S)
        return None


def _may_pass(answer: httpx.Response) -> bool:
    return answer.status_code >= 500 or "request-in-flight" in answer.text
