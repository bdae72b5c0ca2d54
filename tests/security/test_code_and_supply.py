"""S24, S25: nothing is deserialised but JSON; what is installed is locked by hash."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from waybill_events.catalogue import SUBSCRIPTIONS

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("libs", "services", "sandboxes", "cli", "deploy")
    for path in (ROOT / folder).rglob("*.py")
    if "tests" not in path.parts
)
MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "marshal",
    "shelve",
    "jsonpickle",
    "yaml",
    "xml",
    "telnetlib",
}
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
METHODS = {("os", "system"), ("os", "popen"), ("tempfile", "mktemp"), ("ssl", "_create_unverified")}
KEYWORDS = {"shell": True, "verify": False}
LOCKS = sorted([*ROOT.glob("**/requirements.lock"), ROOT / "deploy/images/build.lock"])


def dangers(tree: ast.Module) -> Iterator[str]:
    """What must not be in a program that reads what others sent."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found = {one.name.partition(".")[0] for one in names} & MODULES
            case ast.ImportFrom(module=str(module)):
                found = {module.partition(".")[0]} & MODULES
            case ast.Call(func=ast.Name(id=name)):
                found = {name} & CALLS
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name)):
                found = {f"{owner}.{name}"} if (owner, name) in METHODS else set()
            case ast.keyword(arg=str(name), value=ast.Constant(value=value)):
                found = (
                    {f"{name}={value}"} if name in KEYWORDS and KEYWORDS[name] is value else set()
                )
            case _:
                continue
        yield from (f"line {getattr(node, 'lineno', 0)}: {what}" for what in found)


def test_no_source_runs_or_unpickles_what_it_reads() -> None:
    assert len(SOURCES) > 150
    found = {
        str(path.relative_to(ROOT)): told
        for path in SOURCES
        if (told := list(dangers(ast.parse(path.read_text()))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "planted",
    [
        *("import pickle", "from yaml import load", "import xml.etree", "eval('1')"),
        *("exec(code)", "os.system('x')", "run(x, shell=True)", "get(x, verify=False)"),
    ],
)
def test_a_planted_danger_is_seen(planted: str) -> None:
    assert list(dangers(ast.parse(planted)))


def test_the_linter_keeps_its_security_rules() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert {"S", "BLE", "T20"} <= set(rules["select"])
    assert not [rule for rule in rules["ignore"] if rule.startswith("S") and rule[1:].isdigit()]


def requirements(lock: Path) -> Iterator[tuple[str, int]]:
    """Each locked package, and how many hashes it may have."""
    for block in re.split(r"\n(?=\S)", lock.read_text()):
        if found := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", block):
            yield f"{found[1].lower()}=={found[2]}", block.count("--hash=sha256:")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.parent.name)
def test_everything_installed_is_locked_to_a_version_and_its_hashes(lock: Path) -> None:
    locked = list(requirements(lock))
    assert locked
    assert [name for name, hashes in locked if hashes == 0] == []
    for line in lock.read_text().splitlines():
        assert not re.match(r"(-e|--extra-index|--index|--find|git\+|https?:|[\w.-]+ @ )", line), (
            line
        )


def test_every_service_has_a_lock_and_every_install_asks_for_hashes() -> None:
    assert {lock.parent.name for lock in LOCKS} >= {*SUBSCRIPTIONS, "sandboxes", "cli", "images"}
    for file in (
        ROOT / "Makefile",
        *ROOT.glob("services/*/Dockerfile"),
        ROOT / "sandboxes/Dockerfile",
        ROOT / "cli/Dockerfile",
    ):
        installs = re.findall(r"pip install(?:[^\n]*\\\n)*[^\n]*", file.read_text())
        for install in installs:
            ours = "--no-deps" in install or "uv==" in install
            assert ours or "--require-hashes" in install, (file, install)
