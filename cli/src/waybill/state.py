"""What the supervisor tells the other commands, in one file: phase, programs, notes."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import psutil
from pydantic import BaseModel, ValidationError

from waybill import home as homes

Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]
CREATED_TOLERANCE_S = 1.0


class Running(BaseModel):
    """One program as the supervisor sees it."""

    pid: int | None = None
    created: float = 0.0
    port: int | None = None
    ready_path: str | None = None
    ready: bool = False
    stopped: bool = False
    """On purpose, while all else runs."""
    restarts: int = 0
    stage: int = 0
    stop_signal: int = 15

    def process(self) -> psutil.Process | None:
        """The process itself, while it lives; never another one that got its pid."""
        if self.pid is None:
            return None
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < CREATED_TOLERANCE_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


class State(BaseModel):
    """The whole of it; written whole at each change."""

    phase: Phase = "stopped"
    supervisor: Running = Running()
    bus: str = ""
    warehouse: str = ""
    notes: list[str] = []
    programs: dict[str, Running] = {}
    what: str = ""
    remedy: str = ""
    lines: list[str] = []
    code: int = 0

    def orphans(self) -> dict[str, psutil.Process]:
        """Programs that still live; with their supervisor gone, nobody watches them."""
        living = {name: one.process() for name, one in self.programs.items()}
        return {name: process for name, process in living.items() if process is not None}


def read(home: homes.Home) -> State:
    """The last state told; an empty one when there is none."""
    try:
        return State.model_validate(homes.read_json(home.state))
    except ValidationError:
        return State()


def write(home: homes.Home, state: State) -> None:
    homes.write_whole(home.state, state.model_dump_json(indent=1) + "\n")


def born(pid: int) -> float:
    """When a process began, to tell it from a later one with the same pid."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


@contextmanager
def held(home: homes.Home) -> Iterator[bool]:
    """Hold the home's lock as its supervisor does; False when another holds it.

    The system lets go of it when the process ends, however it ends.
    """
    descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def is_supervised(home: homes.Home) -> bool:
    """Whether a supervisor lives."""
    if not home.exists():
        return False
    with held(home) as free:
        return not free
