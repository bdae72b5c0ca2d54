"""The folders of chaos, soak and prove: nobody else's system is dropped, nor a run's unasked."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from waybill import proof, room, show, state
from waybill.__main__ import app
from waybill.audit.evidence import Finding
from waybill.chaos import history, verdict
from waybill.chaos import run as chaos_run
from waybill.chaos import soak as soaking
from waybill.failure import CONFLICT, FAILED, USAGE, Failure
from waybill.home import Home
from waybill.prove import run as prove_run
from waybill_runtime.clock import SystemClock

CHAOS, SOAK, PROVE = ("chaos",), ("soak",), ("prove", "gateway")
EACH = pytest.mark.parametrize("words", [CHAOS, SOAK, PROVE], ids=lambda words: words[0])


class Ran(Exception):
    """The run began."""


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(autouse=True)
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ran(*_: object, **__: object) -> Any:
        raise Ran

    monkeypatch.setattr(chaos_run, "segment", ran)
    monkeypatch.setattr(soaking, "soak", ran)
    monkeypatch.setattr(prove_run, "prove", ran)


async def outcome_of_nothing(*_: object, **__: object) -> chaos_run.Outcome:
    return chaos_run.Outcome(history.History(), [], [])


def shown(short: list[str]) -> proof.Proof:
    """What a run came to that no oracle judged."""
    return proof.Proof(
        name="a-run",
        command="waybill",
        seed=None,
        started_at=SystemClock().now(),
        duration_s=1.0,
        asked={"orders": 2.0},
        reached={"orders": 2.0},
        shortfalls=short,
        left_out=proof.all_left_out("it is not run here"),
        findings=[Finding("I1", "kept", must_see=["orders"])],
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Somebody's system that is stopped."""
    made = Home(tmp_path / "shop")
    made.prepare()
    (made.path / "secrets.json").write_text("{}")
    return made.path


def ran(*words: str, home: Path) -> None:
    CliRunner().invoke(app, [*words, "--home", str(home)], catch_exceptions=False)


def refused(*words: str, home: Path) -> Failure:
    with pytest.raises(Failure) as caught:
        ran(*words, home=home)
    return caught.value


@EACH
@pytest.mark.parametrize("more", [(), ("--anew",)])
def test_a_system_that_the_run_did_not_make_is_left_as_it_is(
    home: Path, words: tuple[str, ...], more: tuple[str, ...]
) -> None:
    told = refused(*words, *more, home=home)
    assert told.code == CONFLICT
    assert "did not make" in told.what
    assert "another --home" in told.remedy
    assert (home / "secrets.json").exists()


def test_chaos_does_not_go_on_upon_a_system_that_it_did_not_make(home: Path) -> None:
    assert "did not make" in refused("chaos", "--resume", home=home).what
    room.take(home.parent / "proof", "prove", "postgres")
    assert "did not make" in refused("chaos", "--anew", home=home.parent / "proof").what


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("--kinds", "typo"), "no kind typo"),
        (("--kinds", "disk-full"), "no kind disk-full"),
        (("--kinds", "broker-kill"), "no kind broker-kill"),
        (("--at-least", "typo=1"), "--at-least typo=1"),
        (("--resume",), "--resume keeps what --anew drops"),
    ],
)
def test_what_chaos_is_asked_is_looked_at_before_a_folder_is_touched(
    tmp_path: Path, wrong: tuple[str, ...], told: str
) -> None:
    place = tmp_path / "chaos"
    room.take(place, "chaos", "postgres")
    (place / "chaos.json").write_text("{}")
    found = refused("chaos", "--anew", *wrong, home=place)
    assert found.code == USAGE
    assert told in found.what
    assert (place / "chaos.json").exists()


def test_a_mistyped_run_makes_no_folder(tmp_path: Path) -> None:
    assert refused("chaos", "--kinds", "typo", home=tmp_path / "new").code == USAGE
    assert not (tmp_path / "new").exists()


@EACH
def test_the_folder_of_a_failed_run_stays_until_it_is_said_to_go(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    place = tmp_path / "run"
    with pytest.raises(Ran):
        ran(*words, home=place)
    (place / "left").write_text("what there is to look at")
    told = refused(*words, home=place)
    assert told.code == CONFLICT
    assert "--anew" in told.remedy
    assert ("--resume" in told.remedy) == (words == CHAOS)
    assert (place / "left").exists()
    with pytest.raises(Ran):
        ran(*words, "--anew", home=place)
    assert not (place / "left").exists()


def test_chaos_goes_on_upon_its_own_folder_when_it_is_told_to(tmp_path: Path) -> None:
    place = tmp_path / "chaos"
    for _ in range(2):
        with pytest.raises(Ran):
            ran("chaos", "--resume", home=place)
        (place / "kept").touch()
    assert (place / "kept").exists()


@pytest.mark.parametrize("short", [[], ["orders: 1 of 2"]])
@pytest.mark.parametrize("words", [SOAK, PROVE], ids=lambda words: words[0])
def test_a_proof_that_passed_leaves_no_folder_and_one_that_fell_short_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], short: list[str]
) -> None:
    async def found(*_: object, **__: object) -> proof.Proof:
        return shown(short)

    monkeypatch.setattr(soaking, "soak", found)
    monkeypatch.setattr(prove_run, "prove", found)
    place = tmp_path / "run"
    answer = CliRunner().invoke(app, [*words, "--home", str(place)])
    assert answer.exit_code == (FAILED if short else 0)
    assert answer.stdout.splitlines()[-1] == ("fell short" if short else "passed")
    assert "I1 need not be checked: it is not run here" in answer.stdout
    assert place.exists() == bool(short)


