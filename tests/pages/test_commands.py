"""The pages' commands, run as they stand, in a fresh copy of the work tree."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNS_US = "make test"
START_S = 240
PAGE_S = 120
GUARANTEES_SEEN = 12
"""All fifteen but I1, I13 and I15: those need a ledger that a client kept."""
OURS = ("BUS", "WAREHOUSE", "KAFKA", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VIRTUAL_ENV")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * START_S)]


def script(page: Path) -> str:
    """All shell blocks of a page, in order; without the line that runs this very test."""
    lines = "\n".join(BLOCK.findall(page.read_text())).splitlines()
    return "\n".join(line for line in lines if not line.startswith(RUNS_US))


def run(script: str, where: Path, *, within_s: float) -> str:
    """What a reader's shell prints; it stops at the first command that fails."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in OURS and not name.startswith("WAYBILL")
    }
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=where,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within_s,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4_000:]
    return ran.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a clone would hold, in a folder with a space in its name; nothing is installed."""
    where = tmp_path_factory.mktemp("a fresh") / "way bill"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, where / name)
    try:
        yield where
    finally:
        run("make clean", where, within_s=PAGE_S)
    assert not (where / ".waybill").exists()


def test_the_readme_takes_an_order_to_its_customer(fresh: Path) -> None:
    printed = run(script(ROOT / "README.md"), fresh, within_s=START_S)
    shown = printed[printed.rindex('{"order"') :]
    assert '"status":"completed"' in shown
    assert '"delivered"' in shown


def test_the_tutorial_ends_with_the_readers_own_order_delivered(fresh: Path) -> None:
    printed = run(script(ROOT / "docs/tutorial.md"), fresh, within_s=START_S)
    assert "capture.order_completed.v1 <- fulfillment.shipment_delivered.v1" in printed, printed[
        -6_000:
    ]
    assert len(re.findall(r"^I\d+ .* holds ", printed, re.M)) >= GUARANTEES_SEEN, printed[-6_000:]
    assert re.search(r"^not checked: I1, I13, I15$", printed, re.M), printed[-6_000:]
    assert not re.search(r"^I\d+ .* violated ", printed, re.M)


def test_make_help_lists_every_target_that_the_pages_name(fresh: Path) -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    named = {
        target for page in pages for target in re.findall(r"`make ([a-z0-9-]+)", page.read_text())
    }
    listed = run("make help", fresh, within_s=PAGE_S)
    assert named, "the pages name make targets"
    assert {name for name in named if not re.search(rf"^  {name} ", listed, re.M)} == set()
