"""A whole Waybill of real processes, started by the real runner in a folder of its own.

Its timers are short, its robot warehouse serves `main` alone: what lies at `hand` is worked by
the tests themselves, through the warehouse API.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from waybill import home as homes
from waybill import ledger, ports, programs, state, system

MAIN = "main"
HAND = "hand"
SETTINGS = {
    "CARRIER_STEP_MS": "20",
    "FULFILLMENT_LABEL_GRACE_S": "2",
    "FULFILLMENT_TRACK_POLL_S": "0.5",
    "FULFILLMENT_TRACK_POLL_S_MAX": "2",
    "GATEWAY_EXPIRES_FAST_S": "8",
    "GATEWAY_HANG_S": "3",
    "GATEWAY_PENDING_S": "4",
    "INVENTORY_LOCATION_PRIORITIES": f"{MAIN}=1,{HAND}=2",
    "PAYMENT_GATEWAY_TIMEOUT_S": "1",
    "WAREHOUSE_LOCATION": MAIN,
    "WAREHOUSE_POLL_MS": "50",
    "WAREHOUSE_SWEEP_MS": "500",
}
"""Of a kill and its restart no timer here may know: the machine may be slow."""

COMMAND_TIMEOUT_S = 600.0
BACK_TIMEOUT_S = 180.0
POLL_S = 0.05


class DidNotStart(Exception):
    """`waybill up` ended with an error; its last words are the message."""


class Application:
    """One running system. Owed a `stop`, which ends and deletes only what is its own."""

    def __init__(self, bus: str, folder: Path) -> None:
        self.bus = bus
        self.home = homes.Home(folder)
        self._numbers = itertools.count(1)

    @classmethod
    def start(cls, bus: str) -> "Application":
        """Bring up a system.

        Raises:
            DidNotStart: it did not come up; nothing of it is left.
        """
        folder = Path(tempfile.mkdtemp(prefix=f"waybill-e2e-{bus}-"))
        folder.chmod(0o711)
        made = cls(bus, folder)
        try:
            answer = made.waybill("up")
            if answer.returncode:
                raise DidNotStart(answer.stderr)
        except BaseException:
            made.stop()
            raise
        return made

    def stop(self) -> None:
        self.waybill("clean", "--yes")
        shutil.rmtree(self.home.path, ignore_errors=True)

    def waybill(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this system, and wait for its end."""
        return subprocess.run(
            [*programs.python("waybill"), *arguments],
            env=self._environment(),
            cwd=self.home.path,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    @property
    def values(self) -> Mapping[str, str]:
        """URLs and keys, as `dev.env` has them."""
        return system.dev_env(self.home.dev_env)

    def secret(self, name: str) -> str:
        return programs.Secrets(self.home).get(name)

    def key(self, name: str) -> str:
        return programs.Secrets(self.home).api_key(name)

    def unique(self, word: str) -> str:
        """A name that no other test of this system uses."""
        return f"{word}-{next(self._numbers)}"

    def ledger(self) -> ledger.Ledger:
        """A client's own ledger, for the audit."""
        name = self.unique("client")
        return ledger.Ledger(self.home.path / "ledger" / f"{name}.jsonl")

    def pid(self, name: str) -> int:
        found = state.read(self.home).programs[name].pid
        assert found is not None, f"{name} is not running"
        return found

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> Callable[[], bool]:
        """End a program from outside; answers how to ask whether its successor is ready."""
        before = self.pid(name)
        os.kill(before, number)

        def is_back() -> bool:
            now = state.read(self.home).programs[name]
            return now.ready and now.pid not in (None, before)

        return is_back

    def kill_and_wait(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a program and wait until the supervisor has its successor ready."""
        is_back = self.kill(name, number)
        deadline_s = time.monotonic() + BACK_TIMEOUT_S
        while not is_back():
            assert time.monotonic() < deadline_s, f"{name} did not come back"
            time.sleep(POLL_S)

    @contextmanager
    def replica(self, name: str, role: str, **changes: str) -> Iterator[str]:
        """One more process of a service on the same stores, told other things; answers its URL."""
        prefix = f"{name.upper()}_"
        port = ports.Ports(self.home.path / "ports.json").take(self.unique(f"{name}-replica"))
        env = psutil.Process(self.pid(name)).environ()
        env |= {f"{prefix}PORT": str(port)} | {prefix + key: text for key, text in changes.items()}
        with self.home.log(f"{name}-replica").open("ab") as log:
            process = subprocess.Popen(
                [*programs.python(name), "--role", role],
                env=env,
                cwd=self.home.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            url = f"http://{ports.HOST}:{port}"
            self._wait_ready(process, url)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_ready(self, process: subprocess.Popen[bytes], url: str) -> None:
        import httpx

        deadline_s = time.monotonic() + BACK_TIMEOUT_S
        with httpx.Client(trust_env=False) as http:
            while time.monotonic() < deadline_s:
                assert process.poll() is None, f"the replica at {url} ended"
                try:
                    if http.get(f"{url}/readyz").status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(POLL_S)
        raise AssertionError(f"the replica at {url} is not ready")

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.endswith(("_PORT", "_URL", "_KEY", "_BOOTSTRAP"))
        }
        return {
            **kept,
            **SETTINGS,
            "BUS": self.bus,
            "WAREHOUSE": "sandbox",
            "WAYBILL_HOME": str(self.home.path),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
        }
