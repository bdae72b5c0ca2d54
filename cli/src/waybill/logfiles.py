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


def tail(path: Path, count: int) -> list[str]:
    """The last lines of a log; none when there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 64 * 1024))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
