"""The folder that holds everything one running system keeps: data, logs, ports, secrets.

`WAYBILL_HOME`, else `.waybill` in the current folder. Only a folder that Waybill made is ever
written to or dropped: a marker file says so.
"""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from waybill.failure import USAGE, Failure

MARKER = "waybill-home"
DEFAULT = ".waybill"


class Home:
    """Paths below one home, and small files written whole."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @classmethod
    def from_environment(cls) -> "Home":
        return cls(Path(os.environ.get("WAYBILL_HOME") or DEFAULT))

    @classmethod
    def named(cls, path: Path | None) -> "Home":
        """The home that a command line names, else that of the environment."""
        return cls.from_environment() if path is None else cls(path)

    @property
    def logs(self) -> Path:
        return self.path / "log"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def state(self) -> Path:
        return self.run / "state.json"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def dev_env(self) -> Path:
        return self.path / "dev.env"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def exists(self) -> bool:
        return (self.path / MARKER).exists()

    def identity(self) -> str:
        """Names what belongs to this home but lies outside of it; new for each new home."""
        return (self.path / MARKER).read_text().strip()

    def prepare(self) -> None:
        """Make the folder and its rooms; may be called twice.

        Raises:
            Failure: the folder holds somebody else's files, or cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self.exists() and self.path.name != DEFAULT and any(self.path.iterdir()):
                raise Failure(
                    f"{self.path} holds files that are not Waybill's.",
                    "Name an empty or a new folder, by WAYBILL_HOME or --home.",
                    code=USAGE,
                )
            if not self.exists():
                write_whole(self.path / MARKER, secrets.token_hex(6) + "\n")
            for room in (self.logs, self.run):
                room.mkdir(exist_ok=True)
        except OSError as error:
            raise Failure(
                f"{self.path} cannot be written: {error.strerror}.",
                "Set WAYBILL_HOME to a folder that you may write to.",
            ) from error

    def drop(self) -> None:
        """Delete the whole folder, if Waybill made it.

        Raises:
            Failure: the folder is not Waybill's.
        """
        if not self.path.exists():
            return
        if not self.exists():
            raise Failure(f"{self.path} was not made by Waybill.", "Delete it by hand.", code=USAGE)
        shutil.rmtree(self.path)


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace a file at once: a reader sees the old text or the new, never a part."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    draft.replace(path)


def read_json(path: Path) -> dict[str, object]:
    """A JSON object from a file; empty when the file is missing or damaged."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, value: Mapping[str, object], *, mode: int = 0o644) -> None:
    write_whole(path, json.dumps(value, indent=1) + "\n", mode=mode)
