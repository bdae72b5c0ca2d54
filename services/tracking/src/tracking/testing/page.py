"""What the tests of tracking are built from: one order's page, and readers of its stream."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from tracking import bootstrap, views
from tracking.settings import Settings
from waybill_events import capture, identity
from waybill_events.event import Event
from waybill_runtime.http.auth import ROLES, KeyRing
from waybill_runtime.service import Service
from waybill_runtime.testing import orders
from waybill_runtime.testing.working import hand
from waybill_runtime.testing.world import World, recorded, simulate

KEYS = {role: f"wb_{role}_secret" for role in ROLES}
TOKEN = "trk_of_x"  # noqa: S105 - a token of tests alone
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
    """One order's page as tracking shows it; its readers are tasks of a group."""

    group: asyncio.TaskGroup
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

    def listen(
        self, last_event_id: bytes | None = None, path: str = TRACK, host: str = "127.0.0.1"
    ) -> "Listener":
        return Listener(self, f"{path}/events", last_event_id, host)


class Listener:
    """A reader of a stream, frame by frame; `leave` closes the connection."""

    def __init__(self, page: Page, path: str, last_event_id: bytes | None, host: str) -> None:
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
            "client": (host, 1),
        }
        self.task = page.group.create_task(page.app(scope, self._receive, self._send))

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
        async with asyncio.TaskGroup() as group:
            page = Page(group)
            await page.open()
            await story(page)
        await page.http.aclose()

    simulate(1, main())
