"""Every service is made of the same rooms, and says the same of itself."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import ROOT, Rule, code, imports, plant, services

ROOMS = (
    *("__main__", "bootstrap", "settings", "api", "bodies"),
    *("service", "due", "reactor", "views", "decider"),
)
ROOMS_LESS = {"tracking": {"due", "reactor", "decider"}}  # it decides nothing: projections only
OUTSIDE = {"effects", "ports", "adapters"}
"""The rooms of a service that calls somebody outside."""
ROOMS_MORE = {
    "capture": {"timers", "vault", "addresses", "fields"},
    "inventory": {"timers"},
    "payment": {"timers", *OUTSIDE, "calls"},
    "fulfillment": {"timers", *OUTSIDE, "feed", "testing"},
    "notification": {*OUTSIDE, "rendering"},
    "tracking": {"words", "testing"},
}
ROOMS_OF_JOBS = {
    "waybill_runtime.decider.Follow": ("due",),
    "waybill_runtime.stored.Job": ("due", "calls"),
    "waybill_runtime.stored.ClaimedJob": ("due", "timers", "effects"),
    "waybill_runtime.jobs.because_of": ("timers",),
    "waybill_runtime.jobs.Outcome": ("effects",),
}
"""Where a service makes jobs, decides what they mean, and performs them: nowhere else."""
CARD = ("Decides", "Listens", "Publishes", "Stores", "Runs", "When it hurts")


def services_have_the_same_rooms(root: Path) -> Iterator[str]:
    for service, package in services(root):
        there = {path.stem for path in package.glob("*.py")} - {"__init__"}
        there |= {path.parent.name for path in package.glob("*/__init__.py")}
        its = (set(ROOMS) - ROOMS_LESS.get(service, set())) | ROOMS_MORE.get(service, set())
        yield from (f"{service} has no room {room}" for room in sorted(its - there))
        yield from (f"{service} has a room {room}" for room in sorted(there - its))


def jobs_have_their_rooms(root: Path) -> Iterator[str]:
    for name, tree, _ in code(root):
        found = re.match(r"services/(\w+)/src/\1/(\w+)", name)
        if not found:
            continue
        for line, module in imports(tree):
            if found[2] not in ROOMS_OF_JOBS.get(module, (found[2],)):
                yield f"{name}:{line}: {module} is for {', '.join(ROOMS_OF_JOBS[module])}"


def services_have_the_same_card(root: Path) -> Iterator[str]:
    for service, package in services(root):
        card = package.parents[1] / "README.md"
        text = card.read_text(encoding="utf-8") if card.exists() else ""
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        if headings != list(CARD):
            yield f"services/{service}/README.md has the headings {headings}, not {list(CARD)}"


def services_can_be_shipped(root: Path) -> Iterator[str]:
    for service, _ in services(root):
        for needed in (f"services/{service}/Dockerfile", f"deploy/k8s/base/{service}"):
            if not (root / needed).exists():
                yield f"{needed} is missing"


RULES: tuple[Rule, ...] = (
    services_have_the_same_rooms,
    jobs_have_their_rooms,
    services_have_the_same_card,
    services_can_be_shipped,
)
CAPTURE = "services/capture/src/capture"
JOB = "from waybill_runtime.stored import Job\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository of one service in which every rule is kept."""
    plant(tmp_path, "services/capture/pyproject.toml", "")
    for room in ("__init__", *ROOMS, *ROOMS_MORE["capture"]):
        plant(tmp_path, f"{CAPTURE}/{room}.py", "")
    plant(tmp_path, f"{CAPTURE}/due.py", JOB)
    plant(tmp_path, "services/capture/README.md", "\n".join(f"## {heading}" for heading in CARD))
    plant(tmp_path, "services/capture/Dockerfile", "FROM scratch\n")
    plant(tmp_path, "deploy/k8s/base/capture/api.yaml", "{}\n")
    return tmp_path


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps_the_rule(rule: Rule) -> None:
    assert list(rule(ROOT)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_tree_of_one_good_service_keeps_the_rule(rule: Rule, tree: Path) -> None:
    assert list(rule(tree)) == []


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (services_have_the_same_rooms, "services/returns/pyproject.toml", ""),
        (services_have_the_same_rooms, f"{CAPTURE}/deadlines.py", ""),
        (services_have_the_same_rooms, f"{CAPTURE}/feed/__init__.py", ""),
        (services_have_the_same_rooms, f"{CAPTURE}/effects.py", ""),
        (jobs_have_their_rooms, f"{CAPTURE}/service.py", JOB),
        (jobs_have_their_rooms, f"{CAPTURE}/timers.py", JOB),
        (jobs_have_their_rooms, f"{CAPTURE}/api.py", "from waybill_runtime.jobs import Outcome\n"),
        (services_have_the_same_card, "services/capture/README.md", "## Decides\n"),
        (services_have_the_same_card, "services/returns/pyproject.toml", ""),
        (services_can_be_shipped, "services/returns/pyproject.toml", ""),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_violation_is_caught(rule: Rule, name: str, text: str, tree: Path) -> None:
    plant(tree, name, text)
    assert len(list(rule(tree))) > 0


def test_every_rule_has_a_planted_violation() -> None:
    marks = test_a_planted_violation_is_caught.pytestmark  # type: ignore[attr-defined]  # pytest hangs it on
    assert {case[0] for case in marks[0].args[1]} == set(RULES)
