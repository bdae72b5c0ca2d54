"""Tracking over HTTP: what a token opens and keeps shut, the stream, and the staff's timeline."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from tracking import api, bootstrap, views
from tracking.settings import Settings
from waybill_events import capture, identity
from waybill_events.event import Event
from waybill_runtime.http.auth import ROLES, KeyRing
from waybill_runtime.service import Service
from waybill_runtime.testing import orders
from waybill_runtime.testing.working import hand
from waybill_runtime.testing.world import World, recorded, simulate

KEYS = {role: f"wb_{role}_secret" for role in ROLES}
TOKEN = "trk_of_x"
TRACK = f"/v1/track/{TOKEN}"
CONFIRMED = capture.OrderCancellationRequested(order_id="ord_x", reason="customer_request")


def placed(order_id: str, token: str) -> capture.OrderPlaced:
    return orders.placed(
        orders.line(1, 1, 1, name="Heart"),
        order_id=order_id,
        tracking_token_hash=identity.token_hash(token),
    )


@dataclass
class Page:
    """One order's page as tracking shows it."""

    on: Any = field(init=False)
    app: Any = field(init=False)
    http: httpx.AsyncClient = field(init=False)
    versions: dict[str, int] = field(default_factory=dict)

    async def open(self) -> None:
        self.on = World().infrastructure("tracking")
        ring = KeyRing(self.on.store, self.on.clock, "pepper")
        for role, scopes in ROLES.items():
            await ring.add(KEYS[role], name=role, scopes=scopes)
        settings = Settings.model_validate({"database_url": "unused", "key_pepper": "pepper"})
        self.service = Service(bootstrap.compose(settings, self.on), self.on)
        self.app = self.service.app(ring)
        transport = httpx.ASGITransport(self.app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://tracking.test")
        await self.tell(placed("ord_x", TOKEN))

    async def tell(self, event: Event, **changes: str) -> None:
        order_id = event.model_dump()["order_id"]
        version = self.versions[order_id] = self.versions.get(order_id, 0) + 1
        stream = f"default/order/{order_id}"
        envelope = recorded(event, stream=stream, version=version, topic="orders", key=order_id)
        envelope = replace(envelope, **changes)  # type: ignore[arg-type]  # texts of an envelope
        await hand(self.on, self.service.handler, envelope)

    async def rebuilt(self) -> None:
        """The view built again by a release that counts fewer events in it."""
        view = views.CUSTOMER.name
        async with self.on.store.transaction() as transaction:
            documents = transaction.documents
            before = await documents.get("default", view, ["ord_x"])
            fewer = {"ord_x": replace(before["ord_x"], version=1)}
            await documents.put("default", view, fewer, generation=2)
            await documents.switch_generation(view, 2)

    async def get(self, path: str, role: str | None = None, **headers: str) -> httpx.Response:
        if role is not None:
            headers["Authorization"] = f"Bearer {KEYS[role]}"
        return await self.http.get(path, headers=headers)

    def listen(self, last_event_id: bytes | None = None, path: str = TRACK) -> "Listener":
        return Listener(self.app, f"{path}/events", last_event_id)


class Listener:
    """A reader of a stream, frame by frame; `leave` closes the connection."""

    def __init__(self, app: Any, path: str, last_event_id: bytes | None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = ""
        self._gone = asyncio.Event()
        headers = [(b"host", b"tracking.test")]
        if last_event_id is not None:
            headers.append((b"last-event-id", last_event_id))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
            "scheme": "http",
            "server": ("tracking.test", 80),
            "client": ("127.0.0.1", 1),
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            self.body += message.get("body", b"").decode()

    @property
    def frames(self) -> Sequence[str]:
        return [frame for frame in self.body.split("\n\n") if frame]

    @property
    def versions(self) -> Sequence[int]:
        """The version in each event's data, which is also its id."""
        found = []
        for frame in self.frames:
            if frame.startswith("id: "):
                said, name, data = frame.splitlines()
                version = json.loads(data.removeprefix("data: "))["version"]
                assert (said, name) == (f"id: {version}", "event: order")
                found.append(version)
        return found

    async def leave(self) -> None:
        self._gone.set()
        await self.task


def show(story: Callable[[Page], Awaitable[None]]) -> None:
    async def main() -> None:
        page = Page()
        await page.open()
        await story(page)
        await page.http.aclose()

    simulate(1, main())


def test_a_token_opens_its_order_in_plain_words() -> None:
    async def story(page: Page) -> None:
        answer = await page.get(TRACK)
        assert answer.status_code == 200
        body = answer.json()
        assert body["order"]["headline"] == "We have received your order and are checking it."
        assert [line["name"] for line in body["lines"]] == ["Heart"]
        assert (body["version"], body["shipments"]) == (1, [])
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"] == "noindex"
        assert "private" in answer.headers["cache-control"]

    show(story)


def test_each_token_opens_one_order_only() -> None:
    async def story(page: Page) -> None:
        await page.tell(placed("ord_y", "trk_of_y"))
        await page.tell(capture.OrderExpired(order_id="ord_y", reason="hold_expired"))
        assert (await page.get(TRACK)).json()["order"]["status"] == "placed"
        assert (await page.get("/v1/track/trk_of_y")).json()["order"]["status"] == "expired"

    show(story)


TOKEN_HASH = hashlib.sha256(TOKEN.encode()).hexdigest()
OTHERS = ("trk_unknown", "ord_x", TOKEN_HASH, TOKEN + "x", TOKEN[:-1], "x" * 5_000, "é", "*")


@pytest.mark.parametrize("token", OTHERS)
@pytest.mark.parametrize("suffix", ["", "/events"])
def test_every_other_token_gets_the_same_answer(token: str, suffix: str) -> None:
    async def story(page: Page) -> None:
        answer = await page.get(f"/v1/track/{token}{suffix}")
        body = answer.json()
        body.pop("instance")
        body.pop("request_id")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert body == {
            "type": "urn:waybill:problem:not-found",
            "title": "Not found",
            "status": 404,
            "detail": "This link opens no order. Use the one we sent you, or wait a moment: "
            "it may not be here yet.",
        }

    show(story)


def test_a_poller_is_told_when_nothing_has_changed() -> None:
    async def story(page: Page) -> None:
        tag = (await page.get(TRACK)).headers["etag"]
        same = await page.get(TRACK, **{"If-None-Match": tag})
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["referrer-policy"] == "no-referrer"
        await page.tell(CONFIRMED)
        changed = await page.get(TRACK, **{"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag

    show(story)


def test_a_stream_begins_with_the_order_and_tells_each_change() -> None:
    async def story(page: Page) -> None:
        listener = page.listen()
        await asyncio.sleep(2)
        assert (listener.status, listener.versions) == (200, [1])
        assert listener.frames[0] == "retry: 2000"
        assert listener.headers["content-type"].startswith("text/event-stream")
        assert listener.headers["referrer-policy"] == "no-referrer"
        assert listener.headers["cache-control"] == "no-store"
        await page.tell(CONFIRMED)
        await asyncio.sleep(1)
        assert listener.versions == [1, 2]
        await listener.leave()

    show(story)


@pytest.mark.parametrize(
    ("last_event_id", "versions"),
    [(b"1", [2]), (b"2", []), (b"99", []), (b"0", [2]), (b"x", [2]), (b"\xb2", [2]), (b"-1", [2])],
)
def test_a_reader_who_comes_back_is_not_told_again(
    last_event_id: bytes, versions: Sequence[int]
) -> None:
    async def story(page: Page) -> None:
        await page.tell(CONFIRMED)
        listener = page.listen(last_event_id)
        await asyncio.sleep(2)
        assert (listener.status, listener.versions) == (200, versions)
        await listener.leave()

    show(story)


def test_a_rebuilt_view_is_new_to_whoever_has_seen_it_and_its_version_grows() -> None:
    async def story(page: Page) -> None:
        await page.tell(CONFIRMED)
        before, staying = await page.get(TRACK), page.listen()
        await asyncio.sleep(2)
        await page.rebuilt()
        after = await page.get(TRACK, **{"If-None-Match": before.headers["etag"]})
        assert (after.status_code, before.json()["version"]) == (200, 2)
        back = page.listen(b"2")
        await asyncio.sleep(2)
        await page.tell(CONFIRMED)
        await asyncio.sleep(2)
        assert back.versions == [after.json()["version"], after.json()["version"] + 1]
        assert staying.versions == [2, *back.versions] == sorted(staying.versions)
        await staying.leave()
        await back.leave()

    show(story)


def test_a_quiet_stream_is_kept_alive() -> None:
    async def story(page: Page) -> None:
        listener = page.listen()
        await asyncio.sleep(3 * api.KEEP_ALIVE_S + 3)
        assert listener.frames.count(": still here") == 3
        assert listener.versions == [1]
        await listener.leave()

    show(story)


def test_a_stream_ends_after_its_time_so_that_readers_spread() -> None:
    async def story(page: Page) -> None:
        listener = page.listen()
        await asyncio.sleep(api.STREAM_S_MAX + 1)
        assert listener.task.done()
        await listener.task

    show(story)


def test_a_stream_ends_when_the_process_stops() -> None:
    async def story(page: Page) -> None:
        listener = page.listen()
        await asyncio.sleep(2)
        page.on.stopping.set()
        await asyncio.wait_for(listener.task, 1)

    show(story)


def test_a_stream_ends_cleanly_when_the_store_goes_away() -> None:
    async def story(page: Page) -> None:
        listener = page.listen()
        await asyncio.sleep(2)
        await page.on.store.close()
        await asyncio.wait_for(listener.task, 2)
        assert listener.versions == [1]

    show(story)


def test_too_many_streams_are_sent_to_polling_until_one_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "STREAMS_MAX", 2)

    async def story(page: Page) -> None:
        first, second = page.listen(), page.listen()
        await asyncio.sleep(1)
        refused = await page.get(f"{TRACK}/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        assert refused.json()["type"] == "urn:waybill:problem:too-many-streams"
        await first.leave()
        await asyncio.sleep(1)
        third = page.listen()
        await asyncio.sleep(1)
        assert third.status == 200
        await second.leave()
        await third.leave()

    show(story)


def test_a_burst_opens_no_more_streams_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "STREAMS_MAX", 2)

    async def story(page: Page) -> None:
        burst = [page.listen() for _ in range(6)]
        await asyncio.sleep(2)
        assert sum(bool(listener.versions) for listener in burst) == 2
        assert sum(listener.task.done() for listener in burst) == 4
        for listener in burst:
            await listener.leave()

    show(story)


def test_staff_see_every_event_with_cause_and_actor() -> None:
    async def story(page: Page) -> None:
        await page.tell(
            CONFIRMED, causation_id="default/order/ord_x@1", actor="key:abc", event_id="e-2"
        )
        answer = await page.get("/v1/orders/ord_x/timeline", "operator")
        assert answer.status_code == 200
        first, second = answer.json()["data"]
        assert (first["type"], first["cause"]) == ("capture.order_placed.v1", None)
        assert second["cause"] == "capture.order_placed.v1"
        assert (second["actor"], second["detail"]) == ("key:abc", "reason customer_request")

    show(story)


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("storefront", 403), ("operator", 404)])
def test_the_timeline_is_for_staff(role: str | None, status: int) -> None:
    async def story(page: Page) -> None:
        answer = await page.get("/v1/orders/ord_none/timeline", role)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"

    show(story)


@pytest.mark.parametrize(
    "path", ["track/%00", "orders/%00/timeline", f"orders/{81 * 'x'}/timeline"]
)
def test_an_address_that_nothing_can_have_is_refused(path: str) -> None:
    async def story(page: Page) -> None:
        assert (await page.get(f"/v1/{path}", "operator")).status_code == 422

    show(story)
