"""Six services as killable nodes on shared databases and one broker, with the world around them.

The real composition roots, HTTP applications, consumers, relays and job runners run here; only
store, bus, gateway, carrier and mail are the memory adapters that pass the same suites as the real
ones. Nothing reads a clock or draws chance but the loop and its seed.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from pydantic import SecretStr, TypeAdapter

import capture.bootstrap
import capture.settings
import fulfillment.adapters.carrier_memory
import fulfillment.bootstrap
import fulfillment.ports
import fulfillment.settings
import inventory.bootstrap
import inventory.settings
import notification.adapters.channel_memory
import notification.bootstrap
import notification.ports
import notification.settings
import payment.adapters.gateway_memory
import payment.bootstrap
import payment.ports
import payment.settings
import tracking.bootstrap
import tracking.settings
from waybill import programs
from waybill.simulation import shared
from waybill.simulation.shared import Compositions
from waybill.simulation.wire import Answer, Wire, cut
from waybill_events.catalogue import TOPICS
from waybill_runtime.adapters.recipients_http import HttpRecipients
from waybill_runtime.clock import Clock
from waybill_runtime.http.auth import ROLES, KeyRing
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.recipients import Recipients
from waybill_runtime.service import Blueprint, Service
from waybill_runtime.testing.points import WatchedStore
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World
from waybill_sandboxes.warehouse import plan, robot

KEY = "wb_simulate_everything"
PEPPER = "pepper"
CALLBACK_SECRET = "signs the callbacks of gateway and carrier"  # noqa: S105 - of a simulation
HEADERS = {"Authorization": f"Bearer {KEY}"}
TIMEOUT_S = 5.0
UNPAID_S = 20
"""How long an order waits for its money: short, as every order must end in a minute."""
HOLD_GRACE_S = 0
"""How long its units wait longer: so short that they are at times let go of first."""
ACCEPT_S = 4
"""How long a warehouse has to answer: so short that it is at times late."""

R = TypeVar("R")


@dataclass(slots=True)
class Outside:
    """The gateway, the carrier and the mail relay: they outlive every node."""

    gateway: payment.ports.PaymentGateway
    carrier: fulfillment.ports.Carrier
    mail: notification.ports.Channel
    text: notification.ports.Channel


@dataclass(frozen=True, slots=True)
class Vaults:
    """Lines to capture's recipients, each with what it remembers."""

    packing: Recipients[fulfillment.ports.Recipient]
    telling: Recipients[notification.ports.Recipient]


@dataclass(eq=False)
class Node:
    """One life of one service's process."""

    name: str
    of: str
    infrastructure: Infrastructure
    service: Service
    whole: "System"
    outside: Outside
    task: asyncio.Task[None] | None = None
    calls: dict[asyncio.Future[Answer], None] = field(default_factory=dict)

    @cached_property
    def keys(self) -> KeyRing:
        return KeyRing(self.infrastructure.store, self.infrastructure.clock, PEPPER)

    @property
    def app(self) -> FastAPI:
        return self.whole.compositions.app(self.of)

    @cached_property
    def vaults(self) -> Vaults:
        return vaults(self.whole.wire, self.infrastructure.clock)


@dataclass(slots=True)
class Partners(Outside):
    """The world outside as it really is, in memory."""

    gateway: payment.adapters.gateway_memory.MemoryGateway
    carrier: fulfillment.adapters.carrier_memory.MemoryCarrier
    mail: notification.adapters.channel_memory.MemoryChannel
    text: notification.adapters.channel_memory.MemoryChannel


class Warehouse(robot.Robot):
    """A robot whose cursor dies with it; the sweep finds what it forgot."""

    def _move_cursor(self, cursor: str | int | None) -> None:
        self.cursor = str(cursor or self.cursor)


