"""A long run in several sittings: each adds its range of seeds to the evidence of those before."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from waybill import proof
from waybill.audit.evidence import Finding, add_up
from waybill.failure import CONFLICT, USAGE, Failure
from waybill.simulation.day import FAULTS_PER_ORDER
from waybill.simulation.runs import Asked, Sum

NAME = "simulator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """One range of seeds that was run to its end, on one commit."""

    first: int
    seeds: int
    orders: int
    faults: int
    violations: int
    failures: Sequence[str]
    """What was violated, each with its seed."""
    cpu_s: float
    duration_s: float
    steps: int
    virtual_s: float
    trace: str
    commit: str
    started_at: str

    @property
    def name(self) -> str:
        return f"{self.first} to {self.first + self.seeds - 1}"


@dataclass(slots=True)
class Run:
    """All sittings of a run, and what they found together."""

    sittings: list[Sitting] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)

    def add(self, asked: Asked, total: Sum, begun_at: datetime, took_s: float) -> None:
        """A sitting that has ended."""
        self.sittings.append(
            Sitting(
                first=asked.first,
                seeds=total.days,
                orders=total.orders,
                faults=total.faults,
                violations=total.violations,
                failures=[f"seed {day.seed}: {v}" for day in total.failed for v in day.violations],
                cpu_s=round(total.cpu_s, 1),
                duration_s=round(took_s, 1),
                steps=total.steps,
                virtual_s=round(total.virtual_s),
                trace=total.trace,
                commit=proof.commit(),
                started_at=begun_at.isoformat(timespec="seconds"),
            )
        )
        self.sittings.sort(key=lambda sitting: sitting.first)
        self.struck.update(total.struck)
        for finding in total.findings.values():
            add_up(self.findings, finding)

    def details(self, asked: Asked) -> Mapping[str, object]:
        """What a later sitting reads again."""
        return {
            "per_day": _per_day(asked),
            "cpu_s": round(sum(s.cpu_s for s in self.sittings), 1),
            "steps": sum(s.steps for s in self.sittings),
            "virtual_s": sum(s.virtual_s for s in self.sittings),
            "faults_by_kind": dict(self.struck.most_common()),
            "sittings": [asdict(sitting) for sitting in self.sittings],
        }


def earlier(path: Path, asked: Asked) -> Run:
    """What the evidence at `path` holds; nothing when there is none.

    Raises:
        Failure: it is of another kind of run, or some of the seeds asked for are in it.
    """
    if not path.exists():
        return Run()
    try:
        told = json.loads(path.read_text())
    except ValueError as error:
        raise _refused(path, "it is no JSON", code=USAGE) from error
    if (told.get("name"), told.get("format")) != (NAME, proof.FORMAT) or not (
        known := told["details"].get("sittings")
    ):
        raise _refused(path, "it is no evidence of simulated days in this format")
    if told["details"]["per_day"] != _per_day(asked):
        raise _refused(path, f"its days are others: {_said(told['details']['per_day'])}")
    run = Run([Sitting(**one) for one in known], Counter(told["details"]["faults_by_kind"]))
    for sitting in run.sittings:
        if (
            sitting.first < asked.first + asked.seeds
            and asked.first < sitting.first + sitting.seeds
        ):
            raise _refused(path, f"seeds {sitting.name} are in it already")
    for one in told["guarantees"]:
        add_up(run.findings, Finding.read(one))
    return run


def faults_per_day(asked: Asked) -> int:
    """How many are planned for each day."""
    return FAULTS_PER_ORDER * asked.orders if asked.faults is None else asked.faults


def _per_day(asked: Asked) -> Mapping[str, int]:
    return {"orders": asked.orders, "faults": faults_per_day(asked)}


def _said(per_day: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {what}" for what, count in per_day.items())


def _refused(path: Path, why: str, *, code: int = CONFLICT) -> Failure:
    return Failure(
        f"{path} cannot be added to: {why}.",
        "Run other seeds, name another file, or leave --of out to begin it anew.",
        code=code,
    )
