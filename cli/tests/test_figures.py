"""The page of figures says what the evidence says, and nothing else."""

from pathlib import Path

import pytest

from waybill import figures

RUN = {
    "name": "oversell",
    "command": "make prove",
    "passes": False,
    "seed": 7,
    "commit": "0123456789abcdef+",
    "duration_s": 12.6,
    "asked": {"units_sold": 1000},
    "reached": {"units_sold": 999},
    "shortfalls": ["999 of 1,000 units sold"],
}
PAGE = f"# Page\n\n{figures.BEGIN}\nyesterday\n\n{figures.END}\nafter\n"


def test_a_figure_stands_beside_what_was_asked_and_what_fell_short() -> None:
    told = figures.page(PAGE, [("oversell", RUN)])
    assert "yesterday" not in told
    assert told.endswith("after\n")
    row = "| units sold 1,000 | units sold 999 | 999 of 1,000 units sold | 7 | `0123456+` |"
    assert row in told
    assert "(evidence/oversell.json)" in told


def test_a_run_without_shortfall_that_an_oracle_refused_does_not_pass_for_good() -> None:
    told = figures.table([("oversell", {**RUN, "shortfalls": []})])
    assert "an oracle, see evidence" in told
    assert "| nothing |" in figures.table([("oversell", {**RUN, "shortfalls": [], "passes": True})])


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
