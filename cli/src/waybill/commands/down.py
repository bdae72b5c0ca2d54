"""`waybill down` and `waybill clean`: stop everything; drop what it kept."""

import signal
import sys
from pathlib import Path
from time import sleep
from typing import Annotated

import typer

from waybill import home as homes
from waybill import room, show, state, supervisor
from waybill.commands.options import HomeOption
from waybill.failure import USAGE, Failure
from waybill_runtime.clock import SystemClock

DOWN_TIMEOUT_S = 120.0
POLL_S = 0.1
RUNS = tuple(Path(f".waybill-{by}") for by in ("chaos", "soak", "prove"))
"""Where runs have their own systems, unless they are told otherwise."""
CLOCK = SystemClock()


def down(home: HomeOption = None) -> None:
    """Stop everything; data stay. Nothing to do when nothing runs."""
    found = homes.Home.named(home)
    if not found.exists():
        show.note(f"Waybill does not run in {found.path}.")
        return
    stopped = _stop(found)
    show.done("stopped; data stay" if stopped else "nothing runs")


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002
    runs: Annotated[  # noqa: FBT002  a flag of the command line
        bool, typer.Option("--runs", help="Drop what chaos, soak and prove left here, too.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Stop everything and drop its data, logs and keys."""
    found = homes.Home.named(home)
    left = [run for run in map(homes.Home, RUNS) if runs and room.made_by(run) is not None]
    doomed = ", ".join(str(one.path) for one in (found, *left) if one.path.exists())
    if not doomed:
        show.note(f"There is no {found.path}.")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise Failure(f"All data in {doomed} would go.", "Say --yes.", code=USAGE)
        typer.confirm(f"Drop all data in {doomed}?", abort=True, err=True)
    if found.exists():
        _stop(found)
    _drop(found)
    for run in left:
        if state.is_supervised(run):
            show.note(f"{run.path} stays: its system runs.")
        else:
            _drop(run)


def _drop(home: homes.Home) -> None:
    if not home.path.exists():
        return
    if home.exists():
        room.drop(home)
    home.drop()
    show.done(f"dropped {home.path}")


def _stop(home: homes.Home) -> bool:
    """Stop the supervisor, then whatever it or a killed one left; whether anything ran."""
    supervised = state.is_supervised(home)
    if supervised:
        _stop_supervisor(home)
    last = state.read(home)
    orphans = supervisor.end_orphans(last)
    for name in orphans:
        show.note(f"{name} was left without a supervisor, and ended")
    if orphans or last.phase not in ("stopped", "failed"):
        state.write(home, state.State(phase="stopped"))
    return supervised or bool(orphans)


def _stop_supervisor(home: homes.Home) -> None:
    process = state.read(home).supervisor.process()
    if process is None:
        raise Failure(
            f"A supervisor holds {home.lock}, but {home.state} does not name it.",
            f"Find it with `fuser {home.lock}` and end it.",
        )
    process.send_signal(signal.SIGTERM)
    deadline_s = CLOCK.monotonic_s() + DOWN_TIMEOUT_S
    with show.err.status("stopping"):
        while state.is_supervised(home):
            if CLOCK.monotonic_s() > deadline_s:
                show.note(f"The supervisor did not stop within {DOWN_TIMEOUT_S:.0f} s: killed.")
                process.kill()
                break
            sleep(POLL_S)
