"""`make planted-bugs`: hunts every planted bug, prints how each was caught, writes the evidence.

Fails unless all are caught, the same day or scenario holds without the bug, and each oracle has
caught one.
"""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

SEEDS_MAX = 40
os.environ.setdefault("PLANTED_SEEDS", str(SEEDS_MAX))
os.environ.setdefault("KAFKA", "required")

# Below it, for `hunting` reads how far to hunt when it is imported.
from rich.console import Console  # noqa: E402
from rich.table import Column, Table  # noqa: E402

import hunting  # noqa: E402
from bugs import BUGS, CLASSICAL  # noqa: E402
from waybill.proof import Proof, all_left_out, write  # noqa: E402
from waybill_runtime.clock import SystemClock  # noqa: E402

HERE = Path(__file__).parent
COMMAND = "make planted-bugs"
ORACLES = 15
LATE = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
"""The bugs are read before pytest begins, and with them what pytest would have read first."""


class Recorder:
    """Listens to pytest: how each bug was caught. A test that holds has seen its control hold."""

    def __init__(self) -> None:
        self.caught: dict[str, hunting.Caught] = {}
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or report.skipped:
            self.failed.append(report.nodeid.partition("::")[2])
        if report.when != "call" or not report.passed:
            return
        for name, value in report.user_properties:
            if name == "caught":
                id_ = report.nodeid.partition("[")[2].rstrip("]")
                self.caught[id_] = hunting.Caught(**value)  # type: ignore[arg-type]  # its own fields

    @property
    def oracles(self) -> set[str]:
        """Those that caught a bug."""
        return {name for caught in self.caught.values() for name in caught.by if name[0] == "I"}


def table(recorder: Recorder) -> Table:
    """One row for each bug."""
    told = Table(Column("bug", no_wrap=True), "caught by", "seed", "seconds", box=None)
    for bug in BUGS.values():
        caught = recorder.caught.get(bug.id)
        if caught is None:
            told.add_row(bug.id, "[red]nobody[/]", "", "")
        else:
            seed = bug.by if caught.seed is None else str(caught.seed)
            told.add_row(bug.id, ", ".join(caught.by), seed, f"{caught.duration_s:.1f}")
    return told


def proof(recorder: Recorder, clock: SystemClock, begun_s: float) -> Proof:
    """The run as evidence."""
    asked = {
        "classical_bugs_caught": len(CLASSICAL),
        "bugs_caught": len(BUGS),
        "oracles_that_caught_one": ORACLES,
    }
    reached = {
        "classical_bugs_caught": len(recorder.caught.keys() & set(CLASSICAL)),
        "bugs_caught": len(recorder.caught),
        "oracles_that_caught_one": len(recorder.oracles),
    }
    duration_s = clock.monotonic_s() - begun_s
    short = [
        f"{name}: {reached[name]} of {asked[name]}" for name in asked if reached[name] < asked[name]
    ]
    return Proof(
        name="planted-bugs",
        command=COMMAND,
        seed=0,
        started_at=clock.now(),
        duration_s=duration_s,
        asked=asked,
        reached=reached,
        shortfalls=[*short, *recorder.failed],
        left_out=all_left_out("the oracles are what is tried: each day without a bug has to hold"),
        details={
            bug.id: {
                "says": bug.says,
                "nearest": bug.nearest,
                "proof": bug.by,
                "situation": bug.situation if bug.by == "simulator" else None,
                "must_break": list(bug.breaks),
                "caught": asdict(recorder.caught[bug.id]) if bug.id in recorder.caught else None,
            }
            for bug in BUGS.values()
        },
    )


def main() -> int:
    """Hunt, tell, write; 0 only when every bug was caught."""
    clock, recorder = SystemClock(), Recorder()
    begun_s, started_at = clock.monotonic_s(), clock.now()
    arguments = [str(HERE), "-W", LATE, "-p", "no:cacheprovider", *sys.argv[1:]]
    pytest.main(arguments, plugins=[recorder])
    found = proof(recorder, clock, begun_s)
    found.started_at = started_at
    console = Console()
    console.print(table(recorder))
    write(found, hunting.EVIDENCE)
    for shortfall in found.shortfalls:
        console.print(f"[red]short[/] {shortfall}")
    return 0 if found.passes else 1


if __name__ == "__main__":
    sys.exit(main())
