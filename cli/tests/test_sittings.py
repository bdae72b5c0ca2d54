"""A long run in several sittings: their evidence adds up, and nothing is counted twice."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from waybill import proof
from waybill.__main__ import app
from waybill.audit.evidence import Finding
from waybill.failure import CONFLICT, FAILED, USAGE, Failure
from waybill.simulation import report, runs, sittings

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def asked(first: int, seeds: int = 10, orders: int = 100) -> runs.Asked:
    return runs.Asked(first=first, seeds=seeds, orders=orders)


def total(seeds: int = 10, *violations: str) -> runs.Sum:
    found = runs.Sum(
        days=seeds, orders=110 * seeds, planned=1_000 * seeds, cpu_s=2.5 * seeds, virtual_s=60.0
    )
    found.struck = Counter({"kill": 400 * seeds, "pause": 600 * seeds})
    found.violations = len(violations)
    seen = {"orders": 110 * seeds}
    for name in proof.GUARANTEES:
        found.findings[name] = Finding(name, "kept", ("orders",), dict(seen))
    oversold = found.findings["I3"]
    oversold.violations += [oversold.says("oversold", text, "SKU-1") for text in violations]
    return found


def sit(path: Path, of: int, first: int, found: runs.Sum) -> dict[str, object]:
    """One sitting, whose days are not run: what it leaves behind."""
    run = sittings.earlier(path, asked(first, found.days))
    run.add(asked(first, found.days), found, BEGUN, 30.0)
    report.keep(asked(first, found.days), run, report.Kept(path, of), BEGUN)
    told: dict[str, object] = json.loads(path.read_text())
    return told


def test_sittings_add_up_whatever_their_order(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    first = sit(path, 30, 20, total())
    assert first["shortfalls"][0] == "seeds: 10 of 30"  # type: ignore[index]  # as JSON has it
    sit(path, 30, 0, total())
    whole = sit(path, 30, 10, total())
    assert whole["asked"] == {"seeds": 30, "orders": 3_000, "faults": 30_000, "violations": 0}
    assert whole["reached"] == {"seeds": 30, "orders": 3_300, "faults": 30_000, "violations": 0}
    assert (whole["shortfalls"], whole["passes"], whole["seed"]) == ([], True, 0)
    assert whole["duration_s"] == 90.0
    details = whole["details"]
    assert isinstance(details, dict)
    assert details["cpu_s"] == 75.0
    assert details["faults_by_kind"] == {"pause": 18_000, "kill": 12_000}
    assert [one["first"] for one in details["sittings"]] == [0, 10, 20]
    assert all(one["commit"] for one in details["sittings"])
    assert whole["guarantees"][2]["looked_at"] == {"orders": 3_300}  # type: ignore[index]  # as JSON has it


def test_what_one_sitting_found_is_in_the_sum_for_good(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    sit(path, 20, 0, total(10, "SKU-1 was sold twice"))
    whole = sit(path, 20, 10, total())
    assert whole["reached"]["violations"] == 1  # type: ignore[index]  # as JSON has it
    assert not whole["passes"]


@pytest.mark.parametrize(("first", "seeds"), [(0, 10), (9, 1), (5, 50), (19, 10)])
def test_seeds_are_not_counted_twice(tmp_path: Path, first: int, seeds: int) -> None:
    path = tmp_path / "long.json"
    sit(path, 30, 0, total())
    sit(path, 30, 15, total(5))
    with pytest.raises(Failure, match="are in it already") as refused:
        sittings.earlier(path, asked(first, seeds))
    assert refused.value.code == CONFLICT


def test_days_of_another_size_and_other_files_are_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    sit(path, 30, 0, total())
    with pytest.raises(Failure, match="100 orders, 1000 faults"):
        sittings.earlier(path, asked(10, orders=6))
    path.write_text(json.dumps({"name": "soak", "format": 1, "details": {}}))
    with pytest.raises(Failure, match="no evidence of simulated days"):
        sittings.earlier(path, asked(10))


def test_a_file_that_is_no_json_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_text('{"name": "simul')
    with pytest.raises(Failure, match="it is no JSON") as refused:
        sittings.earlier(path, asked(10))
    assert refused.value.code == USAGE


def test_an_overlap_is_refused_before_any_day_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.json"
    sit(path, 30, 0, total())
    monkeypatch.setattr(runs, "run", lambda *_, **__: pytest.fail("a day was run"))
    with pytest.raises(Failure, match="seeds 0 to 9"):
        report.many(asked(0), processes=1, shrinking=0, kept=report.Kept(path, 30))


def test_days_that_are_run_are_added(tmp_path: Path) -> None:
    kept = report.Kept(tmp_path / "long.json", 2)
    for first in (0, 1):
        one = runs.Asked(first=first, seeds=1, orders=1, faults=0)
        assert report.many(one, processes=1, shrinking=0, kept=kept)
    told = json.loads(kept.path.read_text())
    assert (told["reached"]["seeds"], told["passes"]) == (2, True)
    assert told["details"]["cpu_s"] > 0


def test_evidence_that_does_not_pass_fails_the_command_that_asked_for_it(tmp_path: Path) -> None:
    days = ["simulate", "--seeds", "2", "--from", "2", "--orders", "1", "--faults", "0"]
    days += ["--processes", "1"]
    alone = CliRunner().invoke(app, days)
    assert alone.exit_code == 0
    assert "I4 was not checked: no " in alone.stderr
    kept = CliRunner().invoke(app, [*days, "--evidence", str(tmp_path / "few.json")])
    assert kept.exit_code == FAILED
    assert "does not pass: I4 is not checked: no " in kept.stderr
    assert not json.loads((tmp_path / "few.json").read_text())["passes"]


def test_a_sitting_beside_one_that_failed_fails_before_the_run_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    day = runs.Asked(first=0, seeds=1, orders=1, faults=0)
    run = sittings.Run()
    run.add(replace(day, first=5), total(1, "SKU-1 was sold twice"), BEGUN, 1.0)
    report.keep(day, run, report.Kept(path, 3), BEGUN)
    assert not report.many(day, processes=1, shrinking=0, kept=report.Kept(path, 3))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (("--only", "1;2"), "no number"),
        (("--only", "abc"), "no number"),
        (("--only", "1,"), "no number"),
        (("--only", "999", "--orders", "1"), "no fault of number 999"),
        (("--only", "1", "--seeds", "5"), "one day"),
        (("--only", "1", "--evidence", "few.json"), "one day"),
    ],
)
def test_a_replay_of_faults_that_are_none_is_refused(said: tuple[str, ...], why: str) -> None:
    """It would pass for want of what it was to show."""
    told = CliRunner().invoke(app, ["simulate", "--from", "2", *said])
    assert isinstance(told.exception, Failure), told.output
    assert why in told.exception.what
    assert told.exception.code == USAGE
