"""A whole system whose services may die at any moment: real Postgres, real sandboxes, real deaths.

Six services run as children of a zygote on one Postgres; gateway, carrier and mail sink are the
sandbox programs. Whoever drives a case asks for a life, arms it, and is told when it has ended.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
import psutil

from crash_told import Arm, Told
from waybill import ports, programs
from waybill_events.catalogue import TOPICS
from waybill_runtime.adapters.postgres import migrate
from waybill_runtime.adapters.postgres.bus import PostgresBus
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.clock import SystemClock
from waybill_runtime.http.auth import ROLES, KeyRing
from waybill_runtime.ids import RandomIds

KEY = "wb_crash_everything"
PEPPER = "pepper"
SECRET = "secret of a test"
HEADERS = {"Authorization": f"Bearer {KEY}"}
UP_S = 40.0
LOOK_S = 0.1
ANSWER_S = 3.0
SHORT_ORDERS = "capture-short"
"""A second API of capture, whose orders expire within a second."""

T = TypeVar("T")


@dataclass(slots=True)
class Life:
    """One process of one service, from its fork to its death."""

    service: str
    pid: int
    port: int

    @property
    def url(self) -> str:
        return f"http://{ports.HOST}:{self.port}"

    def is_dead(self) -> bool:
        """Gone, or about to be: the kernel has taken its memory back."""
        try:
            return psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def is_stopped(self) -> bool:
        try:
            return psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False

    def ports_in_use(self) -> set[int]:
        """Our ends of its connections."""
        found = psutil.Process(self.pid).net_connections(kind="inet")
        return {connection.laddr.port for connection in found if connection.raddr}

    def kill(self) -> None:
        if not self.is_dead():
            os.kill(self.pid, signal.SIGKILL)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


async def until(what: str, ask: Callable[[], Awaitable[T | None]], within_s: float) -> T:
    """Ask until the answer is something.

    Raises:
        TimeoutError: it never was.
    """
    try:
        async with asyncio.timeout(within_s):
            while True:
                if (answer := await ask()) is not None:
                    return answer
                await asyncio.sleep(LOOK_S)
    except TimeoutError as error:
        raise TimeoutError(f"{what}: not within {within_s:g} s") from error


@dataclass(slots=True)
class System:
    """Everything that runs, and the ways to it. `lives` are those that are to serve."""

    databases: Mapping[str, str]
    superuser: str
    scratch: Path
    urls: dict[str, str]
    smtp_port: int
    taken: ports.Ports
    http: httpx.AsyncClient
    bus: PostgresBus
    lives: dict[str, Life] = field(default_factory=dict)
    stand_ins: dict[str, str] = field(default_factory=dict)
    """Where clients go instead, while the process of a service stands still."""
    _zygote: asyncio.subprocess.Process | None = None
    _forking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _sandboxes: list[asyncio.subprocess.Process] = field(default_factory=list)

    def front(self, service: str) -> str:
        """Where clients find a service, as a load balancer would tell them."""
        return self.stand_ins.get(service, self.urls[service])

    async def fork(
        self,
        service: str,
        *,
        role: str = "service",
        port: int = 0,
        arms: Sequence[Arm] = (),
        **more: Any,
    ) -> Life:
        """A new process. It is not waited for."""
        told = Told.model_validate(
            {
                "role": role,
                "service": service,
                "databases": self.databases,
                "bus": self.databases["bus"],
                "pepper": PEPPER,
                "key": KEY,
                "port": port,
                "urls": self.urls,
                "smtp_port": self.smtp_port,
                "secret": SECRET,
                "log": str(self.scratch / f"{service}.log"),
                "fired": str(self.scratch / f"{service}.fired"),
                "arms": arms,
                **more,
            }
        )
        zygote = self._zygote
        assert zygote is not None
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        async with self._forking:
            zygote.stdin.write(told.model_dump_json().encode() + b"\n")
            await zygote.stdin.drain()
            pid = int(await zygote.stdout.readline())
        return Life(service, pid, port)

    async def start(self, service: str, arms: Sequence[Arm] = ()) -> Life:
        """The service itself, on its own port; its life before must have ended."""
        life = await self.fork(service, port=self.taken.all()[service], arms=arms)
        self.lives[service] = life
        return life

    async def up(self, life: Life) -> bool:
        """Wait until it answers; False when it died first."""

        async def answers() -> bool | None:
            if life.is_dead():
                return False
            try:
                answer = await self.http.get(f"{life.url}/livez", timeout=ANSWER_S)
            except httpx.TransportError:
                return None
            return True if answer.is_success else None

        return await until(f"{life.service} is up", answers, UP_S)

    async def arm(self, life: Life, arms: Sequence[Arm]) -> None:
        told = [arm.model_dump() for arm in arms]
        answer = await self.http.put(f"{life.url}/crash/arms", json=told, timeout=UP_S)
        assert answer.is_success, answer.text

    def fired(self, service: str) -> list[str]:
        """What the arms of a service have ever done: written before it was done."""
        file = self.scratch / f"{service}.fired"
        return file.read_text().splitlines() if file.exists() else []

    async def cut_leaderships(self, life: Life) -> None:
        """Let the server lose the sessions that hold a process's leaderships."""
        local = sorted(life.ports_in_use())
        connection = await asyncpg.connect(self.superuser)
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE '%leadership' AND client_port = ANY($1::int[])",
                local,
            )
        finally:
            await connection.close()

    async def begin(self) -> None:
        """Schemas, keys, topics, sandboxes, zygote, services."""
        for name in programs.SERVICES:  # one after another: alembic keeps its context in globals
            await self._prepare(name)
        await self.bus.ensure_topics(sorted(TOPICS))
        for name in programs.SANDBOXES:
            await self._sandbox(name)
        self._zygote = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("crash_victim.py")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        lives = [await self.start(name) for name in programs.SERVICES]
        port = self.taken.all()[SHORT_ORDERS]
        lives.append(await self.fork("capture", role="api", port=port, order_ttl_s=1))
        for life in lives:
            assert await self.up(life), f"{life.service} did not come up"

    async def _prepare(self, name: str) -> None:
        await migrate.upgrade(self.databases[name])
        store = await PostgresStore.open(self.databases[name], clock=SystemClock())
        scopes = {scope for role in ROLES.values() for scope in role}
        try:
            await KeyRing(store, SystemClock(), PEPPER).add(KEY, name="all", scopes=scopes)
        finally:
            await store.close()

    async def _sandbox(self, name: str) -> None:
        fields = {"PORT": str(self.taken.all()[name]), "DATA_DIR": str(self.scratch / name)}
        match name:
            case "gateway":
                callback = self.urls["payment"] + programs.GATEWAY_CALLBACK
                fields |= {"PENDING_S": "2.5", "EXPIRES_FAST_S": "1.0", "HANG_S": "2.0"}
                fields |= {"CALLBACK_URL": callback, "API_KEY": SECRET, "WEBHOOK_SECRET": SECRET}
            case "carrier":
                callback = self.urls["fulfillment"] + programs.CARRIER_CALLBACK
                fields |= {"STEP_MS": "50", "HANG_S": "2.0"}
                fields |= {"CALLBACK_URL": callback, "API_KEY": SECRET, "WEBHOOK_SECRET": SECRET}
            case _:
                fields |= {"SMTP_PORT": str(self.smtp_port)}
        env = {f"{name.upper()}_{key}": value for key, value in fields.items()}
        (self.scratch / name).mkdir(exist_ok=True)
        with (self.scratch / f"sandbox-{name}.log").open("ab") as log:
            self._sandboxes.append(
                await asyncio.create_subprocess_exec(
                    *programs.python(f"waybill_sandboxes.{name}"),
                    env=os.environ | env,
                    stdout=log,
                    stderr=log,
                )
            )

    async def end(self) -> None:
        """Stop everything that was started here."""
        if self._zygote is not None and self._zygote.stdin is not None:
            self._zygote.stdin.close()
            await self._zygote.wait()
        for sandbox in self._sandboxes:
            sandbox.terminate()
            await sandbox.wait()
        await self.bus.close()
        await self.http.aclose()


def make(databases: Mapping[str, str], superuser: str, scratch: Path) -> System:
    """A system that has not begun; `databases` by service, and `bus`."""
    scratch.mkdir(parents=True, exist_ok=True)
    taken = ports.Ports(scratch / "ports.json")
    names = [*programs.port_names("none"), SHORT_ORDERS, *(f"{n}-2" for n in programs.SERVICES)]
    numbers = {name: taken.take(name) for name in names}
    clock = SystemClock()
    return System(
        databases=databases,
        superuser=superuser,
        scratch=scratch,
        urls={name: f"http://{ports.HOST}:{port}" for name, port in numbers.items()},
        smtp_port=numbers["mail-smtp"],
        taken=taken,
        http=httpx.AsyncClient(headers=HEADERS, trust_env=False, timeout=ANSWER_S),
        bus=PostgresBus(databases["bus"], clock, RandomIds(clock)),
    )


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()
