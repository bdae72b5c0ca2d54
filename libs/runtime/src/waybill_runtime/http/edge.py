"""What every request passes on its way in: an id, limits, a time and a log line. Pure ASGI.

Never `BaseHTTPMiddleware`: it runs routes in a cancel scope (starlette issues 1438 and 1715).
"""

import re
from contextlib import suppress

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from waybill_runtime import cards, metrics
from waybill_runtime.clock import Clock
from waybill_runtime.http import problem
from waybill_runtime.http.kinds import Kind
from waybill_runtime.http.problem import CONTENT_TYPE
from waybill_runtime.ids import Ids

log = structlog.get_logger("waybill.http")

BODY_BYTES_MAX = 256 * 1024
DRAINED_BYTES_MAX = 4 * 1024 * 1024
"""How much of a body that is refused is still read, so that its sender comes to read the answer."""
NUL_REFUSED = "The path or the query holds a NUL (%00), which no id and no text has here."
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _holds_nul(scope: Scope) -> bool:
    """Postgres keeps no NUL in text, so nothing can be found under one."""
    return (
        "\0" in scope["path"] or b"%00" in scope["query_string"] or b"\0" in scope["query_string"]
    )


class _Body:
    """A request's body on its way in: counted, and cut off where it is too large."""

    def __init__(self, receive: Receive, declared: int) -> None:
        self._receive = receive
        self._declared = declared
        self._received = 0
        self._has_more = True

    @property
    def is_too_large(self) -> bool:
        return max(self._declared, self._received) > BODY_BYTES_MAX

    async def receive(self) -> Message:
        message = await self._take()
        return {"type": "http.disconnect"} if self.is_too_large else message

    async def drain(self) -> None:
        """Throw the rest away, within limits: who still sends is reset before he hears why."""
        if self._declared > DRAINED_BYTES_MAX:
            return
        while self._has_more and self._received <= DRAINED_BYTES_MAX:
            await self._take()

    async def _take(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self._has_more = message.get("more_body", False)
        return message


class Edge:
    """Wraps an app. Quiet about health checks."""

    def __init__(self, app: ASGIApp, clock: Clock, ids: Ids) -> None:
        self._app = app
        self._clock = clock
        self._ids = ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = self._clock.monotonic_s()
        request_id = self._request_id(scope)
        scope["request_id"] = request_id
        status = 500
        body = _Body(receive, self._declared(scope))

        async def noted(message: Message) -> None:
            nonlocal status
            if body.is_too_large:
                return  # whatever the app makes of a cut-off body, 413 is the answer
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            with metrics.HTTP_IN_FLIGHT.track_inprogress():
                if _holds_nul(scope):
                    status = 422
                    await self._refuse(scope, send, 422, "invalid-address", NUL_REFUSED)
                else:
                    if not body.is_too_large:
                        await self._app(scope, body.receive, noted)
                    if body.is_too_large:
                        status = 413
                        await body.drain()
                        detail = f"Send at most {BODY_BYTES_MAX} bytes."
                        await self._refuse(scope, send, 413, "body-too-large", detail)
        finally:  # what is raised becomes a 500 further out; it is counted as one
            self._note(scope, status, self._clock.monotonic_s() - started_s, request_id)

    def _request_id(self, scope: Scope) -> str:
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        usable = _REQUEST_ID.fullmatch(given) and not cards.in_code(given)
        return given if usable else self._ids.new("req")

    @staticmethod
    def _declared(scope: Scope) -> int:
        with suppress(ValueError):
            return int(dict(scope["headers"]).get(b"content-length", b"0"))
        return 0

    @staticmethod
    async def _refuse(scope: Scope, send: Send, status: int, kind: Kind, detail: str) -> None:
        """Answer instead of the app; of the body something may be left, so the connection ends."""
        told = problem.document(
            status, kind, detail, instance=scope["path"], request_id=scope["request_id"]
        )
        headers = [(b"content-type", CONTENT_TYPE.encode()), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = told.model_dump_json(exclude_none=True).encode()
        await send({"type": "http.response.body", "body": body})

    @staticmethod
    def _note(scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        metrics.HTTP_SECONDS.labels(scope["method"], route, status).observe(seconds)
        if route not in ("/livez", "/readyz", "/metrics"):
            log.info(
                "request",
                method=scope["method"],
                route=route,
                status=status,
                ms=round(seconds * 1000, 1),
                request_id=request_id,
            )
