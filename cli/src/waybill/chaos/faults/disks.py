"""Postgres' disk full: on a small file system of its own, so that nobody else's fills up.

The file system is a tmpfs of a fixed size, mounted where Postgres keeps its data; only root may
mount one. It outlives kills as a disk does, and not the machine.
"""

import asyncio
import errno
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from waybill.chaos.ground import Ground, NotStruck
from waybill.chaos.plan import Fault
from waybill.failure import USAGE, Failure

BALLAST = "ballast"
STEPS = (64 << 20, 4 << 20, 256 << 10, 4 << 10)
"""Ever smaller pieces, until not even the smallest fits."""


def postgres_room(home: Path) -> Path:
    """Where a home's Postgres keeps its data."""
    return home.absolute() / "postgres"


def mount(home: Path, size_mib: int) -> None:
    """A file system of this size for a home's Postgres; nothing to do when there is one.

    Raises:
        Failure: only root may mount, or the system refuses.
    """
    room = postgres_room(home)
    if room.is_mount():
        return
    room.mkdir(parents=True, exist_ok=True)
    _call("mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=0700", "waybill-chaos", str(room))


def unmount(home: Path) -> None:
    """Let go of it, data and all; nothing to do when there is none."""
    room = postgres_room(home)
    if room.is_mount():
        _call("umount", str(room))


@asynccontextmanager
async def fill(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """Not a byte is left until it heals."""
    room = postgres_room(ground.house.home.path)
    if not room.is_mount():
        raise NotStruck("Postgres has no small file system of its own: --disk gives it one")
    ballast = room / f"{BALLAST}-{fault.number}"
    try:
        taken = await asyncio.to_thread(_fill, ballast)
        if not taken:
            raise NotStruck("there was nothing left to fill")
        yield f"{taken >> 20} MiB of ballast"
    finally:
        with suppress(FileNotFoundError):
            ballast.unlink()


def _fill(ballast: Path) -> int:
    """Take all that is left; answers how much that was."""
    taken = 0
    with ballast.open("wb") as file:
        for step in STEPS:
            while True:
                try:
                    os.posix_fallocate(file.fileno(), taken, step)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    break
                taken += step
    return taken


def _call(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)  # noqa: S603  our own words
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise Failure(
            f"{command[0]} was refused: {said.strip()}", "Only root may.", code=USAGE
        ) from error
