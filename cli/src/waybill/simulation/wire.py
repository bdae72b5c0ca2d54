"""HTTP between the nodes of a simulation: straight into the application that now has the name.

A request is served by a task of its own on the serving node, as by a process: a client that goes
away does not stop it, and a node that dies takes it along and cuts the connection.
"""

import asyncio
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Protocol

import httpx
from starlette.types import ASGIApp

from waybill.simulation import shared
from waybill.simulation.weather import Weather
from waybill_runtime.testing.seeded_loop import SeededLoop

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Host(shared.Life, Protocol):
    """A node as the wire sees it."""

    name: str
    calls: dict["asyncio.Future[Answer]", None]
    """Under way, in the order they came: in which a death is told, whatever their addresses."""

    @property
    def app(self) -> ASGIApp: ...


class Wire(httpx.AsyncBaseTransport):
    """Routes requests by host name. A node that is down refuses the connection."""

    def __init__(self, loop: SeededLoop, host: Callable[[str], Host | None]) -> None:
        self._loop = loop
        self._host = host

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer of whoever has the name.

        Raises:
            httpx.ConnectError: nobody has.
            httpx.ReadError: the node died before it answered.
        """
        host = self._host(request.url.host)
        if host is None:
            raise httpx.ConnectError(f"{request.url.host} is down", request=request)
        answer: asyncio.Future[Answer] = self._loop.create_future()
        host.calls[answer] = None
        answer.add_done_callback(host.calls.pop)
        body = await request.aread()
        with self._loop.on(host.name), shared.acting(host):
            self._loop.create_task(_serve(host.app, _scope(request), body, answer))
        try:
            status, headers, content = await answer
        except ConnectionError as error:
            raise httpx.ReadError(str(error), request=request) from error
        self._loop.note(f"{request.method} {request.url.path} {status}")
        return httpx.Response(status, headers=headers, content=content, request=request)

    def client(self, host: str, headers: Mapping[str, str]) -> httpx.AsyncClient:
        """A client whose relative paths go to `host`."""
        return _Client(self, f"http://{host}", headers)


class _Client(httpx.AsyncClient):
    """Without redirects, cookies and proxies: to look for them takes longer than to answer."""

    def __init__(self, wire: Wire, base: str, headers: Mapping[str, str]) -> None:
        super().__init__(transport=wire)
        self._wire = wire
        self._base = base
        self._always = {"accept": "*/*", **headers}

    async def request(  # type: ignore[override]  # what the clients of a simulation ask with
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        json: object = None,
        **_: object,
    ) -> httpx.Response:
        request = httpx.Request(
            method,
            self._base + url,
            headers={**self._always, **(headers or {})},
            params=params,
            content=content,
            json=json,
        )
        return await self._wire.handle_async_request(request)


class FaultyWire(Wire):
    """A wire that loses and delays what goes over it, either way."""

    def __init__(
        self, loop: SeededLoop, host: Callable[[str], Host | None], weather: Weather
    ) -> None:
        super().__init__(loop, host)
        self._weather = weather

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        strike = self._weather.take("request", request.url.host)
        if strike is None:
            return await super().handle_async_request(request)
        with strike:
            if strike.kind == "request lost":
                raise strike.refusing(httpx.ConnectError("the request was lost", request=request))
            if strike.kind == "request late":
                await strike.late()
            answer = await super().handle_async_request(request)
            if strike.kind == "response lost":
                raise strike.refusing(httpx.ReadError("the answer was lost", request=request))
        return answer


def cut(host: Host) -> None:
    """The node is gone: whoever waits for an answer of it learns so."""
    for answer in list(host.calls):
        if not answer.done():
            answer.set_exception(ConnectionError(f"{host.name} died"))


def _scope(request: httpx.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.split(b"?")[0],
        "query_string": request.url.query,
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 123),
        "root_path": "",
    }


async def _serve(
    app: ASGIApp, scope: dict[str, Any], body: bytes, answer: "asyncio.Future[Answer]"
) -> None:
    """Run the application on one request; what it fails with is its own 500."""
    status, headers, content, is_read = 500, list[tuple[bytes, bytes]](), bytearray(), False

    async def receive() -> MutableMapping[str, Any]:
        nonlocal is_read
        if is_read:
            await asyncio.wait([answer])
            return {"type": "http.disconnect"}
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            content.extend(message.get("body", b""))
            if not message.get("more_body", False) and not answer.done():
                answer.set_result((status, headers, bytes(content)))

    try:
        await app(scope, receive, send)
    except Exception:  # noqa: BLE001 - the application has answered 500 and logged why
        if not answer.done():
            answer.set_result((500, [], b"no answer was made"))
