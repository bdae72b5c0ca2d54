"""Logs of children: appended to by themselves, kept small by us.

A child writes to its file directly, so it never blocks on us and goes on logging when we are
killed. Rotation copies and truncates; lines written between the two may be lost.
"""

import os
import shutil
from pathlib import Path

SIZE_MAX = 16 * 1024 * 1024
KEPT = 2


def rotate(path: Path, size_max: int = SIZE_MAX) -> bool:
    """Move a log that has grown too large to `<name>.1`, older ones one further."""
    try:
        if path.stat().st_size <= size_max:
            return False
    except FileNotFoundError:
        return False
    for number in range(KEPT, 1, -1):
        older = path.with_name(f"{path.name}.{number - 1}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number}"))
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    return True


class Following:
    """Reads what is appended to a log from now on, also what was rotated away in between.

    Looked at more often than it is rotated, nothing is missed but what a rotation loses itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = self._size()

    def read(self) -> bytes:
        """The whole lines that came since the last call."""
        rotated = b""
        if self._size() < self._at:
            rotated = _from(self._path.with_name(f"{self._path.name}.1"), self._at)
            self._at = 0
        new = _from(self._path, self._at)
        whole = new[: new.rfind(b"\n") + 1]
        self._at += len(whole)
        return rotated + whole

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0


def _from(path: Path, at: int) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(at)
        return file.read()


def tail(path: Path, count: int) -> list[str]:
    """The last lines of a log; none when there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 64 * 1024))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
