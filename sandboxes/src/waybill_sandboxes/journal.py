"""Append-only JSON Lines: what a sandbox knows is what its journal says, replayed from the start.

A record is in the kernel's hands when `append` returns, so SIGKILL loses nothing; `sync` brings
it to the disk. A torn last line is cut off on opening; any other damage is refused loudly.
"""

import fcntl
import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

Record = dict[str, Any]


class JournalDamaged(Exception):
    """A line that is not the last one is not JSON: somebody edited the file."""


class JournalInUse(Exception):
    """Another process holds this journal."""


class Journal(Protocol):
    """What a core owes its past to."""

    def append(self, record: Record) -> None:
        """Add a record; it is there for every later replay, or an error was raised.

        Raises:
            OSError: it could not be written; nothing of it stays.
        """
        ...

    def records(self, after: int = 0) -> Iterator[Record]:
        """The records from the one numbered `after + 1` on, in the order they were appended."""
        ...


class MemoryJournal:
    """A journal that lasts as long as the process: for tests and the simulator."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def append(self, record: Record) -> None:
        self._lines.append(_line(record))

    def records(self, after: int = 0) -> Iterator[Record]:
        for line in self._lines[after:]:
            yield json.loads(line)


class FileJournal:
    """A journal in one file, owned by one process at a time."""

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            JournalInUse: another process has it open.
            JournalDamaged: a line before the last one cannot be read.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as refusal:
            os.close(self._fd)
            raise JournalInUse(f"{path} is held by another process") from refusal
        self._starts = array("Q")
        self._end = self._find_lines()
        self._dirty = False

    def append(self, record: Record) -> None:
        line = _line(record)
        try:
            written = os.write(self._fd, line)
            if written != len(line):
                raise OSError(f"{self._path}: {written} of {len(line)} bytes written")
        except OSError:
            os.ftruncate(self._fd, self._end)
            raise
        self._starts.append(self._end)
        self._end += len(line)
        self._dirty = True

    def records(self, after: int = 0) -> Iterator[Record]:
        if after >= len(self._starts):
            return
        with self._path.open("rb") as file:
            file.seek(self._starts[after])
            for line in file:
                yield json.loads(line)

    def sync(self) -> None:
        """Bring what was appended to the disk; blocks. Nothing to do when nothing is new."""
        if self._dirty:
            self._dirty = False
            os.fsync(self._fd)

    def close(self) -> None:
        """Sync and let go; nothing may be appended after."""
        self.sync()
        os.close(self._fd)

    def _find_lines(self) -> int:
        """Note where each line starts, cut a torn last one; returns where the next one goes."""
        end = 0
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if not _is_record(line):
                    raise JournalDamaged(f"{self._path}: line {len(self._starts) + 1}")
                self._starts.append(end)
                end += len(line)
        os.ftruncate(self._fd, end)
        return end


def _line(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
