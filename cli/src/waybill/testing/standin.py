"""Programs that stand in for services and sandboxes, made as packages that shadow the real ones.

Each keeps what it was told in `seen/<name>.jsonl`, so that tests look at what the runner did.
"""

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SANDBOXES = ("gateway", "carrier", "mail", "warehouse")


def install(folder: Path, services: Sequence[str]) -> Path:
    """Write the packages; answers the folder to put on PYTHONPATH."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy2(__file__, folder / "standin.py")
    for name in services:
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "__init__.py").touch()
        (folder / name / "__main__.py").write_text(f"import standin\nstandin.main({name!r})\n")
    (folder / "waybill_sandboxes").mkdir(exist_ok=True)
    (folder / "waybill_sandboxes" / "__init__.py").touch()
    for name in SANDBOXES:
        module = folder / "waybill_sandboxes" / f"{name}.py"
        module.write_text(f"import standin\nstandin.main({name!r})\n")
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start of a stand-in: its variables."""

    env: dict[str, str]


def seen(folder: Path, name: str) -> list[Start]:
    """Every start of one stand-in, oldest first."""
    file = folder / "seen" / f"{name}.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [Start(**json.loads(line)) for line in lines]


def main(name: str) -> None:
    prefix = f"{name.upper()}_"
    env = {key: value for key, value in os.environ.items() if key.startswith(prefix)}
    file = Path(__file__).parent / "seen" / f"{name}.jsonl"
    file.parent.mkdir(exist_ok=True)
    with file.open("a") as out:
        out.write(json.dumps({"env": env}) + "\n")
    if os.environ.get("STANDIN_BROKEN") == name:
        sys.exit(f"{name} is broken on purpose")
    _serve(int(env[f"{prefix}PORT"]))


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/readyz", "/livez") else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        print(self.path, flush=True)  # noqa: T201  a log to look at


def _serve(port: int) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", port), _Ready)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
