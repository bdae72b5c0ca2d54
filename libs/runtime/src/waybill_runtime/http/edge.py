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
from waybill_runtime.http.problem import CONTENT_TYPE, Refused
from waybill_runtime.ids import Ids

log = structlog.get_logger("waybill.http")

BODY_BYTES_MAX = 256 * 1024
DRAINED_BYTES_MAX = 4 * 1024 * 1024
"""How much of a body that is refused is still read, so that its sender comes to read the answer."""
NUL_REFUSED = "The path or the query holds a NUL (%00), which no id and no text has here."
NO_UTF8 = "The body has a NUL byte at its beginning, as UTF-16 and UTF-32 have. Send JSON in UTF-8."
_REQUEST_ID = re.compile(r"(?=[0-9._-]*[A-Za-z])[A-Za-z0-9._-]{1,64}")
"""With a letter: a number alone may be somebody's telephone, and ids are logged."""
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^\s;"]+)', re.IGNORECASE)


def _holds_nul(scope: Scope) -> bool:
    """Postgres keeps no NUL in text, so nothing can be found under one."""
    return (
        "\0" in scope["path"] or b"%00" in scope["query_string"] or b"\0" in scope["query_string"]
    )


def _unreadable(detail: str) -> Refused:
    headers = {"Accept-Encoding": "identity"}
    return Refused(415, "unsupported-media-type", detail, headers=headers)


def _refused_by_its_headers(scope: Scope) -> Refused | None:
    """Why a body will not be read: it says that it is packed, or in other letters than UTF-8."""
    said = {name: value.decode("latin-1") for name, value in scope["headers"]}
    coding = said.get(b"content-encoding", "").strip()
    if coding.lower() not in ("", "identity"):
        return _unreadable(
            f"Nothing here unpacks a body: Content-Encoding: {coding[:64]!a}. "
            "Send it as it is, without that header."
        )
    charset = _CHARSET.search(said.get(b"content-type", ""))
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8"):
        return _unreadable(
            f"JSON is read in UTF-8 alone, and Content-Type says {charset[1][:64]!a}. "
            "Send UTF-8, with the header Content-Type: application/json."
        )
    return None


class _Body:
    """A request's body on its way in: looked at, and cut off where it is refused."""

    def __init__(self, receive: Receive, scope: Scope) -> None:
        headers = dict(scope["headers"])
        self._receive = receive
        self._declared = 0
        with suppress(ValueError):
            self._declared = int(headers.get(b"content-length", b"0"))
        self._received = 0
        self._head = b""
        self._has_more = True
        self.refused: Refused | None = None
        if self._declared or b"transfer-encoding" in headers:
            self.refused = _refused_by_its_headers(scope)
        self._judge()

    async def receive(self) -> Message:
        message = await self._take()
        return {"type": "http.disconnect"} if self.refused else message

    async def drain(self) -> None:
        """Throw the rest away, within limits: who still sends is reset before he hears why."""
        if self._declared > DRAINED_BYTES_MAX:
            return
        while self._has_more and self._received <= DRAINED_BYTES_MAX:
            await self._take()

    async def _take(self) -> Message:
        message = await self._receive()
        chunk = message.get("body", b"")
        self._received += len(chunk)
        self._head += chunk[: 4 - len(self._head)]
        self._has_more = message.get("more_body", False)
        self._judge()
        return message

    def _judge(self) -> None:
        """JSON begins in ASCII: none of its first four bytes is NUL in UTF-8, one is in others."""
        if self.refused is not None:
            return
        if max(self._declared, self._received) > BODY_BYTES_MAX:
            self.refused = Refused(413, "body-too-large", f"Send at most {BODY_BYTES_MAX} bytes.")
        elif b"\0" in self._head:
            self.refused = _unreadable(NO_UTF8)


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
        body = _Body(receive, scope)

        async def noted(message: Message) -> None:
            nonlocal status
            if body.refused is not None:
                return  # whatever the app makes of a cut-off body, that is the answer
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
                    await self._refuse(scope, send, Refused(422, "invalid-address", NUL_REFUSED))
                else:
                    if body.refused is None:
                        await self._app(scope, body.receive, noted)
                    if body.refused is not None:
                        status = body.refused.status
                        await body.drain()
                        await self._refuse(scope, send, body.refused)
        finally:  # what is raised becomes a 500 further out; it is counted as one
            self._note(scope, status, self._clock.monotonic_s() - started_s, request_id)

    def _request_id(self, scope: Scope) -> str:
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        usable = _REQUEST_ID.fullmatch(given) and not cards.in_code(given)
        return given if usable else self._ids.new("req")

    @staticmethod
    async def _refuse(scope: Scope, send: Send, refused: Refused) -> None:
        """Answer instead of the app; of the body something may be left, so the connection ends."""
        told = problem.document(
            refused.status,
            refused.kind,
            refused.detail,
            instance=scope["path"],
            request_id=scope["request_id"],
        )
        said = {"Content-Type": CONTENT_TYPE, "Connection": "close", **refused.headers}
        headers = [(name.lower().encode(), value.encode()) for name, value in said.items()]
        await send({"type": "http.response.start", "status": refused.status, "headers": headers})
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