class System:
    """Nodes by service name; a service that is down has none.

    `nodes` holds the life that HTTP goes to; `lives` every life that was not ended or asked to end;
    `born` every life there was.
    """

    def __init__(
        self,
        world: World,
        loop: SeededLoop,
        outside: Partners,
        behaviour: plan.Behaviour,
        compositions: Compositions | None = None,
    ) -> None:
        """`compositions` may be those of another system of this process."""
        self.world = world
        self.loop = loop
        self.outside = outside
        self.behaviour = behaviour
        self.nodes: dict[str, Node] = {}
        self.lives: dict[str, Node] = {}
        self.born: dict[str, Node] = {}
        self.wire = Wire(loop, self.nodes.get)
        self.compositions = compositions or Compositions(compose_here)
        self._counted: dict[str, int] = {}

    def client(self, host: str, **headers: str) -> httpx.AsyncClient:
        """A client with every scope, talking to whichever life of `host` is up."""
        return self.wire.client(host, {**HEADERS, **headers})

    def infrastructure(self, name: str, node: str) -> Infrastructure:
        """What one node works on: a simulator of faults puts itself between here, too."""
        return self.world.infrastructure(name, node)

    def seen_by(self, node: str) -> Outside:
        """The world outside as one node meets it: a simulator of faults puts itself between."""
        return self.outside

    async def begin(self) -> None:
        """Make topics and keys, start every service."""
        await self.world.infrastructure("capture", "operator").bus.ensure_topics(sorted(TOPICS))
        scopes = {scope for role in ROLES.values() for scope in role}
        for name in programs.SERVICES:
            on = self.world.infrastructure(name)
            await KeyRing(on.store, on.clock, PEPPER).add(KEY, name="all", scopes=scopes)
            self.start(name)

    def start(self, name: str) -> Node:
        """A new life of a service, on the same database, beside those that are up."""
        life = self._counted[name] = self._counted.get(name, 0) + 1
        label = f"{name}#{life}"
        on = self.infrastructure(name, label)
        service = Service(self.compositions.blueprint(name), on)
        node = Node(label, name, on, service, self, self.seen_by(label))
        with self.loop.on(label), shared.acting(node):
            node.task = asyncio.ensure_future(service.run_parts())
        self.nodes[name] = self.lives[label] = self.born[label] = node
        self.loop.note(f"start {label}")
        return node

    def kill(self, name: str) -> None:
        """SIGKILL of the life that HTTP goes to."""
        self.end(self.nodes[name])

    def end(self, node: Node) -> None:
        """SIGKILL: nothing of it runs again; its transactions roll back, its leases run out."""
        self.forget(node)
        self.loop.kill(node.name)
        store = node.infrastructure.store
        inner = store.inner if isinstance(store, WatchedStore) else store
        inner.kill()  # type: ignore[attr-defined]  # a memory store
        self.world.broker.kill(node.name)
        cut(node)

    def forget(self, node: Node) -> None:
        """HTTP goes to another life of the service from now on, if there is one."""
        self.lives.pop(node.name, None)
        if self.nodes.get(node.of) is node:
            del self.nodes[node.of]
            others = [other for other in self.lives.values() if other.of == node.of]
            if others:
                self.nodes[node.of] = others[-1]

    async def stop(self) -> None:
        """SIGTERM to all, and wait for them."""
        for node in self.lives.values():
            node.infrastructure.stopping.set()
        await asyncio.gather(*(node.task for node in self.lives.values() if node.task))

    def work_warehouse(self, _: Path | None = None) -> asyncio.Task[None]:
        """Start a robot warehouse that knows only the public API."""
        pace = robot.Pace(workers=4, poll_s=1.0, sweep_s=10.0)
        http = self.client("fulfillment")
        with self.loop.on("warehouse"):
            worker = Warehouse(http, self.behaviour, pace, Path("never written"))
            return asyncio.ensure_future(worker.run())

    def carry_parcels(self, step_s: float = 0.5) -> asyncio.Task[None]:
        """Start the carrier's vans: every parcel that was bought moves on and is delivered."""
        with self.loop.on("carrier"):
            return asyncio.ensure_future(self._carry(step_s))

    async def _carry(self, step_s: float) -> None:
        at: dict[str, int] = {}
        way = ("picked_up", "in_transit", "out_for_delivery", "delivered")
        while True:
            await asyncio.sleep(step_s)
            for reference in self.outside.carrier.purchases:
                step = at.get(reference, 0)
                if step < len(way):
                    self.outside.carrier.scan(reference, way[step])
                    at[reference] = step + 1


def make(world: World, loop: SeededLoop, behaviour: plan.Behaviour | None = None) -> System:
    """A system that has not begun."""
    outside = Partners(
        gateway=payment.adapters.gateway_memory.MemoryGateway(world.clock),
        carrier=fulfillment.adapters.carrier_memory.MemoryCarrier(world.clock.now),
        mail=notification.adapters.channel_memory.MemoryChannel(),
        text=notification.adapters.channel_memory.MemoryChannel(),
    )
    return System(world, loop, outside, behaviour or plan.Behaviour())


