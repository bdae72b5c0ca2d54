"""What clients saw, written down outside the system: the auditor's own witness.

One JSON object a line, appended by whoever posts or polls (replay, demo, tests, benchmarks). An
answer that never came is written as unknown, never as a failure (Jepsen's `info`).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["post", "poll"]
FOLDER = "ledger"
"""Of a home: where its clients' ledgers lie."""
FIRST_REFUSAL = 400
"""Of the status codes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One try to place an order, and the digest of the answer. `status` 0: no answer came.

    Where the client wrote it down: `asked_sha256`, of the body that it posted, tells one request
    from another under the same key; `problem` is the kind of a refusal.
    """

    key: str
    status: int
    order_id: str
    body_sha256: str
    token: str = ""
    """The tracking token in the answer, where the client wrote it down."""
    asked_sha256: str = ""
    problem: str = ""


def posted(
    key: str, asked: bytes, status: int, order_id: str, answer: bytes, *, token: str = ""
) -> Posted:
    """One try with this body, and the bytes of its answer: empty where none came."""
    return Posted(
        key=key,
        status=status,
        order_id=order_id,
        body_sha256=hashlib.sha256(answer).hexdigest(),
        token=token,
        asked_sha256=hashlib.sha256(asked).hexdigest(),
        problem=_problem(answer) if status >= FIRST_REFUSAL else "",
    )


def _problem(answer: bytes) -> str:
    """The last part of a problem's type; nothing of what is no problem of ours."""
    try:
        return str(json.loads(answer)["type"]).rpartition(":")[2]
    except (ValueError, LookupError, TypeError):
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """One look at the tracking view of an order; each `client`'s in the order of looking.

    `version` 0: the link opened nothing. Before a view is first shown that is as it should be.
    """

    order_id: str
    version: int
    client: str = ""
    token: str = ""


class Ledger:
    """Appends to one file; each line is flushed, so a kill loses none that was written."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def posted(
        self,
        key: str,
        asked: bytes,
        status: int,
        order_id: str,
        answer: bytes,
        *,
        token: str = "",
    ) -> None:
        """One try with this body, and the bytes of its answer. `token` opens the view."""
        one = posted(key, asked, status, order_id, answer, token=token)
        line = {"kind": "post", "key": key, "status": status, "order_id": order_id}
        told = {"token": token, "asked_sha256": one.asked_sha256, "problem": one.problem}
        self._write({**line, "sha256": one.body_sha256, **_said(told)})

    def polled(self, order_id: str, version: int, *, token: str = "") -> None:
        self._write(
            {"kind": "poll", "order_id": order_id, "version": version, **_said({"token": token})}
        )

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _said(told: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in told.items() if value}


def read(folder: Path) -> Iterator[Posted | Polled]:
    """Every line of every ledger in a folder; a torn last line is passed over."""
    for path in sorted(folder.glob("*.jsonl")):
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                continue
            if line["kind"] == "post":
                yield Posted(
                    key=line["key"],
                    status=line["status"],
                    order_id=line["order_id"],
                    body_sha256=line["sha256"],
                    token=line.get("token", ""),
                    asked_sha256=line.get("asked_sha256", ""),
                    problem=line.get("problem", ""),
                )
            else:
                yield Polled(
                    order_id=line["order_id"],
                    version=line["version"],
                    client=path.stem,
                    token=line.get("token", ""),
                )
