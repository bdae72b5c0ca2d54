"""`waybill stop` and `waybill start`: one service stands still while all else goes on."""

import asyncio
from collections.abc import Callable
from time import sleep
from typing import Annotated

import typer

from waybill import children, programs, show, single, state
from waybill import home as homes
from waybill.commands.options import HomeOption
from waybill.failure import NOT_FOUND, UNAVAILABLE, Failure
from waybill_runtime.clock import SystemClock

STOP_TIMEOUT_S = children.STOP_TIMEOUT_S + 10.0
START_TIMEOUT_S = 30.0
POLL_S = 0.1
CLOCK = SystemClock()

ServiceArgument = Annotated[str, typer.Argument(help="A service, as `waybill status` names it.")]


def stop(service: ServiceArgument, home: HomeOption = None) -> None:
    """Stop one service, and leave it stopped until `start` or the next `up`. All else goes on."""
    found = _running(home, service)
    single.ask(found, single.stopped(found) | {service})
    if not _within(STOP_TIMEOUT_S, lambda: _is_stopped(found, service)):
        raise Failure(
            f"{service} did not stop within {STOP_TIMEOUT_S:.0f} s.",
            f"See {found.log('supervisor')}.",
        )
    show.done(f"{service} is stopped; `waybill start {service}` starts it")


def start(service: ServiceArgument, home: HomeOption = None) -> None:
    """Start one service that was stopped, and wait until it is ready."""
    found = _running(home, service)
    single.ask(found, single.stopped(found) - {service})
    wait_ready(found, service)


def wait_ready(home: homes.Home, service: str) -> None:
    """Wait until a service that was asked to start is ready.

    Raises:
        Failure: it is not, and what it says about it.
    """
    if not _within(START_TIMEOUT_S, lambda: _is_ready(home, service)):
        one = state.read(home).programs[service]
        said = one.port and asyncio.run(children.refusal(one.port, one.ready_path))
        raise Failure(
            f"{service} was started, and is not ready after {START_TIMEOUT_S:.0f} s: {said}",
            f"See `waybill doctor` and `waybill logs {service}`.",
            code=UNAVAILABLE,
        )
    show.done(f"{service} ready")


def _is_stopped(home: homes.Home, service: str) -> bool:
    one = state.read(home).programs[service]
    return one.stopped and one.pid is None


def _is_ready(home: homes.Home, service: str) -> bool:
    one = state.read(home).programs[service]
    return one.ready and not one.stopped


def _running(path: HomeOption, service: str) -> homes.Home:
    home = homes.Home.named(path)
    if service not in programs.SERVICES:
        raise Failure(
            f"There is no service {service}.",
            f"There is: {', '.join(programs.SERVICES)}. `waybill down` stops everything.",
            code=NOT_FOUND,
        )
    if not state.is_supervised(home) or state.read(home).phase != "ready":
        raise Failure(
            f"Waybill does not run in {home.path}.", "Run `waybill up`.", code=UNAVAILABLE
        )
    return home


def _within(limit_s: float, holds: Callable[[], bool]) -> bool:
    deadline_s = CLOCK.monotonic_s() + limit_s
    while not holds():
        if CLOCK.monotonic_s() > deadline_s:
            return False
        sleep(POLL_S)
    return True
