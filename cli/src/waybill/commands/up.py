"""`waybill up`: start everything, say when it is ready and where it is."""

import asyncio
import os
import subprocess
from collections.abc import Callable
from time import sleep
from typing import Annotated, Literal

import typer

from waybill import buses, logfiles, ports, programs, show, single, state, supervisor
from waybill import home as homes
from waybill.commands.options import HomeOption
from waybill.commands.stop import wait_ready
from waybill.failure import CONFLICT, UNAVAILABLE, Failure
from waybill_runtime.clock import SystemClock

UP_TIMEOUT_S = 600.0
"""The first start may fetch a JVM and a broker over a slow line."""
POLL_S = 0.1
CLOCK = SystemClock()

BusChoice = Annotated[
    Literal["postgres", "kafka"] | None,
    typer.Option(envvar="BUS", help="What carries events; else what the home has, else postgres."),
]
WarehouseChoice = Annotated[
    Literal["sandbox", "none"],
    typer.Option(envvar="WAREHOUSE", help="Who picks, packs and ships; none leaves it to you."),
]


def up(
    bus: BusChoice = None,
    warehouse: WarehouseChoice = "sandbox",
    foreground: Annotated[  # noqa: FBT002  a flag of the command line
        bool, typer.Option("--foreground", help="Stay, and stop everything on Ctrl-C.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Start the whole system; a second call says that it runs."""
    found = homes.Home.named(home)
    found.prepare()
    settled = buses.settle(found, bus)
    if state.is_supervised(found):
        _already(found, bus or state.read(found).bus, warehouse)
        return
    if foreground:
        code = asyncio.run(supervisor.Supervisor(found, settled, warehouse, show.note).run())
        raise typer.Exit(code)
    begun_s = CLOCK.monotonic_s()
    kept = ports.Ports(found.path / "ports.json")
    before = kept.all()
    last = _launch(found, settled, warehouse)
    took_s = CLOCK.monotonic_s() - begun_s
    show.done(f"{len(last.programs)} programs ready in {took_s:.1f} s, data in {found.path}")
    _urls(found)
    for line in ports.moved(before, kept.all(), load=os.path.relpath(found.dev_env)):
        show.note(line)


def _launch(home: homes.Home, bus: str, warehouse: str) -> state.State:
    """Start the daemon and follow it until it is ready.

    Raises:
        Failure: what the daemon failed with.
    """
    command, env, log = supervisor.command(home, bus, warehouse)
    with log.open("ab") as out:
        daemon = subprocess.Popen(  # noqa: S603  our own command, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=home.path,
            env=env,
            start_new_session=True,
        )
    try:
        with show.err.status("starting") as status:
            return _follow(home, daemon, status.update)
    except KeyboardInterrupt:
        daemon.terminate()
        daemon.wait(UP_TIMEOUT_S)
        raise


def _follow(
    home: homes.Home, daemon: subprocess.Popen[bytes], waiting: Callable[[str], None]
) -> state.State:
    deadline_s = CLOCK.monotonic_s() + UP_TIMEOUT_S
    notes, ready = 0, set[str]()
    while CLOCK.monotonic_s() < deadline_s:
        ended = daemon.poll() is not None
        now = state.read(home)
        if now.supervisor.pid != daemon.pid:
            now = state.State(phase="starting")
        for text in now.notes[notes:]:
            show.note(text)
        notes = max(notes, len(now.notes))
        for name, one in now.programs.items():
            if one.ready and name not in ready:
                ready.add(name)
                show.done(f"{name} ready")
        late = [name for name, one in now.programs.items() if not one.ready]
        waiting("waiting for " + ", ".join(late) if late else "preparing")
        if now.phase == "ready":
            return now
        if ended:
            raise _ended(home, now)
        sleep(POLL_S)
    daemon.terminate()
    raise Failure(f"Not ready after {UP_TIMEOUT_S:.0f} s.", f"See {home.logs}.", code=UNAVAILABLE)


def _ended(home: homes.Home, last: state.State) -> Failure:
    if last.phase == "failed":
        return Failure(last.what, last.remedy, code=last.code, lines=tuple(last.lines))
    return Failure(
        "The supervisor ended before the system was ready.",
        f"Its log is {home.log('supervisor')}.",
        code=UNAVAILABLE,
        lines=tuple(logfiles.tail(home.log("supervisor"), 15)),
    )


def _already(home: homes.Home, bus: str, warehouse: str) -> None:
    now = state.read(home)
    if (now.bus, now.warehouse) != (bus, warehouse):
        raise Failure(
            f"Waybill already runs, with bus {now.bus} and warehouse {now.warehouse}.",
            "Run `waybill down` first.",
            code=CONFLICT,
        )
    show.done(f"Waybill already runs ({now.phase}), data in {home.path}")
    if still := single.stopped(home):
        single.ask(home, ())
    for service in sorted(still):
        wait_ready(home, service)
    if now.phase == "ready":
        _urls(home)


def _urls(home: homes.Home) -> None:
    """The URLs to stdout; the keys stay in dev.env, which only its owner reads."""
    kept = state.read(home).programs
    for name in (*programs.SERVICES, *programs.SANDBOXES, "warehouse"):
        if name in kept:
            show.out.print(f"{name:<13} http://127.0.0.1:{kept[name].port}", markup=False)
    show.note(f"URLs and API keys for your shell: {os.path.relpath(home.dev_env)}")
