"""A home keeps its bus: its events went over that one, and another would begin empty."""

import os
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from waybill import state
from waybill.__main__ import app
from waybill.commands import up
from waybill.failure import CONFLICT, Failure
from waybill.home import Home

ROOT = Path(__file__).parents[2]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The buses that `up` started a home with."""
    buses: list[str] = []

    def launch(home: Home, bus: str, warehouse: str) -> state.State:
        buses.append(bus)
        home.dev_env.write_text(f"CAPTURE_URL=http://127.0.0.1:1\nBUS={bus}\n")
        return state.State(phase="ready", bus=bus, warehouse=warehouse)

    monkeypatch.setenv("WAYBILL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BUS", raising=False)
    monkeypatch.setattr(up, "_launch", launch)
    return buses


def say_up(*words: str, **env: str) -> None:
    CliRunner().invoke(app, ["up", *words], env=env, catch_exceptions=False)


def test_a_home_goes_on_with_the_bus_that_it_was_made_with(started: list[str]) -> None:
    say_up(BUS="kafka")
    say_up()
    say_up(BUS="")
    say_up("--bus", "kafka")
    assert started == ["kafka"] * 4


@pytest.mark.parametrize(("own", "other"), [("kafka", "postgres"), ("postgres", "kafka")])
def test_another_bus_is_refused_with_what_to_do(started: list[str], own: str, other: str) -> None:
    say_up("--bus", own)
    for words, env in ((["--bus", other], {}), ([], {"BUS": other})):
        with pytest.raises(Failure) as refused:
            say_up(*words, **env)
        assert refused.value.code == CONFLICT
        assert f"bus {own}" in refused.value.what
        for way_out in ("Leave BUS and --bus out", "waybill republish", "waybill clean"):
            assert way_out in refused.value.remedy
    assert started == [own]


def test_a_new_home_has_postgres_unless_it_is_told_otherwise(started: list[str]) -> None:
    say_up()
    assert started == ["postgres"]


@pytest.mark.parametrize(
    ("words", "handed"),
    [((), "not said"), (("BUS=kafka",), "kafka"), (("BUS=postgres",), "postgres")],
)
def test_make_names_a_bus_to_up_only_when_it_was_told_one(
    tmp_path: Path, words: tuple[str, ...], handed: str
) -> None:
    command = tmp_path / "waybill"
    command.write_text('#!/bin/sh\necho "$1 ${BUS-not said}"\n')
    command.chmod(0o755)
    env = {name: text for name, text in os.environ.items() if not name.startswith(("BUS", "MAKE"))}
    answer = subprocess.run(
        ["make", "--silent", "--old-file=.venv/.installed", "up", f"WAYBILL={command}", *words],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == f"up {handed}\n"
