"""Loopback ports, free when first taken and the same ever after as long as they stay free."""

import socket
from pathlib import Path

from waybill import home

HOST = "127.0.0.1"
TRIES = 50


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
        found = home.read_json(self._file).get(name)
        return found if isinstance(found, int) else None

    def take(self, name: str) -> int:
        """The port of this name: the remembered one if nobody else has it, else a new one."""
        remembered = self.known(name)
        if remembered is not None and is_free(remembered):
            return remembered
        kept = home.read_json(self._file)
        for _ in range(TRIES):
            with socket.socket() as probe:
                probe.bind((HOST, 0))
                port: int = probe.getsockname()[1]
            if port not in kept.values():
                break
        home.write_json(self._file, {**kept, name: port})
        return port
