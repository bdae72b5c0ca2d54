"""A fault counts for what it did: one that is emptied, or meets nothing, has not struck."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import psutil
import pytest

from waybill import ports, programs
from waybill.chaos import kinds
from waybill.chaos.faults import disks, links, messages, partners, processes, replicas
from waybill.chaos.ground import Ground, NotStruck, Strike
from waybill.chaos.plan import Fault
from waybill.chaos.proxy import Link
from waybill_runtime.bus import Message
from waybill_runtime.clock import SystemClock
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import LEASE_S
from waybill_runtime.testing.world import World, simulate


async def nothing(*_: object) -> None:
    await asyncio.sleep(0)


def ground(**house: Any) -> Ground:
    """A ground whose house has so much alone."""
    clock = house.pop("clock", SystemClock())
    http = house.pop("http", None)
    load = SimpleNamespace(recent=house.pop("recent", []))
    recovery = SimpleNamespace(killed=lambda *_, **__: None, work_of=nothing)
    return Ground(
        cast("Any", SimpleNamespace(**house)),
        cast("Any", load),
        cast("Any", recovery),
        cast("Any", http),
        clock,
    )


def fault(kind: str, target: str, seed: int = 1) -> Fault:
    return Fault(number=7, at_s=0.0, kind=kind, target=target, lasts_s=0.0, seed=seed)


async def struck(strike: Strike, on: Ground, what: Fault, meanwhile: Any = None) -> str:
    """Strike and heal, and something meanwhile; raises NotStruck as the conductor would see it."""
    async with strike(on, what) as note:
        if meanwhile is not None:
            await meanwhile()
    return note


# --- links


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[Ground, Link, Any]]:
    """A link to an echo, with one connection; the last is to send over it and be answered."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, ports.HOST, 0)
    free = await asyncio.start_server(echo, ports.HOST, 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    link = Link("x.database", port, lambda: server.sockets[0].getsockname()[1])
    async with link.listening():
        reader, writer = await asyncio.open_connection(ports.HOST, link.port)

        async def speak(within_s: float = 5.0) -> None:
            writer.write(b"x")
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.readexactly(1), within_s)

        await speak()
        yield ground(links={link.name: link}), link, speak
        writer.close()
    server.close()


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_black_hole_has_struck_once_something_was_held_back(seed: int) -> None:
    async with linked() as (on, _, speak):
        what = fault("database-black-hole", "x.database", seed)
        await struck(links.black_hole, on, what, lambda: speak(0.1))


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_black_hole_that_nothing_came_by_has_not_struck(seed: int) -> None:
    async with linked() as (on, _, _):
        with pytest.raises(NotStruck, match="nothing came"):
            await struck(links.black_hole, on, fault("database-black-hole", "x.database", seed))


async def test_a_black_hole_that_hears_has_not_struck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Link, "is_deaf", lambda *_: False)
    async with linked() as (on, _, speak):
        with pytest.raises(NotStruck, match="nothing came"):
            await struck(links.black_hole, on, fault("black-hole", "x.database"), speak)


async def test_a_line_is_slow_once_something_came_late() -> None:
    async with linked() as (on, _, speak):
        what = fault("database-slow", "x.database")
        await struck(links.slow, on, what, speak)
        with pytest.raises(NotStruck, match="nothing went"):
            await struck(links.slow, on, what)


async def test_a_cut_has_struck_once_it_reset_or_refused_something() -> None:
    async with linked() as (on, link, _):
        what = fault("database-cut", "x.database")
        assert await struck(links.cut, on, what) == "1 connections reset"

        async def ask() -> None:
            reader, writer = await asyncio.open_connection(ports.HOST, link.port)
            with suppress(ConnectionError):
                await reader.read()
            writer.close()

        assert await struck(links.cut, on, what, ask) == "0 connections reset"
        with pytest.raises(NotStruck, match="had no connection"):
            await struck(links.cut, on, what)


# --- processes


