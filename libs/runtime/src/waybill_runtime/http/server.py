"""uvicorn with limits on what a client may owe us: time, headers and manners.

uvicorn waits for the rest of a request without limit and keeps its headers without limit, and
counts each connection that waits against everybody's (its `limit_concurrency`). Here a request has
REQUEST_S to arrive, its head HEAD_BYTES_MAX; only who asks takes a place, who says nothing makes
way when there are too many; probes are always answered; and what is refused before the application
is asked is a problem document too.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from waybill_runtime.http import problem
from waybill_runtime.http.kinds import Kind
from waybill_runtime.http.limits import UNLIMITED_PATHS
from waybill_runtime.http.problem import CONTENT_TYPE

log = structlog.get_logger("waybill.http")

STOP_S = 20
REQUESTS_AT_ONCE = 512
CONNECTIONS_MAX = 768
"""More than are at work, fewer than the 1,024 files that a process may have open by default."""
KEEP_ALIVE_S = 75
"""Longer than clients and proxies keep a silent connection (5 to 60 s): they close it, not we. A
server that closes first resets the request that is on its way.
"""
REQUEST_S = 20.0
"""From the connection, or from a request's first byte, to its last: 13 KB/s for the largest."""
HEAD_BYTES_MAX = 32 * 1024


def _problem(status: int, kind: Kind, detail: str) -> bytes:
    return problem.document(status, kind, detail).model_dump_json(exclude_none=True).encode()


MALFORMED = _problem(400, "bad-request", "This is no HTTP request.")
LATE = _problem(408, "request-timeout", f"Send the whole request within {REQUEST_S:g} s.")
HEAD_TOO_LARGE = _problem(
    431, "headers-too-large", f"Send at most {HEAD_BYTES_MAX} bytes of address and headers."
)
OVERLOADED = _problem(503, "overloaded", "Too many requests at once. Send it again in a second.")


def _refusing(status: int, body: bytes, *more: tuple[bytes, bytes]) -> ASGI3Application:
    """An application that answers only this, and ends the connection."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *more,
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app  # type: ignore[return-value]  # starlette's names for the same messages


_OVERLOADED = _refusing(503, OVERLOADED, (b"retry-after", b"1"))
_HEAD_TOO_LARGE = _refusing(431, HEAD_TOO_LARGE)


class BoundedProtocol(HttpToolsProtocol):
    """One connection, whose client has limits."""

    _due: asyncio.TimerHandle | None = None
    _in_head = True
    _is_whole = False
    _head_bytes = 0
    _silent_since_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # a TCP server has Transports
        self._silent_since_s = self.loop.time()
        self._expect()
        if len(self.connections) > CONNECTIONS_MAX:
            self._make_way()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        begun_in_head = self._in_head
        if self._due is None:
            self._expect()
        super().data_received(data)
        if begun_in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(431, HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._is_whole, self._head_bytes = True, False, 0
        if self._due is None:
            self._expect()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: nobody here reads any, so none is kept
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._arrived()
        self._is_whole = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._silent_since_s = self.loop.time()
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        head = len(cycle.scope["raw_path"] or b"") + len(cycle.scope["query_string"])
        head += sum(len(name) + len(value) for name, value in cycle.scope["headers"])
        if head > HEAD_BYTES_MAX:
            app = _HEAD_TOO_LARGE
        elif len(self.tasks) >= REQUESTS_AT_ONCE and cycle.scope["path"] not in UNLIMITED_PATHS:
            log.warning("too many requests at once", requests=len(self.tasks))
            app = _OVERLOADED
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, MALFORMED)

    def _make_way(self) -> None:
        """End the connection that says nothing: who never asked first, then who asked longest ago.

        A new one that asks at once is served, however many are held open beside it.
        """
        silent = [
            one
            for one in self.connections
            if isinstance(one, BoundedProtocol)
            and (one.cycle is None or one.cycle.response_complete)
            and not one.transport.is_closing()
        ]
        if silent:
            min(
                silent, key=lambda one: (one.cycle is not None, one._silent_since_s)
            ).transport.close()

    def _expect(self) -> None:
        self._due = self.loop.call_later(REQUEST_S, self._late)

    def _arrived(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _late(self) -> None:
        """The request is not whole in time; while we do not read, that is our own doing."""
        self._due = None
        is_answered = self.cycle is None or self.cycle.response_complete
        if self.flow.read_paused:
            self._expect()
        elif is_answered or not self._is_whole:  # else: line ends behind a request under way
            self._refuse(408, LATE)

    def _refuse(self, status: int, body: bytes) -> None:
        """Say so where no answer has begun, and end the connection."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            head = (
                f"content-type: {CONTENT_TYPE}\r\ncontent-length: {len(body)}\r\n"
                "connection: close\r\n\r\n"
            )
            self.transport.write(STATUS_LINE[status] + head.encode() + body)
            log.info("request refused", status=status)
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: stopping is ours, in our order."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def new_server(app: ASGIApp, *, host: str, port: int) -> Server:
    """A server of this application, not started."""
    return Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=BoundedProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_S,
            server_header=False,
        )
    )
