"""The short forms of the long runs on real processes: chaos, recovery, soak, and one promise each.

Each starts a system of its own by the command that the long form uses, and reads the evidence.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from waybill import programs

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RUN_TIMEOUT_S = 600.0


def run(*words: str) -> Any:
    """The evidence of a run that found no violation and did not fall short."""
    with tempfile.TemporaryDirectory(prefix="waybill-proof-") as folder:
        # Postgres runs as another user, who has to walk through it.
        Path(folder).chmod(0o711)
        evidence = Path(folder, "evidence.json")
        ran = subprocess.run(
            [
                *programs.python("waybill"),
                *words,
                *("--home", str(Path(folder, "home")), "--evidence", str(evidence)),
            ],
            env={name: text for name, text in os.environ.items() if name != "WAYBILL_HOME"},
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
        assert evidence.exists(), ran.stderr[-2000:]
        found = json.loads(evidence.read_text())
    violations = [line for one in found["guarantees"] for line in one["violations"]]
    assert violations == []
    assert found["shortfalls"] == []
    assert ran.returncode == 0, ran.stderr[-2000:]
    return found


def test_a_system_struck_in_six_ways_heals_and_holds_every_guarantee() -> None:
    words = "chaos --minutes 0.6 --seed 6 --orders 10 --faults 10 --customers 8"
    found = run(*words.split())
    assert found["reached"]["faults"] >= 10
    assert found["reached"]["kinds"] >= 6


def test_killed_services_and_a_killed_postgres_are_back_in_time() -> None:
    words = "chaos --minutes 0.4 --seed 2 --orders 2 --faults 5 --customers 6"
    found = run(*words.split(), "--kinds", "service-kill,postgres-kill")
    assert set(found["details"]["faults_by_kind"]) == {"service-kill", "postgres-kill"}


def test_a_system_under_load_does_not_grow() -> None:
    words = "soak --minutes 1 --rate 1 --customers 12"
    found = run(*words.split())
    assert found["reached"]["orders"] >= 60


@pytest.mark.parametrize("promise", ["oversell", "double-submit", "gateway"])
def test_a_promise_holds_in_numbers(promise: str) -> None:
    found = run("prove", promise)
    asked, reached = found["asked"], found["reached"]
    lies = {name for name in asked if name.endswith("_struck")}
    assert all(reached[name] >= asked[name] for name in lies)
    figures = asked.keys() - lies - {"quiet_s"}
    assert {name: reached[name] for name in figures} == {name: asked[name] for name in figures}
