"""Evidence of one long run as JSON, written by the tool that ran it: `docs/evidence/*.json`.

It says what ran, from which seed and commit, what it came to against what was asked of it, and
what each oracle found. A figure that was not reached is a shortfall, never left out.
"""

import json
import os
import platform
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from waybill.audit.evidence import Finding

FORMAT = 1
GUARANTEES = tuple(f"I{number}" for number in range(1, 16))


@dataclass(slots=True, kw_only=True)
class Proof:
    """One run. `asked` and `reached` share their keys; times carry their unit in the name.

    It has to show every guarantee but those `left_out`, which say why each.
    """

    name: str
    command: str
    seed: int | None
    started_at: datetime
    duration_s: float
    asked: Mapping[str, float]
    reached: Mapping[str, float]
    shortfalls: Sequence[str]
    left_out: Mapping[str, str]
    findings: Sequence[Finding] = ()
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def passes(self) -> bool:
        """Whether nothing fell short, and every guarantee that it has to show holds."""
        return not self.shortfalls and not self.unproved

    @property
    def unproved(self) -> Sequence[str]:
        """Each guarantee that does not hold, and why; one that is left out may be unseen."""
        return unproved(self.findings, self.left_out)


def unproved(findings: Sequence[Finding], left_out: Collection[str]) -> Sequence[str]:
    """Each guarantee that these do not show, and why; one that is left out may be unseen."""
    found = {finding.guarantee: finding for finding in findings}
    said = []
    for guarantee in GUARANTEES:
        finding = found.get(guarantee)
        if finding is None or finding.verdict == "not checked":
            if guarantee not in left_out or (finding and finding.missing):
                why = "no oracle spoke" if finding is None else "; ".join(finding.unchecked)
                said.append(f"{guarantee} is not checked: {why}")
        elif finding.verdict != "holds":
            said.append(f"{guarantee} is {finding.verdict}")
    return said


def all_left_out(why: str) -> Mapping[str, str]:
    """For a run that no oracle judges."""
    return dict.fromkeys(GUARANTEES, why)


def write(proof: Proof, path: Path) -> None:
    """Write a run's evidence whole or not at all; an older file of the same name goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(_told(proof), indent=2, ensure_ascii=False) + "\n")
    unfinished.replace(path)


def _told(proof: Proof) -> Mapping[str, object]:
    return {
        "format": FORMAT,
        "name": proof.name,
        "passes": proof.passes,
        "command": proof.command,
        "seed": proof.seed,
        "commit": commit(),
        "machine": machine(),
        "started_at": proof.started_at.isoformat(timespec="seconds"),
        "duration_s": round(proof.duration_s, 1),
        "asked": dict(proof.asked),
        "reached": dict(proof.reached),
        "shortfalls": list(proof.shortfalls),
        "unproved": list(proof.unproved),
        "left_out": dict(proof.left_out),
        "guarantees": [{**asdict(f), "verdict": f.verdict} for f in proof.findings],
        "details": dict(proof.details),
    }


def commit() -> str:
    """The commit that runs, `+` behind it when files differ from it; `unknown` outside git.

    Evidence that another run has just left is no difference.
    """
    here = Path(__file__).parent
    head = _git("rev-parse", "HEAD", cwd=here)
    if head is None:
        return "unknown"
    changed = _git("status", "--porcelain", "--", ":/", ":(exclude,top)docs/evidence", cwd=here)
    return head + ("+" if changed else "")


def machine() -> Mapping[str, object]:
    """What figures depend on: cores, memory, Python and kernel. No name, no path."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "python": platform.python_version(),
        "kernel": platform.release().split("-")[0],
    }


def _git(*words: str, cwd: Path) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - words of our own
            ["git", *words],  # noqa: S607 - whichever git there is
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
