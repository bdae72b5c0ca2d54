"""The page of figures says what the evidence says, and nothing else."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from waybill import figures
from waybill.audit.evidence import Evidence
from waybill.audit.oracles import judge
from waybill.proof import all_left_out

RUN = {
    "name": "oversell",
    "command": "make prove",
    "passes": False,
    "seed": 7,
    "commit": "0123456789abcdef",
    "duration_s": 12.6,
    "asked": {"units_sold": 1000},
    "reached": {"units_sold": 999},
    "shortfalls": ["999 of 1,000 units sold"],
    "left_out": dict(all_left_out("figures alone")),
    "guarantees": [],
}
DONE = {**RUN, "shortfalls": [], "passes": True}
PAGE = f"# Page\n\n{figures.BEGIN}\nyesterday\n\n{figures.END}\nafter\n"


def test_a_figure_stands_beside_what_was_asked_and_what_fell_short() -> None:
    told = figures.page(PAGE, [("oversell", RUN)])
    assert "yesterday" not in told
    assert told.endswith("after\n")
    row = "| units sold 1,000 | units sold 999 | 999 of 1,000 units sold | 7 | `0123456` |"
    assert row in told
    assert "(evidence/oversell.json)" in told


def test_a_run_without_shortfall_that_an_oracle_refused_does_not_pass_for_good() -> None:
    told = figures.table([("oversell", {**RUN, "shortfalls": []})])
    assert "an oracle, see evidence" in told
    assert "| nothing |" in figures.table([("oversell", DONE)])


def proved(**changes: object) -> dict[str, Any]:
    """A run whose oracles saw all that they must see, as its tool wrote it down."""
    found = []
    for finding in judge(Evidence.of_the_log_alone(datetime.now(UTC), [])):
        finding.looked_at = dict.fromkeys(finding.must_see, 1)
        finding.missing = []
        found.append({**asdict(finding), "verdict": finding.verdict})
    return {**DONE, "left_out": {}, "guarantees": found, **changes}


def test_a_run_whose_oracles_saw_all_that_they_must_see_fell_short_of_nothing() -> None:
    assert "| nothing |" in figures.table([("chaos", proved())])


def test_an_oracle_that_did_not_see_what_it_must_see_today_falls_short() -> None:
    """Whatever its tool wrote of it then."""
    run = proved()
    told = list(run["guarantees"])
    told[-1] = {**told[-1], "looked_at": {"answers": 3}, "must_see": (), "verdict": "holds"}
    older = {**run, "guarantees": told}
    assert "I15 is not checked: no keys" in figures.table([("chaos", older)])
    left_out = {**older, "left_out": {"I15": "no key is asked twice"}}
    assert "| nothing |" in figures.table([("chaos", left_out)])


def test_a_run_that_no_oracle_judged_says_so_or_falls_short() -> None:
    older = {name: told for name, told in DONE.items() if name != "left_out"}
    assert "no oracle spoke" in figures.table([("hostile", older)])


def test_a_run_of_a_changed_tree_falls_short() -> None:
    told = figures.table([("chaos", proved(commit="0123456789abcdef+"))])
    assert "| run on a tree that was changed after its commit | 7 | `0123456+` |" in told


def test_a_run_that_is_owed_and_has_no_evidence_is_told_as_not_run() -> None:
    told = figures.table([("soak-postgres", RUN)])
    assert "| chaos-kafka | | | not run | | |" in told
    assert "| soak-postgres |" not in told


def test_writing_twice_changes_nothing() -> None:
    once = figures.page(PAGE, [("oversell", RUN)])
    assert figures.page(once, [("oversell", RUN)]) == once


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold"):
        figures.page("# Page\n", [])


def test_a_page_that_says_otherwise_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / figures.EVIDENCE).mkdir(parents=True)
    (tmp_path / figures.PAGE).write_text(PAGE)
    assert figures.main(["--check"]) == 1
    assert figures.main([]) == 0
    assert figures.main(["--check"]) == 0
