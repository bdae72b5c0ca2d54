"""Six services in this process behind real HTTP servers, on memory adapters or on Postgres.

They run on one event loop in a thread of its own, so that a client that blocks may ask them.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import httpx
import uvloop
from fastapi import FastAPI

from waybill import programs
from waybill.simulation import system
from waybill_events.catalogue import TOPICS
from waybill_runtime.adapters.postgres import migrate
from waybill_runtime.adapters.postgres.bus import PostgresBus
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.clock import SystemClock
from waybill_runtime.http.auth import ROLES, KeyRing
from waybill_runtime.http.server import new_server
from waybill_runtime.ids import RandomIds
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping, alongside
from waybill_runtime.service import Service
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

T = TypeVar("T")
START_S = 60.0
CALL_S = 280.0

Ground = Callable[[str], Coroutine[Any, Any, Infrastructure]]
"""What a service stands on, by the service's name."""


@dataclass(slots=True)
class Serving:
    """The running system: base URLs by service, and the loop that it runs on."""

    loop: asyncio.AbstractEventLoop
    whole: system.System
    urls: dict[str, str] = field(default_factory=dict)
    apps: dict[str, FastAPI] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The answer of a coroutine, run on the system's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(CALL_S)

    def document(self, service: str) -> dict[str, Any]:
        """A service's OpenAPI document."""
        return self.apps[service].openapi()

    def client(self, service: str, **headers: str) -> httpx.Client:
        """A client with every scope."""
        return httpx.Client(
            base_url=self.urls[service], headers={**system.HEADERS, **headers}, timeout=20
        )


def on_memory() -> Ground:
    """One broker and a database per service, both gone at the end."""
    world = World(clock=SystemClock())

    async def ground(name: str) -> Infrastructure:
        return world.infrastructure(name)

    return ground


def on_postgres(databases: Mapping[str, str], bus: str) -> Ground:
    """DSNs by service, and that of the bus; each is migrated first."""

    async def ground(name: str) -> Infrastructure:
        await migrate.upgrade(databases[name])
        clock = SystemClock()
        ids = RandomIds(clock)
        store = await PostgresStore.open(databases[name], clock=clock, max_connections=8)
        return Infrastructure(store, PostgresBus(bus, clock, ids), clock, ids, Stopping())

    return ground


class Between(httpx.AsyncBaseTransport):
    """Carries a request from one service to another, straight into its application."""

    def __init__(self, apps: Mapping[str, FastAPI]) -> None:
        self._apps = apps

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await httpx.ASGITransport(self._apps[request.url.host]).handle_async_request(request)


def on_kafka(databases: Mapping[str, str], bootstrap: str) -> Ground:
    """DSNs by service, and a broker."""
    from waybill_runtime.adapters.kafka.bus import KafkaBus

    beside = on_postgres(databases, "")

    async def ground(name: str) -> Infrastructure:
        return replace(await beside(name), bus=KafkaBus(bootstrap))

    return ground


@contextmanager
def serving(ground: Ground) -> Iterator[Serving]:
    """Start all six, and stop them at the end."""
    ready: list[Serving] = []
    failed: list[BaseException] = []
    up = threading.Event()

    async def live() -> None:
        # The gateway's holds must end by the clock that payment goes by, or all look run out.
        whole = system.make(World(clock=SystemClock()), SeededLoop.of(1))
        running = Serving(asyncio.get_running_loop(), whole)
        whole.wire = Between(running.apps)  # type: ignore[assignment]  # its own has a virtual loop
        try:
            async with AsyncExitStack() as stack:
                for name in programs.SERVICES:
                    await _start(stack, running, name, await ground(name))
                ready.append(running)
                up.set()
                await running.stop.wait()
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            up.set()

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(live())

    thread = threading.Thread(target=run, name="serving")
    thread.start()
    if not up.wait(START_S) or not ready:
        raise RuntimeError("the services did not start") from (failed[0] if failed else None)
    try:
        yield ready[0]
    finally:
        ready[0].loop.call_soon_threadsafe(ready[0].stop.set)
        thread.join(START_S)


async def _start(stack: AsyncExitStack, running: Serving, name: str, on: Infrastructure) -> None:
    await on.bus.ensure_topics(sorted(TOPICS))
    ring = KeyRing(on.store, on.clock, system.PEPPER)
    scopes = {scope for role in ROLES.values() for scope in role}
    await ring.add(system.KEY, name="all", scopes=scopes)
    service = Service(system.COMPOSE[name](running.whole, on, running.whole.outside), on)
    app = service.app(ring)
    running.apps[name], running.services[name] = app, service
    stack.push_async_callback(on.store.close)
    stack.push_async_callback(on.bus.close)
    stack.push_async_callback(service.blueprint.close)
    server = new_server(app, host="127.0.0.1", port=0)
    await stack.enter_async_context(alongside(service.run_parts()))
    serves = asyncio.ensure_future(server.serve())

    async def end() -> None:
        on.stopping.set()
        server.should_exit = True
        await serves

    stack.push_async_callback(end)
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    running.urls[name] = f"http://127.0.0.1:{port}"