@asynccontextmanager
async def program(code: str = "import time; time.sleep(60)") -> AsyncIterator[Ground]:
    """A ground with one real program by every name."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    process = psutil.Process(child.pid)
    known = SimpleNamespace(ready=True, process=lambda: process)
    state = SimpleNamespace(programs=dict.fromkeys(("capture", "postgres", "kafka"), known))
    try:
        yield ground(state=lambda: state)
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


KILLS: Mapping[str, Strike] = {
    "service-kill": processes.kill,
    "service-stop": processes.stop,
    "postgres-kill": processes.stop_postgres,
    "broker-kill": processes.restart_broker,
    "broker-stop": processes.restart_broker,
}


@pytest.mark.parametrize("kind", KILLS)
async def test_a_kill_has_struck_once_the_process_has_ended(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = {"broker": "kafka", "postgres": "postgres"}.get(kind.partition("-")[0], "capture")
    async with program() as on:
        await struck(KILLS[kind], on, fault(kind, target))
    monkeypatch.setattr(psutil.Process, "send_signal", lambda *_: None)
    monkeypatch.setattr(Ground.see, "__defaults__", (0.2,))
    async with program() as on:
        with pytest.raises(NotStruck, match="after its signal"):
            await struck(KILLS[kind], on, fault(kind, target))


PAUSES: Mapping[str, Strike] = {
    "capture": processes.pause,
    "postgres": processes.pause_postgres,
}


@pytest.mark.parametrize("target", PAUSES)
async def test_a_pause_has_struck_once_the_process_stands_still_and_lets_it_go_on(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with program() as on:
        process = await on.process(target)

        async def look() -> None:
            assert process.status() == psutil.STATUS_STOPPED

        await struck(PAUSES[target], on, fault("pause", target), look)
        await on.see(process, {psutil.STATUS_SLEEPING, psutil.STATUS_RUNNING})
        monkeypatch.setattr(psutil.Process, "send_signal", lambda *_: None)
        monkeypatch.setattr(processes, "STANDS_WITHIN_S", 0.2)
        with pytest.raises(NotStruck, match="after its signal"):
            await struck(PAUSES[target], on, fault("pause", target))


def test_a_pause_outlasts_a_jobs_lease_now_and_then() -> None:
    low_s, high_s = kinds.on("postgres")["service-pause"].kind.lasts_s
    assert low_s < LEASE_S < high_s


async def test_a_replica_that_does_not_come_up_has_not_struck(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def silent(*_: object) -> bool:
        await asyncio.sleep(0)
        return False

    monkeypatch.setattr(programs, "python", lambda _: [sys.executable, "-c", "raise SystemExit(3)"])
    monkeypatch.setattr(replicas, "answers", silent)
    async with program() as on:
        house = cast("Any", on.house)
        house.take_port = lambda _: 1
        house.home = SimpleNamespace(path=tmp_path, log=lambda _: tmp_path / "log")
        with pytest.raises(NotStruck, match="not ready"):
            await struck(replicas.add, on, fault("replica", "capture"))


async def test_a_disk_is_full_once_something_was_taken_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on = ground(home=SimpleNamespace(path=tmp_path))
    monkeypatch.setattr(Path, "is_mount", lambda _: True)
    monkeypatch.setattr(disks, "_fill", lambda _: 1 << 20)
    assert await struck(disks.fill, on, fault("disk-full", "postgres")) == "1 MiB of ballast"
    monkeypatch.setattr(disks, "_fill", lambda _: 0)
    with pytest.raises(NotStruck, match="nothing left"):
        await struck(disks.fill, on, fault("disk-full", "postgres"))


# --- messages


class OnBus:
    """A ground on the memory bus, with some messages on it."""

    def __init__(self) -> None:
        self.world = World()
        self.on = self.world.infrastructure("capture")
        system = SimpleNamespace(connect=self.connect)
        recent = [SimpleNamespace(order_id="ord_1")]
        self.ground = ground(system=system, clock=self.world.clock, recent=recent)

    @asynccontextmanager
    async def connect(self, _: str) -> AsyncIterator[Infrastructure]:
        yield self.on

    async def fill(self) -> None:
        await self.on.bus.ensure_topics(["orders"])
        producer = await self.on.bus.producer()
        await producer.send([Message("orders", "ord_1", b"%d" % n) for n in range(9)])

    async def count(self) -> int:
        bounds = await self.on.bus.bounds(["orders"])
        return sum(end - first for first, end in bounds.values())


SENDS: Mapping[str, Strike] = {"duplicates": messages.republish, "poison": messages.poison}


@pytest.mark.parametrize("kind", SENDS)
def test_what_is_sent_has_struck_once_it_stands_on_the_bus(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> tuple[str, int]:
        what = OnBus()
        await what.fill()
        note = await struck(SENDS[kind], what.ground, fault(kind, "orders"))
        return note, await what.count()

    note, count = simulate(1, run())
    assert count == 9 + (int(note.split()[0]) if kind == "duplicates" else 1)
    monkeypatch.setattr(messages, "_send", nothing)
    with pytest.raises(NotStruck, match="did not reach the bus"):
        simulate(1, run())


def test_a_poison_is_repaired_though_nobody_saw_it_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been written all the same."""

    async def run() -> Ground:
        what = OnBus()
        await what.fill()
        monkeypatch.setattr(messages, "_send", nothing)
        with suppress(NotStruck):
            await struck(messages.poison, what.ground, fault("poison", "orders"))
        return what.ground

    found = simulate(1, run())
    assert found.poisoned.is_set()
    assert [one["key"] for one in found.planted] == ["ord_1"]


