"""A service is a folder with a pyproject.toml; every place that names them all names just those."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SERVICES = {path.parent.name for path in ROOT.glob("services/*/pyproject.toml")}
CODE = ("libs", "services", "sandboxes", "cli", "deploy", "bench", "tests")


def _project(path: str) -> Any:
    return tomllib.loads((ROOT / path).read_text())


def _contract(start: str) -> Any:
    contracts = _project("pyproject.toml")["tool"]["importlinter"]["contracts"]
    (found,) = [one for one in contracts if one["name"].startswith(start)]
    return found


def _strings(node: ast.AST) -> set[str]:
    """The texts that a list, or the keys of a mapping, are made of."""
    match node:
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            return {str(p.value) for p in parts if isinstance(p, ast.Constant)}
        case ast.Dict(keys=keys):
            return {str(key.value) for key in keys if isinstance(key, ast.Constant)}
    return set()


def _python(path: str, name: str, others: set[str]) -> set[str]:
    for node in ast.parse((ROOT / path).read_text()).body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=found)], value=value)
                | ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value)
            ) if found == name:
                return _strings(value) - others
    raise AssertionError(f"{path} has no {name} any more: mend this test's PLACES")


def _members() -> set[str]:
    prefix, members = "waybill-", _project("cli/pyproject.toml")["tool"]["uv"]["sources"]
    return {name.removeprefix(prefix) for name in members} - {"events", "runtime", "sandboxes"}


def _roots() -> set[str]:
    roots = _project("pyproject.toml")["tool"]["importlinter"]["root_packages"]
    return {root for root in roots if not root.startswith("waybill")}


def _layer() -> set[str]:
    (layer,) = [one for one in _contract("The command stands")["layers"] if "|" in one]
    return set(layer.split(" | ")) - {"waybill_sandboxes"}


def _databases() -> set[str]:
    (names,) = re.findall(
        r"^for service in (.+); do$", (ROOT / "deploy/compose/databases.sh").read_text(), re.M
    )
    return set(names.split())


def _compose() -> set[str]:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return {name.removesuffix("-migrate") for name in services if name.endswith("-migrate")}


def _overlay() -> set[str]:
    prod = yaml.safe_load((ROOT / "deploy/k8s/overlays/prod/kustomization.yaml").read_text())
    return {Path(one).name for one in prod["resources"] if "base" in Path(one).parts}


PYTHON: Mapping[str, tuple[str, set[str]]] = {
    "cli/src/waybill/programs.py": ("SERVICES", set()),
    "cli/src/waybill/simulation/system.py": ("_COMPOSE", set()),
    "cli/src/waybill/openapi.py": ("CONSUMERS", set()),
    "cli/src/waybill/audit/outside.py": ("OURS", {"supervisor"}),
    "cli/src/waybill/audit/gather.py": ("READ_ORDER", set()),
    "libs/events/src/waybill_events/catalogue.py": ("SUBSCRIPTIONS", set()),
    "tests/contract/test_rooms.py": ("ROOMS_MORE", set()),
    "tests/crash/crash_cases.py": ("PARKED_TOPIC", set()),
    "tests/crash/crash_roots.py": ("COMPOSE", set()),
}
"""Lists that say more than names: an order, a value of each. And who stands in them besides."""

PLACES: Mapping[str, Callable[[], set[str]]] = {
    **{
        f"{path}: {name}": partial(_python, path, name, others)
        for path, (name, others) in PYTHON.items()
    },
    "pyproject.toml: root_packages": _roots,
    "pyproject.toml: No service imports another": lambda: set(_contract("No service")["modules"]),
    "pyproject.toml: The command stands on services": _layer,
    "pyproject.toml: A service's rooms": lambda: set(_contract("A service's")["containers"]),
    "cli/pyproject.toml: tool.uv.sources": _members,
    "deploy/compose/databases.sh": _databases,
    "docker-compose.yml": _compose,
    "deploy/k8s/base": lambda: {path.name for path in (ROOT / "deploy/k8s/base").iterdir()},
    "deploy/k8s/overlays/prod/kustomization.yaml": _overlay,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_list_of_services_names_each_and_no_other(place: str) -> None:
    named = PLACES[place]()
    lacks, has_besides = sorted(SERVICES - named), sorted(named - SERVICES)
    assert not lacks, f"{place} lacks {lacks}"
    assert not has_besides, f"{place} names {has_besides}, which are no services"


def _copies() -> Iterator[str]:
    for top in CODE:
        for path in sorted((ROOT / top).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            lists = [node.lineno for node in nodes if _strings(node) >= SERVICES]  # type: ignore[attr-defined]  # each of them is an expression
            yield from (f"{name}:{line}" for line in lists[name in PYTHON :])


def test_nobody_else_keeps_a_list_of_services() -> None:
    """Take waybill.programs.SERVICES or the catalogue's SUBSCRIPTIONS, or tell PYTHON above."""
    assert list(_copies()) == []
