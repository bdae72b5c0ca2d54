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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import uvicorn
import uvloop

from crash_roots import COMPOSE
from crash_told import BUS_LEASE_S, IDLE_IN_TRANSACTION_S, JOB_LEASE_S, Act, Arm, Told
from waybill_events.catalogue import SUBSCRIPTIONS, TOPICS
from waybill_runtime import consumer, jobs, lifecycle, logs, rebuild, relay, setback
from waybill_runtime.adapters.postgres import connections
from waybill_runtime.adapters.postgres.bus import PostgresBus
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.bus import Bus, Delivery, Partition
from waybill_runtime.clock import SystemClock
from waybill_runtime.http.auth import KeyRing
from waybill_runtime.ids import RandomIds
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping
from waybill_runtime.republish import republish
from waybill_runtime.service import Service
from waybill_runtime.testing.points import Hook, Point, watch
from waybill_runtime.unpark import NotParked, Unparking


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
        case "retry" | "discard" | "repair":
            await _unpark(told, on)
        case "give_back":
            await _give_back(told, on)
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
    unparking = Service(COMPOSE[told.service](told, on, _UNARMED), on).unparking()
    try:
        if told.role == "retry":
            retried = await unparking.retry(told.subject)
            assert retried.failed is None, retried.reason
        elif told.role == "repair":
            await _repair(told, on, unparking)
        else:
            await unparking.discard(told.subject, reason="crash test", actor="test", whole_key=True)
    except NotParked:
        return  # a life before this one had done it, and died after


async def _repair(told: Told, on: Infrastructure, unparking: Unparking) -> None:
    """Have the first delivery of a parked key taken with the body that it has."""
    async with on.store.reading() as reading:
        parked = await reading.parking.parked(told.service, key=told.subject, limit=1)
    for delivery in parked:
        body = delivery.value.decode()
        await unparking.repair(delivery.position, body, reason="crash test", actor="test")


async def _give_back(told: Told, on: Infrastructure) -> None:
    """Append again what the store has lost and the bus still holds."""
    topics = [topic for topic, publisher in TOPICS.items() if publisher == told.service]
    gone = await setback.lost(on.store, on.bus, topics)
    deciders = COMPOSE[told.service](told, on, _UNARMED).deciders
    await setback.give_back(on.store, on.ids, deciders, gone)


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


if __name__ == "__main__":
    main()
