"""The processes that die: a zygote that has imported everything, and what it forks.

The zygote reads one JSON object a line on its standard input and forks a child for each: a whole
service as `python -m <service>` runs it, on leases short enough to outlive one in a test, or one
of the operators' tools. A child dies where it was armed to, by SIGKILL: Postgres sees a broken
connection and nothing else.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import uvicorn
import uvloop
from pydantic import BaseModel, TypeAdapter

import capture.bootstrap
import capture.settings
import fulfillment.bootstrap
import fulfillment.ports
import fulfillment.settings
import inventory.bootstrap
import inventory.settings
import notification.bootstrap
import notification.ports
import notification.settings
import payment.bootstrap
import payment.settings
import tracking.bootstrap
import tracking.settings
from fulfillment.adapters.carrier_http import HttpCarrier
from notification.adapters.smtp import SmtpChannel
from notification.adapters.text_http import HttpTextChannel
from payment.adapters.gateway_http import HttpGateway
from waybill_events.catalogue import SUBSCRIPTIONS, TOPICS
from waybill_runtime import consumer, jobs, lifecycle, logs, rebuild, relay
from waybill_runtime.adapters.postgres import connections
from waybill_runtime.adapters.postgres.bus import PostgresBus
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.adapters.recipients_http import HttpRecipients
from waybill_runtime.bus import Bus, Delivery, Partition
from waybill_runtime.clock import SystemClock
from waybill_runtime.http.auth import KeyRing
from waybill_runtime.ids import RandomIds
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping
from waybill_runtime.recipients import RecipientsUnavailable
from waybill_runtime.republish import republish
from waybill_runtime.service import Blueprint, Service
from waybill_runtime.testing.points import Hook, Point, watch, watched
from waybill_runtime.unpark import NotParked, Unparking

BUS_LEASE_S = 1.0
JOB_LEASE_S = 1.5
IDLE_IN_TRANSACTION_S = 1.5
PAUSE_S = 2.5
"""How long a paused process stands still: longer than every lease and limit above."""

Act = Literal["kill", "raise", "surprise", "stop"]


class Arm(BaseModel):
    """What is to happen at a point: die, fail as the port fails or as nobody expects, or stand."""

    label: str
    moment: Literal["before", "after"]
    act: Act
    times: int = 1


class Told(BaseModel):
    """What a child is told: what it is, where its stores are, how its neighbours are reached."""

    role: Literal[
        "service", "api", "rebuild", "lost", "retry", "discard", "republish", "add", "revoke"
    ]
    service: str
    databases: Mapping[str, str]
    bus: str
    pepper: str
    key: str
    port: int
    urls: Mapping[str, str]
    smtp_port: int
    secret: str
    log: str
    fired: str
    """The file in which each trigger is written down before it acts."""
    arms: Sequence[Arm] = ()
    subject: str = ""
    """What a tool is used on: a view, a parked key, an API key."""
    order_ttl_s: int = 30

    @property
    def database(self) -> str:
        return self.databases[self.service]


class Surprise(Exception):
    """An error that no port names."""


class Trigger:
    """Does at a point what it was armed to, and writes it down first."""

    def __init__(self, arms: Sequence[Arm], file: str) -> None:
        self._arms = list(arms)
        self._file = file

    def arm(self, arms: Sequence[Arm]) -> None:
        self._arms = list(arms)

    async def __call__(self, point: Point) -> None:
        for at, arm in enumerate(self._arms):
            if arm.times and (arm.label, arm.moment) == (point.label, point.moment):
                self._arms[at] = arm.model_copy(update={"times": arm.times - 1})
                self._note(f"{arm.act} {arm.moment} {arm.label}\n")
                self._do(arm.act, point)
                return

    def _note(self, line: str) -> None:
        file = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(file, line.encode())
        os.close(file)

    def _do(self, act: Act, point: Point) -> None:
        told = f"injected {point.moment} {point.label}"
        match act:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "raise":
                raise point.error(told)
            case "surprise":
                raise Surprise(told)


_UNARMED = Trigger((), "")


def main() -> None:
    """Fork a child for each line, until the input ends; then end them all."""
    _shorten_leases()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for children: none stays behind
    os.setpgrp()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            _child(Told.model_validate_json(line))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGCONT)
    os.killpg(0, signal.SIGTERM)


def _shorten_leases() -> None:
    """What production waits half a minute for, within a second or two."""
    for module, name, value in (
        (jobs, "LEASE_S", JOB_LEASE_S),
        (jobs, "RETRY_S_MAX", 2.0),
        (relay, "STANDBY_S", 0.2),
        (lifecycle, "RESTART_DELAY_S_MAX", 0.5),
        (rebuild, "NEAR", 0),
        (consumer, "OWNERSHIP_S", 0.7),
    ):
        assert hasattr(module, name)
        setattr(module, name, value)
    limit = f"{int(IDLE_IN_TRANSACTION_S * 1000)}ms"
    connections._SERVER_SETTINGS["idle_in_transaction_session_timeout"] = limit


def _child(told: Told) -> None:
    """Never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(told.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(log, number)
    os.close(0)
    code = 1
    try:
        logs.configure(told.service, "info")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_live(told))
        code = 0
    finally:
        sys.stdout.flush()
        os._exit(code)


