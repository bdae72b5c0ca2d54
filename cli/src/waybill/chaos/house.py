"""The system that chaos runs on: real processes under the real supervisor, in a home of its own.

Its timers are short, and a proxy stands between each service and its stores and partners.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import psutil

from waybill import home as homes
from waybill import ports, programs, state, supervisor, system
from waybill.chaos.proxy import Link
from waybill.failure import UNAVAILABLE, Failure
from waybill_runtime.clock import Clock

TIMERS = {
    "CARRIER_HANG_S": "3",
    "CARRIER_STEP_MS": "20",
    "FULFILLMENT_CARRIER_TIMEOUT_S": "1",
    "FULFILLMENT_LABEL_GRACE_S": "2",
    "FULFILLMENT_TRACK_POLL_S": "1",
    "FULFILLMENT_TRACK_POLL_S_MAX": "4",
    "GATEWAY_EXPIRES_FAST_S": "8",
    "GATEWAY_HANG_S": "3",
    "GATEWAY_PENDING_S": "2",
    "PAYMENT_GATEWAY_TIMEOUT_S": "1",
    "WAREHOUSE_POLL_MS": "100",
    "WAREHOUSE_SWEEP_MS": "1000",
}
UP_TIMEOUT_S = 300.0
DOWN_TIMEOUT_S = 150.0
POLL_S = 0.1
PARTNERS = {"payment": "gateway", "fulfillment": "carrier"}
FOREIGN = ("_PORT", "_URL", "_KEY", "_BOOTSTRAP")
"""Variables of another system, which this one must not hear of."""


class House:
    """One system with its proxies, unless it is to run without. Owed a `close`; its data stay."""

    def __init__(
        self, path: Path, bus: programs.BusName, clock: Clock, *, proxied: bool = True
    ) -> None:
        self.home = homes.Home(path)
        self.bus: programs.BusName = bus
        self.clock = clock
        self.home.prepare()
        self._ports = ports.Ports(self.home.path / "ports.json")
        self.links = {link.name: link for link in self._links()} if proxied else {}
        self._listening = AsyncExitStack()
        self._daemon: subprocess.Popen[bytes] | None = None

    async def open(self) -> None:
        """Let the proxies listen, then start everything; close() is called by the same task.

        Raises:
            Failure: it did not come up.
        """
        for link in self.links.values():
            await self._listening.enter_async_context(link.listening())
        await self.up()

    async def close(self) -> None:
        try:
            await self.down()
        finally:
            await self._listening.aclose()

    async def up(self) -> None:
        """Start the daemon and wait until everything is ready.

        Raises:
            Failure: the daemon ended, or UP_TIMEOUT_S went by.
        """
        through = {name: link.port for name, link in self.links.items()}
        command, _, log = supervisor.command(self.home, self.bus, "sandbox", through)
        with log.open("ab") as out:
            daemon = subprocess.Popen(  # noqa: S603, ASYNC220  our own command; returns at once
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.home.path,
                env=self.environment(),
                start_new_session=True,
            )
        self._daemon = daemon
        deadline_s = self.clock.monotonic_s() + UP_TIMEOUT_S
        while self.clock.monotonic_s() < deadline_s:
            now = state.read(self.home)
            if now.supervisor.pid == daemon.pid and now.phase == "ready":
                return
            if daemon.poll() is not None:
                raise Failure(
                    f"The system did not come up: {now.what}", now.remedy, code=UNAVAILABLE
                )
            await asyncio.sleep(POLL_S)
        raise Failure(f"Not ready after {UP_TIMEOUT_S:.0f} s.", f"See {self.home.logs}.")

    async def down(self) -> None:
        """Stop everything, in order, and wait for its end.

        Raises:
            Failure: the supervisor still ran after DOWN_TIMEOUT_S.
        """
        daemon, self._daemon = self._daemon, None
        if daemon is None:
            return
        daemon.terminate()
        try:
            await asyncio.to_thread(daemon.wait, DOWN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Failure(f"The supervisor (pid {daemon.pid}) does not stop.") from None

    @property
    def system(self) -> system.System:
        """As operators reach it, past the proxies."""
        return system.System(self.home, system.dev_env(self.home.dev_env))

    def dsn(self, database: str) -> str:
        """The superuser's way into a database."""
        return self.system.dsn(database)

    def state(self) -> state.State:
        return state.read(self.home)

    def process(self, name: str) -> psutil.Process | None:
        """A program's process, while it lives."""
        known = self.state().programs.get(name)
        return None if known is None else known.process()

    def signal(self, name: str, number: signal.Signals) -> int | None:
        """Send a program a signal from outside; answers its pid, None when it does not run."""
        process = self.process(name)
        if process is None:
            return None
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return None
        return process.pid

    def unready(self) -> list[str]:
        """The programs that are not ready as the supervisor sees it."""
        return [name for name, one in self.state().programs.items() if not one.ready]

    def take_port(self, name: str) -> int:
        return self._ports.take(name)

    def environment(self) -> Mapping[str, str]:
        """What the daemon and commands on this system are started with."""
        kept = {name: text for name, text in os.environ.items() if not name.endswith(FOREIGN)}
        own = {"BUS": self.bus, "WAREHOUSE": "sandbox", "WAYBILL_HOME": str(self.home.path)}
        return {**kept, **TIMERS, **own}

    def _links(self) -> list[Link]:
        wanted = [(f"{name}.database", "postgres") for name in programs.SERVICES]
        if self.bus == "postgres":
            wanted += [(f"{name}.bus", "postgres") for name in programs.SERVICES]
        wanted += [(f"{name}.{partner}", partner) for name, partner in PARTNERS.items()]
        return [
            Link(name, self._ports.take(f"proxy-{name}"), partial(self._ports.known, upstream))
            for name, upstream in wanted
        ]
