"""The import contracts of pyproject.toml hold on a clean tree, and each breaks when broken."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = (ROOT / "pyproject.toml").read_text()
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/pyproject.toml"))
CONFIGURED: dict[str, Any] = {
    c["name"]: c for c in tomllib.loads(CONFIG)["tool"]["importlinter"]["contracts"]
}
ROOMS = re.findall(
    r"\((\w+)\)",
    " ".join(next(c["layers"] for n, c in CONFIGURED.items() if n.startswith("A service's rooms"))),
)
"""The rooms that a service may have, from the top."""
OF_TECHNOLOGY = {"__main__", "testing", "bootstrap", "settings", "adapters"}
"""The rooms that may name what they run on."""
OTHERS = {
    "waybill": ("__main__",),
    "waybill_sandboxes": ("gateway",),
    "waybill_runtime": (
        *("adapters", "bus", "consumer", "decider", "http", "infrastructure", "jobs", "projector"),
        *("service", "store", "work"),
    ),
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
    plant(tmp_path, "waybill_runtime/service.py", "import fastapi")
    plant(tmp_path, "waybill_runtime/projector.py", "import waybill_runtime.work")
    plant(tmp_path, "capture/views.py", "import waybill_runtime.projector")
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
    verdicts = [name for name in CONFIGURED if f"{name} KEPT" in done.stdout]
    found = {name for name in CONFIGURED if f"{name} BROKEN" in done.stdout}
    assert len(verdicts) + len(found) == len(CONFIGURED), done.stdout + done.stderr
    assert done.returncode == (1 if found else 0)
    return found


def contract(start: str) -> str:
    (name,) = [name for name in CONFIGURED if name.startswith(start)]
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
        ("capture/due.py", "import capture.service", "A service's rooms"),
        ("payment/service.py", "import payment.effects", "A service's rooms"),
        ("capture/decider.py", "import asyncio", "Rules are pure"),
        ("capture/reactor.py", "import waybill_runtime.store", "Rules are pure"),
        ("waybill_events/event.py", "import random", "Rules are pure"),
        ("capture/views.py", "import asyncpg", "Views fold"),
        ("capture/views.py", "import waybill_runtime.store", "Views fold"),
        ("capture/service.py", "import sqlalchemy.ext.asyncio", "Only adapters"),
        ("capture/api.py", "import httpx", "Only adapters"),
        ("capture/vault.py", "import asyncpg", "Only adapters"),
        ("capture/service.py", "import waybill_runtime.adapters", "Only adapters"),
        ("payment/calls.py", "import aiokafka", "Only adapters"),
        ("payment/effects.py", "import httpx", "Only adapters"),
        ("fulfillment/effects.py", "import starlette.responses", "Only the API"),
        ("fulfillment/feed.py", "import fastapi", "Only the API"),
    ],
)
def test_a_planted_import_breaks_its_contract(tree: Path, path: str, line: str, start: str) -> None:
    plant(tree, path, line)
    assert contract(start) in broken(tree)


def test_a_rule_that_reaches_a_technology_through_another_room_is_seen(tree: Path) -> None:
    plant(tree, "capture/words.py", "import httpx")
    plant(tree, "capture/decider.py", "import capture.words")
    assert contract("Rules are pure") in broken(tree)


def test_no_room_but_those_of_technology_may_name_one() -> None:
    forbidding = [c for c in CONFIGURED.values() if "sqlalchemy" in c.get("forbidden_modules", ())]
    barred = {module.removeprefix("*.") for c in forbidding for module in c["source_modules"]}
    assert set(ROOMS) - OF_TECHNOLOGY - barred == set()


def _rooms_of(service: str) -> set[str]:
    package = ROOT / "services" / service / "src" / service
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    return modules | {path.parent.name for path in package.glob("*/__init__.py")}


def test_every_room_that_may_be_is_somewhere() -> None:
    assert set(ROOMS) == set().union(*map(_rooms_of, SERVICES))


def test_the_architecture_page_tells_which_service_has_which_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    told: dict[str, set[str]] = {service: set() for service in SERVICES}
    for names, owners in re.findall(r"^\| (`[^|]+) \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE):
        without = set(re.findall(r"\w+", owners.partition("all but")[2]))
        who = set(SERVICES) - without if owners.startswith("all") else set(owners.split(", "))
        for service in who:
            told[service] |= set(re.findall(r"`(\w+)/?`", names))
    assert told == {service: _rooms_of(service) for service in SERVICES}


def test_who_serves_carries_nothing_that_only_migrations_need() -> None:
    """Each import is paid at every start, and a start is what a recovery consists of."""
    modules = ", ".join(f"{service}.__main__" for service in SERVICES)
    told = f"import sys, {modules}; print(*(sys.modules.keys() & {{'alembic', 'sqlalchemy.orm'}}))"
    asked = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert asked.stdout.split() == []
