"""A real PostgreSQL of our own: made once, started on loopback, found again after any crash.

The programs come from a wheel; they run as an unprivileged user, under root too. Nothing here
needs a running event loop, so tests and the supervisor use it alike.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep
from typing import Literal

import psutil

from waybill import home as homes
from waybill import ports
from waybill.embedded import account as accounts
from waybill.embedded import binaries, place, server
from waybill.failure import UNAVAILABLE, Failure
from waybill_runtime.clock import SystemClock

SUPERUSER = "waybill"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 25.0
INITDB_TIMEOUT_S = 120.0
POLL_S = 0.05
CLOCK = SystemClock()
CONNECTIONS_MAX = 300

SETTINGS = {
    "listen_addresses": ports.HOST,
    # A path below home can be longer than a socket's name may be; loopback TCP never is.
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
    "client_connection_check_interval": "500ms",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
    "max_connections": str(CONNECTIONS_MAX),
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
if sys.platform == "linux":
    # After a crash everything is synced before recovery: one call for the file system took 0.5 s
    # where one for each of the thousands of files of our databases took 6 to 16 s.
    SETTINGS["recovery_init_sync_method"] = "syncfs"

STOP_SIGNAL = signal.SIGINT
"""Postgres calls it fast: sessions are ended, data are whole."""

Mode = Literal["smart", "fast", "immediate"]
SIGNALS: dict[Mode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": STOP_SIGNAL,
    "immediate": signal.SIGQUIT,
}


class EmbeddedPostgres:
    """One server whose data lie below `home`, or beside it where its user cannot go there."""

    def __init__(self, home: Path) -> None:
        self._home = homes.Home(home)
        self._home.prepare()
        self._ports = ports.Ports(self._home.path / "ports.json")
        self.account = accounts.unprivileged()
        self.place = place.choose(self.account, self._home)
        self._process: subprocess.Popen[bytes] | None = None
        self._programs: Path | None = None
        self.notes: tuple[str, ...] = ()

    @property
    def room(self) -> Path:
        return self.place / "postgres"

    @property
    def data(self) -> Path:
        return self.room / "data"

    @property
    def log(self) -> Path:
        return self._home.log("postgres")

    @property
    def port(self) -> int:
        """The port it runs on, or ran on last.

        Raises:
            Failure: it was never started.
        """
        known = self._ports.known("postgres")
        if known is None:
            raise Failure("Postgres was never started here.", "Run `waybill up`.")
        return known

    def prepare(self) -> None:
        """Make the data and settings, unless they are there; may be called twice.

        Raises:
            Failure: no user, no place or no programs for it; initdb failed.
        """
        self._programs, copied = binaries.usable(self.account, self.place)
        notes = []
        if self.place != self._home.path:
            notes.append(f"Postgres keeps its data in {self.room}, for its user cannot reach home.")
        if copied:
            notes.append(f"Its programs were copied to {self.place / 'programs'}.")
        self.notes = tuple(notes)
        self.room.mkdir(mode=0o700, exist_ok=True)
        self.account.own(self.room)
        if not (self.data / "PG_VERSION").exists():
            self._init()
        self._write_settings()

    def command(self) -> list[str]:
        """The server's command line, on a port that is free now. Needs prepare()."""
        if self._programs is None:
            raise Failure("Postgres is not prepared.", "Call prepare() first.")
        port = self._ports.take("postgres")
        return [str(self._programs / "postgres"), "-D", str(self.data), "-p", str(port)]

    def start(self) -> None:
        """Answer when the server takes connections; nothing to do when it already does.

        After a kill -9 the server recovers by itself; until the last of its old processes is gone
        it refuses to start, so starting is tried again until the time-out.

        Raises:
            Failure: it did not come up within START_TIMEOUT_S.
        """
        self.prepare()
        deadline_s = CLOCK.monotonic_s() + START_TIMEOUT_S
        while not self.ready():
            if CLOCK.monotonic_s() > deadline_s:
                lines = tuple(self.log.read_text(errors="replace").splitlines()[-12:])
                raise Failure(
                    f"Postgres did not start within {START_TIMEOUT_S:.0f} s.",
                    f"See {self.log}.",
                    code=UNAVAILABLE,
                    lines=lines,
                )
            if self.pid() is None and (self._process is None or self._process.poll() is not None):
                self._process = self.account.spawn(self.command(), log=self.log, cwd=self.room)
            sleep(POLL_S)

    def pid(self) -> int | None:
        """The running server's process id; None when none runs, whatever a stale file says."""
        if self._process is not None:
            self._process.poll()
        lines = self._pid_file()
        if not lines or not lines[0].isdigit():
            return None
        pid = int(lines[0])
        try:
            running = str(self.data) in psutil.Process(pid).cmdline()
        except psutil.Error:
            return None
        return pid if running else None

    def ready(self) -> bool:
        """Whether the server takes connections."""
        lines = self._pid_file()
        return len(lines) > 7 and lines[7].strip() == "ready" and self.pid() is not None

    def stop(self, mode: Mode = "fast") -> None:
        """Stop the server and wait for its end; nothing to do when it does not run.

        Raises:
            Failure: it still ran after STOP_TIMEOUT_S.
        """
        self._signal(SIGNALS[mode])

    def kill(self) -> None:
        """SIGKILL, for tests of what survives it."""
        self._signal(signal.SIGKILL)

    def drop(self) -> None:
        """Delete the data; the server must be stopped."""
        shutil.rmtree(self.room, ignore_errors=True)
        if self.place != self._home.path:
            shutil.rmtree(self.place, ignore_errors=True)

    def dsn(self, database: str = "postgres") -> str:
        """The superuser's way into one database."""
        password = (self.room / "password").read_text().strip()
        return server.dsn(SUPERUSER, password, ports.HOST, self.port, database)

    def create_database(self, name: str, *, owner: str | None = None, password: str = "") -> str:
        """A database that only its owner and the superuser enter; answers the owner's DSN.

        May be called twice; the owner's password is then the latest.
        """
        if owner is None:
            server.create_database(self.dsn(), name)
            return self.dsn(name)
        server.create_database(self.dsn(), name, owner=owner, password=password)
        return server.dsn(owner, password, ports.HOST, self.port, name)

    def _init(self) -> None:
        """Initialise beside the final place: a run cut short leaves nothing half made."""
        draft = self.room / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        file = self.room / "password"
        homes.write_whole(file, secrets.token_urlsafe(24) + "\n", mode=0o600)
        self.account.own(file)
        answer = self.account.run(
            [
                str(self._initdb()),
                *("-D", str(draft), "-U", SUPERUSER, f"--pwfile={file}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            ],
            timeout_s=INITDB_TIMEOUT_S,
        )
        if answer.returncode != 0:
            raise Failure(
                f"initdb failed in {self.room}.",
                "Look whether the disk is full, or set WAYBILL_HOME to another folder.",
                lines=tuple(answer.stderr.splitlines()[-12:]),
            )
        draft.rename(self.data)

    def _initdb(self) -> Path:
        if self._programs is None:
            raise Failure("Postgres is not prepared.", "Call prepare() first.")
        return self._programs / "initdb"

    def _write_settings(self) -> None:
        """Our settings are a file of their own, read after the one that initdb made."""
        main = self.data / "postgresql.conf"
        include = "include 'waybill.conf'\n"
        if include not in main.read_text():
            with main.open("a") as file:
                file.write(include)
        ours = self.data / "waybill.conf"
        text = "".join(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
        homes.write_whole(ours, text, mode=0o600)
        self.account.own(ours)

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid()
        if pid is None:
            return
        running = psutil.Process(pid)
        os.kill(pid, number)
        if self._process is not None and self._process.pid == pid:
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                raise self._stuck(pid) from None
            return
        try:
            running.wait(STOP_TIMEOUT_S)
        except psutil.TimeoutExpired:
            raise self._stuck(pid) from None

    def _stuck(self, pid: int) -> Failure:
        return Failure(
            f"Postgres (pid {pid}) did not stop within {STOP_TIMEOUT_S:.0f} s.", f"See {self.log}."
        )
