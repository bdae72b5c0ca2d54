"""How far a replay came, on disk: one line per thing made, so a run started again skips it.

A lost line costs one repeated request, which its idempotency key makes harmless.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from waybill.failure import CONFLICT, Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The answer to one post: an order's id and token, or the refusal that it got."""

    key: str
    order_id: str = ""
    tracking_token: str = ""
    refusal: str = ""


class Checkpoint:
    """One file's answers so far. Only one process may play it at a time."""

    def __init__(self, path: Path, file_sha256: str) -> None:
        """Take up the checkpoint of this file, or begin one.

        Raises:
            Failure: the checkpoint is of another file.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole, _, torn = text.rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        if lines and lines[0] != {"file_sha256": file_sha256}:
            raise Failure(f"{path} is the checkpoint of another file.", "Delete it.", code=CONFLICT)
        self.made = {made.key: made for made in (Made(**line) for line in lines[1:])}
        self._file = path.open("a", encoding="utf-8")
        if torn:
            self._file.truncate(len(f"{whole}\n".encode()) if whole else 0)
        if not lines:
            self._write({"file_sha256": file_sha256})

    def note(self, made: Made) -> None:
        """Keep one answer; what was kept is not posted again."""
        self.made[made.key] = made
        self._write(asdict(made))

    def _write(self, line: dict[str, str]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
