"""What a long run leaves behind."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from waybill import proof
from waybill.audit.evidence import Finding, Violation

HELD = tuple(Finding(name, "kept", ("orders",), {"orders": 3}) for name in proof.GUARANTEES)
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def ran(
    *shortfalls: str,
    findings: Sequence[Finding] = HELD,
    left_out: Mapping[str, str] | None = None,
) -> proof.Proof:
    return proof.Proof(
        name="oversell",
        command="make prove",
        seed=7,
        started_at=BEGUN,
        duration_s=1.25,
        asked={"sold": 1000},
        reached={"sold": 1000},
        shortfalls=shortfalls,
        left_out=left_out or {},
        findings=findings,
    )


def but(found: Finding) -> Sequence[Finding]:
    """All hold but this one."""
    return [found if one.guarantee == found.guarantee else one for one in HELD]


def test_a_run_passes_only_when_nothing_fell_short_and_every_guarantee_holds() -> None:
    assert ran().passes
    assert not ran("sold 999 of 1000").passes
    assert not ran(
        findings=but(
            Finding(
                "I3", "no oversell", violations=[Violation("I3", "oversold", ("SKU-1",), "SKU-1")]
            )
        )
    ).passes
    assert not ran(findings=but(Finding("I3", "no oversell", missing=["stock API"]))).passes


def test_a_run_in_which_nothing_was_checked_shows_nothing() -> None:
    unchecked = [Finding(name, "kept", ("orders",), {"views": 3}) for name in proof.GUARANTEES]
    assert len(ran(findings=unchecked).unproved) == len(proof.GUARANTEES)
    assert "I1 is not checked: no orders" in ran(findings=unchecked).unproved
    assert len(ran(findings=()).unproved) == len(proof.GUARANTEES)


def test_what_a_run_leaves_out_it_names_and_no_violation_is_left_out() -> None:
    unseen = Finding("I13", "no view goes back", ("looks",))
    left_out = {"I13": "nobody looks"}
    assert ran(findings=but(unseen)).unproved == ["I13 is not checked: no looks"]
    assert ran(findings=but(unseen), left_out=left_out).passes
    kept_from_us = Finding("I13", "no view goes back", ("looks",), missing=["views"])
    assert not ran(findings=but(kept_from_us), left_out=left_out).passes
    went_back = Finding(
        "I13",
        "no view goes back",
        ("looks",),
        violations=[Violation("I13", "went-back", ("ord_1",), "ord_1")],
    )
    assert not ran(findings=but(went_back), left_out=left_out).passes
    assert ran(findings=(), left_out=proof.all_left_out("no oracle looks on")).passes


def test_evidence_names_seed_commit_machine_and_every_verdict(tmp_path: Path) -> None:
    path = tmp_path / "evidence" / "oversell.json"
    proof.write(ran(), path)
    told = json.loads(path.read_text())
    assert (told["seed"], told["passes"], told["duration_s"]) == (7, True, 1.2)
    assert told["commit"]
    assert told["machine"]["cores"]
    assert told["guarantees"][0]["verdict"] == "holds"
    assert [child.name for child in path.parent.iterdir()] == ["oversell.json"]


def test_evidence_holds_no_path_of_the_machine(tmp_path: Path) -> None:
    proof.write(ran(), tmp_path / "one.json")
    assert str(Path(proof.__file__).parent) not in (tmp_path / "one.json").read_text()


def test_evidence_just_left_is_no_change_to_the_commit_and_any_other_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "cli" / "proof.py"
    code.parent.mkdir()
    code.write_text("")
    for words in (
        ("init", "--quiet"),
        ("add", "."),
        ("-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-qm", "One"),
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, timeout=30)
    monkeypatch.setattr(proof, "__file__", str(code))
    head = proof.commit()
    (tmp_path / "docs" / "evidence").mkdir(parents=True)
    (tmp_path / "docs" / "evidence" / "soak.json").write_text("{}")
    assert proof.commit() == head
    code.write_text("changed")
    assert proof.commit() == f"{head}+"
