"""The folder of a run that starts a system of its own: chaos, soak, prove.

A marker names who made it. Nobody else's system is ever taken or dropped, and a run's own only
when its caller says so: what a failed run left is what there is to look at.
"""

import os
import shutil
from pathlib import Path

from waybill import buses, state, supervisor
from waybill import home as homes
from waybill.embedded import docker, place
from waybill.failure import CONFLICT, USAGE, Failure
from waybill.programs import BusName

MADE_BY = "made-by"


def take(
    path: Path,
    by: str,
    bus: BusName,
    *,
    resume: bool = False,
    anew: bool = False,
    disk: int = 0,
) -> None:
    """Make the folder of a run: new, or with `resume` as it is, or with `anew` after dropping it.

    `by` is the command that asks; `disk` gives Postgres a file system of so many MiB.

    Raises:
        Failure: a system runs there, it is not this command's, or nobody said what to do with it.
    """
    home = homes.Home(path)
    if disk and os.geteuid() != 0:
        raise Failure("--disk mounts a file system.", "Only root may.", code=USAGE)
    if resume and anew:
        raise Failure("--resume keeps what --anew drops.", "Say one of them.", code=USAGE)
    if home.exists():
        _look(home, by, resume=resume, anew=anew)
        if anew:
            drop(home)
        else:
            buses.settle(home, bus)
    home.prepare()
    homes.write_whole(home.path / MADE_BY, by + "\n")
    if disk:
        from waybill.chaos.faults import disks

        disks.mount(path, disk)


def _look(home: homes.Home, by: str, *, resume: bool, anew: bool) -> None:
    """Refuse a home that is not to be touched, or not without a word."""
    if state.is_supervised(home):
        raise Failure(
            f"A system runs in {home.path}.",
            f"Let its run end, stop it with `waybill down --home {home.path}`, or name another"
            " --home.",
            code=CONFLICT,
        )
    if made_by(home) != by:
        raise Failure(
            f"{home.path} holds a system that `waybill {by}` did not make.",
            "It is left as it is: name another --home, empty or new.",
            code=CONFLICT,
        )
    if not (resume or anew):
        further = (
            "--resume goes on upon it, --anew drops it" if by == "chaos" else "--anew drops it"
        )
        raise Failure(
            f"{home.path} holds an earlier run.",
            f"{further}; or name another --home.",
            code=CONFLICT,
        )


def made_by(home: homes.Home) -> str | None:
    """The command that made this home for a run; None when it is somebody's system."""
    try:
        return (home.path / MADE_BY).read_text().strip()
    except OSError:
        return None


def drop(home: homes.Home) -> None:
    """Drop a stopped home with all that belongs to it and lies elsewhere."""
    from waybill.chaos.faults import disks

    supervisor.end_orphans(state.read(home))
    disks.unmount(home.path)
    elsewhere = place.used(home)
    if elsewhere is not None:
        shutil.rmtree(elsewhere)
    docker.drop_volume(f"waybill-kafka-{home.identity()}")
    home.drop()
