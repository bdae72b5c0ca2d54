"""Where data lies that an unprivileged account must reach, when home is closed to it."""

import os
import stat
from pathlib import Path

from waybill.embedded.account import Account
from waybill.failure import Failure
from waybill.home import Home

ROOMS = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108  the last resort, its owner is checked


def outside(home: Home) -> list[Path]:
    """The folders outside of `home` that may hold its data."""
    return [room / f"waybill-{home.identity()}" for room in ROOMS]


def used(home: Home) -> Path | None:
    """The folder outside of `home` that does hold its data."""
    return next((place for place in outside(home) if place.exists() and _ours(place)), None)


def choose(account: Account, home: Home) -> Path:
    """A folder for the account's data: `home` if it can go there, else one in /var/lib or /var/tmp.

    A place that was used before is used again, so that data does not seem lost when the rights of
    a parent folder change.

    Raises:
        Failure: no place is open to the account.
    """
    before = used(home)
    if before is not None:
        return before
    if account.reaches(home.path):
        return home.path
    for place in outside(home):
        try:
            place.mkdir(mode=0o711, exist_ok=True)
            place.chmod(0o711)
        except OSError:
            continue
        if _ours(place) and account.reaches(place):
            return place
    raise Failure(
        f"The user {account.name}, who runs Postgres, cannot reach {home.path}.",
        "Set WAYBILL_HOME to a folder whose parents others may enter.",
    )


def _ours(place: Path) -> bool:
    """Not a trap that somebody else laid in a folder where everyone may write."""
    status = place.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