async def _live(told: Told) -> None:
    trigger = Trigger(told.arms, told.fired)
    on = await _infrastructure(told, trigger)
    match told.role:
        case "service" | "api":
            await _serve(told, on, trigger)
        case "rebuild" | "lost":
            await _rebuild(told, on)
        case "retry" | "discard":
            await _unpark(told, on)
        case "republish":
            await _republish(told, on, trigger)
        case "add":
            await _ring(told, on).add(told.subject, name="crash", scopes=["orders:read"])
        case "revoke":
            await _ring(told, on).revoke(told.subject.split("_")[1])


async def _infrastructure(told: Told, hook: Hook) -> Infrastructure:
    clock = SystemClock()
    ids = RandomIds(clock)
    store = await PostgresStore.open(told.database, clock=clock, max_connections=6)
    bus = PostgresBus(told.bus, clock, ids, lease_s=BUS_LEASE_S, max_connections=4)
    return watch(Infrastructure(store, bus, clock, ids, Stopping()), told.service, hook)


def _ring(told: Told, on: Infrastructure) -> KeyRing:
    return KeyRing(on.store, on.clock, told.pepper)


class _Server(uvicorn.Server):
    """Signals are for dying here."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(told: Told, on: Infrastructure, trigger: Trigger) -> None:
    service = Service(COMPOSE[told.service](told, on, trigger), on)
    app = service.app(_ring(told, on))

    async def arm(arms: list[Arm]) -> None:
        trigger.arm(arms)

    app.add_api_route("/crash/arms", arm, methods=["PUT"], status_code=204)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=told.port, log_config=None, access_log=False
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(_Server(config).serve())
        if told.role == "service":
            group.create_task(service.run_parts())


class _LostBus:
    """A bus that was emptied: it tells of messages and gives none."""

    def __init__(self, inner: Bus) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Delivery]:
        return ()


async def _rebuild(told: Told, on: Infrastructure) -> None:
    blueprint = COMPOSE[told.service](told, on, _UNARMED)
    view = next(view for view in blueprint.views if view.name == told.subject)
    bus: Any = on.bus if told.role == "rebuild" else _LostBus(on.bus)
    building = rebuild.Rebuild(
        view, consumer=told.service, store=on.store, bus=bus, ids=on.ids, switch=True
    )
    try:
        async for _ in building.run():
            pass
    except rebuild.Incomplete:
        if told.role == "rebuild":
            raise


async def _unpark(told: Told, on: Infrastructure) -> None:
    service = Service(COMPOSE[told.service](told, on, _UNARMED), on)
    unparking = Unparking(
        told.service,
        handles=service.handles,
        handler=service.handler,
        store=on.store,
        ids=on.ids,
        strict=service.blueprint.strict,
    )
    try:
        if told.role == "retry":
            retried = await unparking.retry(told.subject)
            assert retried.failed is None, retried.reason
        else:
            await unparking.discard(told.subject, reason="crash test", actor="test", whole_key=True)
    except NotParked:
        return  # a life before this one had done it, and died after


async def _republish(told: Told, on: Infrastructure, hook: Hook) -> None:
    """Everything that every service published, to the bus again."""
    stores = {
        name: watch(
            replace(on, store=await PostgresStore.open(told.databases[name], clock=on.clock)),
            name,
            hook,
        ).store
        for name in SUBSCRIPTIONS
    }
    publishers: dict[str, list[str]] = {}
    for topic, publisher in TOPICS.items():
        publishers.setdefault(publisher, []).append(topic)
    await republish(stores, on.bus, on.ids, publishers=publishers, subscriptions=SUBSCRIPTIONS)


# --- the composition roots, with the ports outside watched --------------------------------


def _shared(told: Told) -> dict[str, Any]:
    return {"database_url": told.database, "key_pepper": told.pepper}


def _capture(told: Told, on: Infrastructure, _: Hook) -> Blueprint:
    settings = capture.settings.Settings(
        **_shared(told),
        tracking_token_secret=told.secret,
        public_tracking_url=told.urls["tracking"],
        unpaid_order_ttl_s=told.order_ttl_s,
    )
    return capture.bootstrap.compose(settings, on)


def _inventory(told: Told, on: Infrastructure, _: Hook) -> Blueprint:
    settings = inventory.settings.Settings(**_shared(told), hold_grace_s=0)
    return inventory.bootstrap.compose(settings, on)


def _payment(told: Told, on: Infrastructure, hook: Hook) -> Blueprint:
    settings = payment.settings.Settings(
        **_shared(told),
        gateway_url=told.urls["gateway"],
        gateway_api_key=told.secret,
        gateway_webhook_secret=told.secret,
    )
    gateway = HttpGateway(told.urls["gateway"], told.secret, timeout_s=0.8)
    return payment.bootstrap.assemble(settings, on, watched(gateway, "payment/gateway", hook))


def _fulfillment(told: Told, on: Infrastructure, hook: Hook) -> Blueprint:
    settings = fulfillment.settings.Settings(
        **_shared(told),
        carrier_webhook_secret=told.secret,
        accept_s=1,
        label_grace_s=0,
        track_poll_s=0.3,
        track_poll_s_max=1.0,
    )
    carrier = HttpCarrier(told.urls["carrier"], told.secret, timeout_s=0.8)
    unavailable = fulfillment.ports.CarrierUnavailable
    recipients = HttpRecipients(
        TypeAdapter(fulfillment.ports.Recipient),
        told.urls["capture"],
        told.key,
        on.clock,
        timeout_s=0.6,
        remember_s=60,
    )
    return fulfillment.bootstrap.assemble(
        settings,
        on,
        watched(carrier, "fulfillment/carrier", hook, error=unavailable),
        watched(recipients, "fulfillment/recipients", hook, error=RecipientsUnavailable),
    )


def _notification(told: Told, on: Infrastructure, hook: Hook) -> Blueprint:
    unavailable = notification.ports.ChannelUnavailable
    email = SmtpChannel("127.0.0.1", told.smtp_port, sender="Shop <a@example.com>", timeout_s=0.8)
    text = HttpTextChannel(told.urls["mail"], "sms", timeout_s=0.8)
    channels: dict[str, notification.ports.Channel] = {
        "email": watched(email, "notification/email", hook, error=unavailable),
        "sms": watched(text, "notification/sms", hook, error=unavailable),
    }
    recipients = HttpRecipients(
        TypeAdapter(notification.ports.Recipient),
        told.urls["capture"],
        told.key,
        on.clock,
        timeout_s=0.6,
        remember_s=0,
    )
    settings = notification.settings.Settings(
        **_shared(told), capture_url=told.urls["capture"], capture_key=told.key
    )
    watching = watched(recipients, "notification/recipients", hook, error=RecipientsUnavailable)
    return notification.bootstrap.assemble(on, watching, channels, settings.channels)


def _tracking(told: Told, on: Infrastructure, _: Hook) -> Blueprint:
    return tracking.bootstrap.compose(tracking.settings.Settings(**_shared(told)), on)


COMPOSE: Mapping[str, Callable[[Told, Infrastructure, Hook], Blueprint]] = {
    "capture": _capture,
    "inventory": _inventory,
    "payment": _payment,
    "fulfillment": _fulfillment,
    "notification": _notification,
    "tracking": _tracking,
}

if __name__ == "__main__":
    main()
