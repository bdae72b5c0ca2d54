"""Planted bugs are in no product: nothing that is shipped imports them or carries them."""

import ast
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from bugs import BUGS

ROOT = Path(__file__).parents[2]
HERE = {"bugs", "planted", *(path.stem for path in Path(__file__).parent.glob("*.py"))}
MEMBERS = sorted(path.parent for path in ROOT.glob("*/pyproject.toml")) + sorted(
    path.parent for path in ROOT.glob("*/*/pyproject.toml")
)


def imported(source: str) -> set[str]:
    """The first part of every module that a file names in an import."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_an_import_of_a_bug_would_be_seen() -> None:
    assert imported("from bugs.paying import x") & HERE
    assert imported("import bugs") & HERE


def test_no_product_code_imports_a_bug() -> None:
    sources = [path for member in MEMBERS for path in (member / "src").rglob("*.py")]
    assert len(sources) > 200
    guilty = [str(p.relative_to(ROOT)) for p in sources if imported(p.read_text()) & HERE]
    assert guilty == []


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_no_wheel_carries_a_bug(member: Path) -> None:
    builder = WheelBuilder(str(member))
    files = [included.distribution_path for included in builder.recurse_included_files()]
    assert any(name.endswith(".py") for name in files)
    assert [name for name in files if set(Path(name).parts) & {"bugs", "planted", "tests"}] == []


def test_a_planted_bug_is_gone_afterwards() -> None:
    for bug in BUGS.values():
        edits = list(bug.edits())
        before = [vars(edit.owner).get(edit.name) for edit in edits]
        with bug.planted():
            during = [vars(edit.owner).get(edit.name) for edit in edits]
        assert [vars(edit.owner).get(edit.name) for edit in edits] == before, bug.id
        assert all(now is not then for now, then in zip(during, before, strict=True)), bug.id