PACKED = TypeAdapter(fulfillment.ports.Recipient)
TOLD = TypeAdapter(notification.ports.Recipient)


def vaults(wire: Wire, clock: Clock) -> Vaults:
    """New lines, which remember nothing yet."""
    return Vaults(_vault(PACKED, wire, clock), _vault(TOLD, wire, clock))


def _vault(taken: TypeAdapter[R], wire: Wire, clock: Clock) -> HttpRecipients[R]:
    return HttpRecipients(
        taken,
        "http://capture",
        KEY,
        clock,
        timeout_s=TIMEOUT_S,
        remember_s=60,
        transport=wire,
    )


def _shared() -> dict[str, Any]:
    return {"database_url": SecretStr("memory"), "key_pepper": SecretStr(PEPPER)}


def _capture(on: Infrastructure, _: Outside, __: Vaults) -> Blueprint:
    settings = capture.settings.Settings(
        **_shared(), tracking_token_secret=SecretStr("secret"), unpaid_order_ttl_s=UNPAID_S
    )
    return capture.bootstrap.compose(settings, on)


def _inventory(on: Infrastructure, _: Outside, __: Vaults) -> Blueprint:
    settings = inventory.settings.Settings(**_shared(), hold_grace_s=HOLD_GRACE_S)
    return inventory.bootstrap.compose(settings, on)


def _payment(on: Infrastructure, outside: Outside, _: Vaults) -> Blueprint:
    settings = payment.settings.Settings(
        **_shared(),
        gateway_url="http://gateway",
        gateway_api_key=SecretStr("x"),
        gateway_webhook_secret=SecretStr(CALLBACK_SECRET),
    )
    return payment.bootstrap.assemble(settings, on, outside.gateway)


def _fulfillment(on: Infrastructure, outside: Outside, vaults: Vaults) -> Blueprint:
    settings = fulfillment.settings.Settings(
        **_shared(),
        carrier_webhook_secret=SecretStr(CALLBACK_SECRET),
        capture_url="http://capture",
        capture_key=SecretStr(KEY),
        accept_s=ACCEPT_S,
        track_poll_s=1.0,
        track_poll_s_max=5.0,
    )
    return fulfillment.bootstrap.assemble(settings, on, outside.carrier, vaults.packing)


def _notification(on: Infrastructure, outside: Outside, vaults: Vaults) -> Blueprint:
    channels = {"email": outside.mail, "sms": outside.text}
    settings = notification.settings.Settings(
        **_shared(), capture_url="http://capture", capture_key=SecretStr(KEY)
    )
    return notification.bootstrap.assemble(settings, on, vaults.telling, channels)


def _tracking(on: Infrastructure, _: Outside, __: Vaults) -> Blueprint:
    return tracking.bootstrap.compose(tracking.settings.Settings(**_shared()), on)


_COMPOSE: Mapping[str, Callable[[Infrastructure, Outside, Vaults], Blueprint]] = {
    "capture": _capture,
    "inventory": _inventory,
    "payment": _payment,
    "fulfillment": _fulfillment,
    "notification": _notification,
    "tracking": _tracking,
}


def compose_here(name: str) -> Blueprint:
    """A service on whatever the acting life has."""
    outside = Outside(
        gateway=_here(lambda life: life.outside.gateway),
        carrier=_here(lambda life: life.outside.carrier),
        mail=_here(lambda life: life.outside.mail),
        text=_here(lambda life: life.outside.text),
    )
    lines = Vaults(_here(lambda life: life.vaults.packing), _here(lambda life: life.vaults.telling))
    return _COMPOSE[name](shared.HERE, outside, lines)


def _here(find: Callable[[Node], object]) -> Any:
    return shared.Here(find)


COMPOSE: Mapping[str, Callable[..., Blueprint]] = {
    name: lambda whole, on, _=None, compose=compose: compose(
        on, whole.outside, vaults(whole.wire, on.clock)
    )
    for name, compose in _COMPOSE.items()
}
"""A service on an infrastructure of its own, with the world outside of a system: (system, on)."""