def test_chaos_goes_on_upon_the_bus_of_its_folder_alone(tmp_path: Path) -> None:
    place = tmp_path / "chaos"
    room.take(place, "chaos", "kafka")
    (place / "dev.env").write_text("BUS=kafka\n")
    assert "bus kafka" in refused("chaos", "--resume", home=place).what
    with pytest.raises(Ran):
        ran("chaos", "--resume", "--bus", "kafka", home=place)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (".", "is a folder"),
        ("a-file/evidence.json", "cannot be written"),
        ("/proc/x.json", "cannot"),
    ],
)
@pytest.mark.parametrize("words", [CHAOS, SOAK, PROVE, ("simulate",)], ids=lambda words: words[0])
def test_evidence_that_could_not_be_written_is_refused_before_the_run(
    tmp_path: Path, words: tuple[str, ...], wrong: str, told: str
) -> None:
    (tmp_path / "a-file").touch()
    with pytest.raises(Failure, match=told) as caught:
        CliRunner().invoke(
            app, [*words, "--evidence", str(tmp_path / wrong)], catch_exceptions=False
        )
    assert caught.value.code == USAGE
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def test_a_run_is_told_before_its_evidence_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(proof, "write", full)
    monkeypatch.setattr(chaos_run, "segment", outcome_of_nothing)
    monkeypatch.setattr(verdict, "proof", lambda *_, **__: shown([]))
    evidence = tmp_path / "evidence.json"
    answer = CliRunner().invoke(
        app, ["chaos", "--home", str(tmp_path / "run"), "--evidence", str(evidence)]
    )
    assert isinstance(answer.exception, OSError)
    assert "2 (asked 2)" in answer.stdout


def test_clean_drops_what_stopped_runs_left_and_no_folder_that_only_looks_like_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WAYBILL_HOME", raising=False)
    for by in ("chaos", "prove"):
        room.take(tmp_path / f".waybill-{by}", by, "postgres")
    Home(tmp_path / ".waybill-soak").prepare()
    with state.held(Home(tmp_path / ".waybill-chaos")):
        with pytest.raises(Failure, match=r"waybill-chaos, .*waybill-prove would go"):
            CliRunner().invoke(app, ["clean", "--runs"], catch_exceptions=False)
        answer = CliRunner().invoke(app, ["clean", "--runs", "--yes"], catch_exceptions=False)
    assert "its system runs" in answer.stderr
    assert [path.name for path in sorted(tmp_path.iterdir())] == [".waybill-chaos", ".waybill-soak"]


def test_every_command_on_a_home_takes_it_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show.out, "width", 400)  # room for any folder's name
    place = tmp_path / "shop"
    Home(place).prepare()
    (place / "log" / "payment.log").write_text("a line of its\n")
    runner = CliRunner()
    assert "a line of its" in runner.invoke(app, ["logs", "payment", "--home", str(place)]).stdout
    doctor = runner.invoke(app, ["doctor", "--home", str(place)])
    assert str(place) in doctor.stdout
    for words in (["status"], ["stop", "payment"], ["start", "payment"]):
        assert str(place) in refused(*words, home=place).what
    assert runner.invoke(app, ["down", "--home", str(place)]).exit_code == 0
    assert runner.invoke(app, ["clean", "--yes", "--home", str(place)]).exit_code == 0
    assert not place.exists()


def test_advice_names_the_command_as_this_shell_can_call_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(show, "_called", show._called.__wrapped__)
    monkeypatch.setattr(sys, "argv", ["bin/waybill"])
    for found, called in (("/usr/bin/waybill", "waybill"), (None, "bin/waybill")):
        monkeypatch.setattr(shutil, "which", lambda _, found=found: found)
        show.failure(Failure("It does not run.", "Run `waybill up`."))
        assert f"Run `{called} up`." in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["somewhere/waybill/__main__.py"])
    show.note("See `waybill keys list`.")
    assert f"See `{sys.executable} -m waybill keys list`." in capsys.readouterr().err
