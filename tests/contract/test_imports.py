"""The import contracts of pyproject.toml hold on a clean tree, and each breaks when broken."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = (ROOT / "pyproject.toml").read_text()
CONTRACTS: list[str] = [
    c["name"] for c in tomllib.loads(CONFIG)["tool"]["importlinter"]["contracts"]
]
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/pyproject.toml"))
ROOMS = (
    "__main__",
    "bootstrap",
    "settings",
    "api",
    "consumer",
    "service",
    "ports",
    "views",
    "reactor",
    "decider",
)
OTHERS = {
    "waybill": ("__main__",),
    "waybill_sandboxes": ("gateway",),
    "waybill_runtime": ("decider", "store"),
    "waybill_events": ("event",),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Our packages with empty rooms, under our contracts."""
    for package, modules in {**dict.fromkeys(SERVICES, ROOMS), **OTHERS}.items():
        (tmp_path / package).mkdir()
        for module in ("__init__", *modules):
            (tmp_path / package / f"{module}.py").write_text("")
    plant(tmp_path, "waybill_runtime/decider.py", "import waybill_runtime.store")
    (tmp_path / "pyproject.toml").write_text(CONFIG)
    return tmp_path


def plant(tree: Path, path: str, line: str) -> None:
    with (tree / path).open("a") as file:
        file.write(f"{line}\n")


def broken(tree: Path) -> set[str]:
    """The names of the contracts that do not hold in a tree."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    verdicts = [name for name in CONTRACTS if f"{name} KEPT" in done.stdout]
    found = {name for name in CONTRACTS if f"{name} BROKEN" in done.stdout}
    assert len(verdicts) + len(found) == len(CONTRACTS), done.stdout + done.stderr
    assert done.returncode == (1 if found else 0)
    return found


def contract(start: str) -> str:
    (name,) = [name for name in CONTRACTS if name.startswith(start)]
    return name


def test_the_repository_keeps_every_contract() -> None:
    assert broken(ROOT) == set()


def test_a_clean_tree_keeps_every_contract(tree: Path) -> None:
    assert broken(tree) == set()


@pytest.mark.parametrize(
    ("path", "line", "start"),
    [
        ("payment/service.py", "import capture.views", "No service imports"),
        ("waybill_events/event.py", "import waybill_runtime.store", "The command stands"),
        ("waybill_runtime/store.py", "import capture.service", "The command stands"),
        ("capture/service.py", "import waybill_sandboxes.gateway", "The command stands"),
        ("waybill_sandboxes/gateway.py", "import waybill_events.event", "Sandboxes"),
        ("capture/decider.py", "import capture.service", "A service's rooms"),
        ("capture/service.py", "import capture.api", "A service's rooms"),
        ("capture/leftovers.py", "", "A service's rooms"),
        ("capture/decider.py", "import asyncio", "Rules are pure"),
        ("capture/reactor.py", "import waybill_runtime.store", "Rules are pure"),
        ("waybill_events/event.py", "import random", "Rules are pure"),
        ("capture/views.py", "import asyncpg", "Views fold"),
        ("capture/service.py", "import sqlalchemy.ext.asyncio", "Services, APIs"),
        ("capture/api.py", "import httpx", "Services, APIs"),
        ("capture/consumer.py", "import aiokafka", "Services, APIs"),
    ],
)
def test_a_planted_import_breaks_its_contract(tree: Path, path: str, line: str, start: str) -> None:
    plant(tree, path, line)
    assert contract(start) in broken(tree)


def test_a_rule_that_reaches_a_technology_through_another_room_is_seen(tree: Path) -> None:
    plant(tree, "capture/words.py", "import httpx")
    plant(tree, "capture/decider.py", "import capture.words")
    assert contract("Rules are pure") in broken(tree)
