"""What the pages name of our code is there: modules, functions, job kinds, files of a service."""

import importlib
import re
from pathlib import Path

import pytest
from house import ROOT

from waybill import programs
from waybill.simulation.system import compose_here
from waybill_events.catalogue import CATALOGUE

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
    *sorted((ROOT / "services").glob("*/README.md")),
]
CARDS = sorted((ROOT / "services").glob("*/README.md"))
OURS = "|".join((*programs.SERVICES, "waybill_runtime", "waybill_events", r"waybill(?=\.)"))
NAMED = re.compile(rf"`((?:{OURS})(?:\.\w+)+)`")
KINDS = {
    kind
    for blueprint in map(compose_here, programs.SERVICES)
    for kind in (*blueprint.timers, *blueprint.effects)
}


def is_there(name: str) -> bool:
    """Whether a dotted name is a module, or what one holds."""
    module, held = name, ""
    while True:
        try:
            found: object = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            held = f"{last}.{held}"
            if not module:
                return False
    for part in filter(None, held.split(".")):
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_names_code_and_job_kinds_that_exist(page: Path) -> None:
    named = set(NAMED.findall(page.read_text())) - KINDS - CATALOGUE.keys()
    assert {name for name in named if not is_there(name)} == set()


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.parent.name)
def test_a_card_names_files_of_its_service(card: Path) -> None:
    package = card.parent / "src" / card.parent.name
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", card.read_text()))
    assert named
    assert {name for name in named if not (package / name).exists()} == set()


def test_the_walk_of_an_order_names_what_it_passes() -> None:
    walk = (ROOT / "README.md").read_text().partition("## The walk")[2].partition("\n## ")[0]
    assert len(NAMED.findall(walk)) >= 10


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("capture.service.Orders.place", True),
        ("waybill_runtime.jobs.because_of", True),
        ("payment.service.effects", False),
        ("fulfillment.labels", False),
        ("capture.service.Orders.lose", False),
    ],
)
def test_what_is_gone_is_told_from_what_is_there(name: str, there: bool) -> None:
    assert is_there(name) is there
