"""The short form of `make chaos`: under a minute of load and faults on a system of its own."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from waybill import programs

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

FAULTS = 10
KINDS = 6
RUN_TIMEOUT_S = 600.0


def test_a_system_struck_in_six_ways_heals_and_holds_every_guarantee() -> None:
    with tempfile.TemporaryDirectory(prefix="waybill-chaos-") as folder:
        # Postgres runs as another user, who has to walk through it.
        Path(folder).chmod(0o711)
        evidence = Path(folder, "evidence.json")
        ran = subprocess.run(
            [
                *programs.python("waybill"),
                *("chaos", "--minutes", "0.6", "--seed", "6", "--orders", "10"),
                *("--faults", str(FAULTS), "--customers", "8", "--bus", "postgres"),
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
    assert found["reached"]["faults"] >= FAULTS
    assert found["reached"]["kinds"] >= KINDS
