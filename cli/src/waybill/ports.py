"""Loopback ports, free when first taken and the same ever after as long as they stay free."""

import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

from waybill import home
from waybill.failure import CONFLICT, UNAVAILABLE, USAGE, Failure

HOST = "127.0.0.1"
FIRST, LAST = 20_000, 31_999
"""Below the range that outgoing connections are given ports from: while a killed server is away,
no client can sit down on its port."""
TRIES = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


class Ports:
    """Ports by name, remembered in one file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def known(self, name: str) -> int | None:
        return self.all().get(name)

    def all(self) -> dict[str, int]:
        """Every port that was taken here before, by name."""
        kept = home.read_json(self._file)
        return {name: port for name, port in kept.items() if isinstance(port, int)}

    def take(self, name: str) -> int:
        """The port of this name: the remembered one if nobody else has it, else a new one."""
        remembered = self.known(name)
        if remembered is not None and is_free(remembered):
            return remembered
        kept = home.read_json(self._file)
        for _ in range(TRIES):
            port = FIRST + secrets.randbelow(LAST - FIRST + 1)
            if port not in kept.values() and is_free(port):
                home.write_json(self._file, {**kept, name: port})
                return port
        raise Failure(
            f"No free port for {name} between {FIRST} and {LAST}.",
            f"Name one with {variable(name)}.",
            code=UNAVAILABLE,
        )

    def take_named(self, name: str, given: str) -> int:
        """The port that the environment names, which must be free; without one, take().

        Raises:
            Failure: it is no port number, or another program has it.
        """
        if not given:
            return self.take(name)
        if not given.isdigit() or not 0 < int(given) < 65536:
            raise Failure(f"{variable(name)}={given} is no port number.", code=USAGE)
        if not is_free(int(given)):
            raise Failure(
                f"Port {given} ({variable(name)}) is taken{_by(int(given))}.",
                f"Stop that program, or unset {variable(name)} to get a free port.",
                code=CONFLICT,
            )
        home.write_json(self._file, {**home.read_json(self._file), name: int(given)})
        return int(given)


def variable(name: str) -> str:
    """The environment variable that names a program's port."""
    return f"{name.upper().replace('-', '_')}_PORT"


def moved(
    before: Mapping[str, int], after: Mapping[str, int], *, load: str = "dev.env"
) -> list[str]:
    """A line for each program that somebody else kept from its port; `load` has the new one.

    One that the environment moved is on the port that its user knows, and is not told.
    """
    return [
        f"port {was} is taken: {name} is at {after[name]} now; load {load} again"
        for name, was in before.items()
        if after.get(name, was) != was and not os.environ.get(variable(name))
    ]


def _by(port: int) -> str:
    """Who listens there, where the system tells us."""
    try:
        found = psutil.net_connections("tcp")
    except psutil.Error:
        return " by another program"
    for one in found:
        if one.pid and one.laddr and one.laddr.port == port and one.status == psutil.CONN_LISTEN:
            try:
                return f" by {psutil.Process(one.pid).name()} (pid {one.pid})"
            except psutil.Error:
                break
    return " by another program"
