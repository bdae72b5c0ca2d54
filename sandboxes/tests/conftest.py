"""Starts sandboxes as their own processes on free ports, and receives what they tell."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

START_WITHIN_S = 20.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Program:
    process: subprocess.Popen[bytes]
    http: httpx.Client

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=15)


@contextlib.contextmanager
def _running(name: str, **settings: object) -> Iterator[Program]:
    """Run `python -m waybill_sandboxes.<name>` with `<NAME>_<SETTING>` for each setting."""
    prefix = name.upper()
    port = _free_port()
    env = {one: value for one, value in os.environ.items() if not one.startswith(prefix)}
    for one, value in {"port": port, **settings}.items():
        env[f"{prefix}_{one.upper()}"] = str(value)
    process = subprocess.Popen([sys.executable, "-m", f"waybill_sandboxes.{name}"], env=env)
    headers = {"Authorization": f"Bearer {settings.get('api_key')}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as http:
            _await_life(process, http)
            yield Program(process, http)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _await_life(process: subprocess.Popen[bytes], http: httpx.Client) -> None:
    give_up = time.monotonic() + START_WITHIN_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise AssertionError(f"it stopped with {process.returncode} instead of starting")
        with contextlib.suppress(httpx.TransportError):
            if http.get("/livez").status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError("it did not answer /livez in time")


@dataclass
class Receiver:
    """An HTTP server that keeps what was posted to it, and answers the statuses it was given."""

    url: str
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def wait_for(self, count: int, within_s: float = 15.0) -> list[tuple[dict[str, str], bytes]]:
        self._wait(lambda: len(self.received), count, within_s)
        return self.received

    def wait_for_messages(self, count: int, within_s: float = 15.0) -> None:
        """Wait for `count` messages that differ: one that is told again after a kill is one."""
        self._wait(lambda: len({h["webhook-id"] for h, _ in self.received}), count, within_s)

    def _wait(self, came: Callable[[], int], count: int, within_s: float) -> None:
        give_up = time.monotonic() + within_s
        while came() < count and time.monotonic() < give_up:
            time.sleep(0.02)
        assert came() >= count, f"{came()} of {count} callbacks came"


@contextlib.contextmanager
def _receiving() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/callbacks")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def run_sandbox() -> Callable[..., contextlib.AbstractContextManager[Program]]:
    return _running


@pytest.fixture
def free_port() -> Callable[[], int]:
    return _free_port


@pytest.fixture(name="receiver")
def _receiver() -> Iterator[Receiver]:
    with _receiving() as one:
        yield one


@pytest.fixture
def readme() -> str:
    return (Path(__file__).parent.parent / "README.md").read_text()
