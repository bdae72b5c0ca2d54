"""Who runs Postgres: it refuses root, so root lends it an unprivileged account."""

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from waybill.failure import Failure

CANDIDATES = ("postgres", "nobody", "daemon")
SHELL_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Account:
    """A user to run programs as; `uid` None is whoever we are."""

    name: str
    uid: int | None = None
    gid: int | None = None

    def spawn(
        self, command: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program of its own session whose output is appended to `log`."""
        with log.open("ab") as out:
            return subprocess.Popen(  # noqa: S603  our own command, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=None if env is None else dict(env),
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else [],
                start_new_session=True,
            )

    def run(
        self, command: Sequence[str], *, timeout_s: float = SHELL_TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end.

        Raises:
            subprocess.TimeoutExpired: it took longer than `timeout_s`.
        """
        return subprocess.run(  # noqa: S603  our own command, no shell
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            cwd="/",
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
        )

    def reaches(self, folder: Path) -> bool:
        """Whether the account can walk to a folder: a parent that only root reads bars it."""
        return self.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]).returncode == 0

    def own(self, path: Path) -> None:
        """Give a file or folder to the account; nothing to do when it is ours."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def unprivileged() -> Account:
    """The account for Postgres: ourselves, or, as root, the first there is of CANDIDATES.

    Raises:
        Failure: root found none of them.
    """
    if os.geteuid() != 0:
        return Account(_own_name())
    for name in CANDIDATES:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, found.pw_uid, found.pw_gid)
    raise Failure(
        f"Postgres does not run as root, and there is no user {' or '.join(CANDIDATES)}.",
        "Add one (`useradd --system postgres`) or run Waybill as an ordinary user.",
    )


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
