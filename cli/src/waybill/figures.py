"""`python -m waybill.figures`: writes the figures of docs/reliability.md from docs/evidence.

With `--check` it writes nothing and exits 1 when the page does not say what the evidence says. A
figure stands on the page only as the tool that measured it wrote it down. Whether it fell short is
judged by the rule of today, whatever the tool thought then: each oracle has to have seen what it
must see by now, and the tree has to have been the commit's.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from waybill.audit.evidence import Evidence, Finding
from waybill.audit.oracles import judge
from waybill.proof import unproved
from waybill_runtime.clock import SystemClock

PAGE = Path("docs/reliability.md")
EVIDENCE = Path("docs/evidence")
BEGIN, END = "<!-- figures -->\n", "<!-- /figures -->\n"
HEAD = "| run | asked | reached | fell short | seed | commit |\n|---|---|---|---|---|---|\n"
ASKED = (
    "aborted-requests",
    "chaos-kafka",
    "chaos-postgres",
    "crash-points",
    "double-submit-postgres",
    "gateway-postgres",
    "hostile-events",
    "hostile-requests",
    "oversell-postgres",
    "planted-bugs",
    "recovery-kafka",
    "recovery-postgres",
    "simulator",
    "simulator-long",
    "soak-postgres",
)
"""The runs that are owed, by their files' names: one that is missing is told as not run."""

Json = Mapping[str, Any]


def table(runs: Sequence[tuple[str, Json]]) -> str:
    """One row per run, by file name, and one for each that is owed and was not run."""
    rows = {name: _row(name, run) for name, run in runs}
    missing = {name: f"| {name} | | | not run | | |\n" for name in ASKED if name not in rows}
    return HEAD + "".join(row for _, row in sorted((rows | missing).items()))


def page(text: str, runs: Sequence[tuple[str, Json]]) -> str:
    """The page with its figures as these runs have them.

    Raises:
        ValueError: the page does not hold the two marks that the figures stand between.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page must hold {BEGIN.strip()} and {END.strip()}, each on a line")
    return before + BEGIN + "\n" + table(runs) + "\n" + END + after


def read(folder: Path) -> Sequence[tuple[str, Json]]:
    """Every run that left evidence, by file name."""
    return [(path.stem, json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]


def _row(name: str, run: Json) -> str:
    cells = (
        f"[{run['name']}](evidence/{name}.json): `{run['command']}`, {run['duration_s']:,.0f} s",
        _figures(run["asked"]),
        _figures(run["reached"]),
        "; ".join(fell_short(run)) or ("nothing" if run["passes"] else "an oracle, see evidence"),
        "none" if run["seed"] is None else str(run["seed"]),
        f"`{run['commit'][:7]}{'+' if run['commit'].endswith('+') else ''}`",
    )
    return f"| {' | '.join(cells)} |\n"


def fell_short(run: Json) -> Sequence[str]:
    """In words, all that a run lacks by the rule of today."""
    said = list(run["shortfalls"])
    left_out = run.get("left_out", {})
    if run["guarantees"] or left_out:
        must_see = _must_see()
        findings = [Finding.read(told) for told in run["guarantees"]]
        for finding in findings:
            finding.must_see = must_see[finding.guarantee]
        said += unproved(findings, left_out)
    else:
        said.append("no oracle spoke, and no guarantee is named as left out")
    if run["commit"].endswith("+"):
        said.append("run on a tree that was changed after its commit")
    return said


@cache
def _must_see() -> Mapping[str, Sequence[str]]:
    """What each oracle must see to hold, by its own word."""
    nothing = Evidence.of_the_log_alone(SystemClock().now(), [])
    return {finding.guarantee: finding.must_see for finding in judge(nothing)}


def _figures(figures: Json) -> str:
    return ", ".join(f"{what.replace('_', ' ')} {count:,}" for what, count in figures.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check, from the repository's root; the exit code."""
    parser = argparse.ArgumentParser(prog="waybill.figures", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; compare")
    options = parser.parse_args(arguments)
    text = PAGE.read_text(encoding="utf-8")
    told = page(text, read(EVIDENCE))
    if not options.check:
        PAGE.write_text(told, encoding="utf-8")
        return 0
    if told == text:
        return 0
    sys.stderr.write(f"{PAGE} does not say what {EVIDENCE} says: run make figures\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