@pytest.mark.parametrize("moves", [True, False])
async def test_a_rewind_has_struck_once_a_position_stands_lower(
    moves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands = {"topic": "orders", "number": 3, "next_offset": 50}

    async def ask(_: Ground, database: str, statement: str, *arguments: Any) -> list[Any]:
        await asyncio.sleep(0)
        assert database == "capture"
        if statement.startswith("UPDATE"):
            stands["next_offset"] -= arguments[0] * moves
        return [dict(stands)]

    monkeypatch.setattr(messages, "_ask", ask)
    async with program() as on:
        if moves:
            note = await struck(messages.rewind, on, fault("rewind", "capture"))
            assert note.startswith("1 positions")
        else:
            with pytest.raises(NotStruck, match="no position"):
                await struck(messages.rewind, on, fault("rewind", "capture"))


async def test_sessions_are_ended_once_there_were_some(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[dict[str, bool]] = [{"ended": False}]

    async def ask(*_: object) -> list[dict[str, bool]]:
        await asyncio.sleep(0)
        return ended

    monkeypatch.setattr(messages, "_ask", ask)
    with pytest.raises(NotStruck, match="nobody"):
        await struck(messages.cut_bus, ground(), fault("bus-sessions-ended", "bus"))
    ended.append({"ended": True})
    await struck(messages.cut_bus, ground(), fault("bus-sessions-ended", "bus"))


# --- partners


class Partner:
    """Counts its lies as the sandboxes do. `obeys`: lies as it is told to."""

    def __init__(self, *, obeys: bool = True) -> None:
        self.lies: dict[str, float] = {}
        self.struck: dict[str, int] = dict.fromkeys(partners.LIES["carrier"], 0)
        self._obeys = obeys

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"faults": self.lies, "struck": self.struck})
        if self._obeys:
            self.lies = json.loads(request.content)
        return httpx.Response(200, json=self.lies)

    async def asked(self) -> None:
        await asyncio.sleep(0)
        self.struck |= {name: self.struck[name] + 1 for name in self.lies}

    async def restarted(self) -> None:
        await self.asked()
        self.struck = dict.fromkeys(self.struck, 0)


async def lied(partner: Partner, meanwhile: Any = None) -> None:
    system = SimpleNamespace(values={"CARRIER_URL": "http://carrier"})
    async with httpx.AsyncClient(transport=httpx.MockTransport(partner)) as http:
        on = ground(system=system, http=http)
        await struck(partners.lie, on, fault("partner-lies", "carrier"), meanwhile)
    assert partner.lies == {}


async def test_a_lie_has_struck_once_somebody_heard_it() -> None:
    partner = Partner()
    await lied(partner, partner.asked)
    with pytest.raises(NotStruck, match="nothing that it lied about"):
        await lied(partner)
    with pytest.raises(NotStruck, match="nothing that it lied about"):
        await lied(partner, partner.restarted)
    with pytest.raises(NotStruck, match="as it was told to"):
        await lied(Partner(obeys=False))
