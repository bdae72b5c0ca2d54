"""The customer's tracking endpoint, as a read and as a stream, and the staff's timeline."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request
from starlette.responses import Response, StreamingResponse

from tracking import bodies
from tracking.service import PRIVATE, Tracking
from waybill_events.envelope import DEFAULT_TENANT
from waybill_runtime.http import conditions
from waybill_runtime.http.auth import Principal, requires
from waybill_runtime.http.limits import address_of
from waybill_runtime.http.links import onwards
from waybill_runtime.http.problem import Refused
from waybill_runtime.http.text import PRINTABLE
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.stored import StoreUnavailable

Staff = Annotated[Principal, Depends(requires("timeline:read"))]
OrderId = Annotated[str, Path(max_length=80, pattern=PRINTABLE)]

STREAMS_MAX = 384
"""Three quarters of the requests that a process takes at once: reads have room beside streams."""
STREAMS_PER_LINK = 10
EVERYBODY = "*"
LOOK_S = 0.5
KEEP_ALIVE_S = 15.0
STREAM_S_MAX = 600.0


def router(on: Infrastructure, tracking: Tracking, streams_per_address: int) -> APIRouter:
    """`/v1/track` needs no API key: the token is the key."""
    routes = APIRouter(prefix="/v1")
    streams = _Streams(on, tracking, streams_per_address)

    @routes.head("/track/{token}", include_in_schema=False)
    @routes.get(
        "/track/{token}",
        operation_id="track",
        response_model=bodies.TrackView,
        responses=onwards(200, track_events={"token": "$request.path.token"}),
    )
    async def track(request: Request, token: str) -> Response:
        """An order in plain words; poll it with If-None-Match."""
        order_id = await tracking.order_of(DEFAULT_TENANT, token)
        view = await tracking.track(DEFAULT_TENANT, order_id)
        response = conditions.answer_read(request, view, view.version)
        response.headers.update(PRIVATE)
        return response

    @routes.get(
        "/track/{token}/events",
        operation_id="track_events",
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def events(
        request: Request,
        token: str,
        last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=20)] = None,
    ) -> Response:
        """The same view as server-sent events: one now, one for each change.

        The stream ends after ten minutes; reconnect with Last-Event-ID, as browsers do.
        """
        order_id = await tracking.order_of(DEFAULT_TENANT, token)
        return StreamingResponse(
            streams.open(order_id, address_of(request.scope), _version(last_event_id)),
            media_type="text/event-stream",
            headers={**PRIVATE, "Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @routes.get("/orders/{order_id}/timeline", operation_id="order_timeline")
    async def timeline(order_id: OrderId, who: Staff) -> bodies.TimelineView:
        """Every event of an order across services, with cause and actor."""
        return await tracking.timeline(who.tenant, order_id)

    return routes


def _version(last_event_id: str | None) -> int:
    """The version that a reader has seen; what is no number of ours counts as none."""
    said = last_event_id or ""
    return int(said) if said.isascii() and said.isdigit() else 0


class _Streams:
    """Server-sent event streams (WHATWG HTML, section 9.2), a limited number at a time.

    A limited number of each link and of each address as well, so that none of them takes all.
    """

    def __init__(self, on: Infrastructure, tracking: Tracking, per_address: int) -> None:
        self._on = on
        self._tracking = tracking
        self._per_address = per_address
        self._open: Counter[str] = Counter()

    def open(self, order_id: str, address: str, seen: int) -> AsyncIterator[str]:
        """A new stream from behind version `seen`.

        Raises:
            Refused: 429, the link or the address has its share; 503, too many streams are open.
        """
        if (refused := self._refused(order_id, address)) is not None:
            raise refused
        return self._events(order_id, address, seen)

    def _refused(self, order_id: str, address: str) -> Refused | None:
        headers = {"Retry-After": "10"}
        if self._open[EVERYBODY] >= STREAMS_MAX:
            return Refused(503, "too-many-streams", "Poll instead, or come back.", headers=headers)
        for whose, name, most in (
            ("tracking link", order_id, STREAMS_PER_LINK),
            ("address", address, self._per_address or STREAMS_MAX),
        ):
            if self._open[name] >= most:
                detail = f"This {whose} has {most} event streams open. Poll instead, or close one."
                return Refused(429, "stream-limit", detail, headers=headers)
        return None

    @contextmanager
    def _counted(self, order_id: str, address: str) -> Iterator[None]:
        names = (EVERYBODY, order_id, address)
        self._open.update(names)
        try:
            yield
        finally:
            self._open.subtract(names)
            for name in names:
                if not self._open[name]:
                    del self._open[name]

    async def _events(self, order_id: str, address: str, seen: int) -> AsyncIterator[str]:
        if self._refused(order_id, address) is not None:  # others began between head and body
            yield "retry: 10000\n\n"
            return
        clock = self._on.clock
        with self._counted(order_id, address):
            yield "retry: 2000\n\n"
            begun_s = spoken_s = clock.monotonic_s()
            try:
                while clock.monotonic_s() - begun_s < STREAM_S_MAX:
                    view = await self._tracking.track(DEFAULT_TENANT, order_id)
                    if view.version > seen:
                        seen, spoken_s = view.version, clock.monotonic_s()
                        yield f"id: {seen}\nevent: order\ndata: {view.model_dump_json()}\n\n"
                    elif clock.monotonic_s() - spoken_s > KEEP_ALIVE_S:
                        spoken_s = clock.monotonic_s()
                        yield ": still here\n\n"
                    if await self._on.stopping.wait(LOOK_S):
                        return
            except StoreUnavailable:
                return  # the reader comes back by itself, with what it has seen
