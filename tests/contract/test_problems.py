"""Every kind of problem is on one list, is used, keeps its status, and stands on the page."""

import ast
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest

from waybill import problems
from waybill_events.compatibility import APIS
from waybill_runtime.http import kinds, problem
from waybill_runtime.http.kinds import KINDS, Kind, urn

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "libs/runtime/src", *sorted((ROOT / "services").glob("*/src")))


def made(source: str) -> Iterator[tuple[str, int]]:
    """Each kind that a call makes a problem of, with the status before it."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        values = [one.value if isinstance(one, ast.Constant) else None for one in node.args]
        for status, kind in pairwise(values):
            if isinstance(status, int) and 400 <= status < 600 and isinstance(kind, str):
                yield kind, status


MADE = {
    found
    for folder in FOLDERS
    for path in sorted(folder.rglob("*.py"))
    if path != Path(kinds.__file__)
    for found in made(path.read_text(encoding="utf-8"))
}


def test_calls_that_make_a_problem_are_found() -> None:
    planted = "raise Refused(409, 'a', x)\nself._refuse(scope, 422, 'b', x)\nf(200, 'c')\nf('d')"
    assert list(made(planted)) == [("a", 409), ("b", 422)]


def test_every_kind_is_described_by_status_and_name() -> None:
    assert set(KINDS) == set(get_args(Kind))
    assert len(get_args(Kind)) == len(KINDS)
    assert list(KINDS) == sorted(KINDS, key=lambda kind: (KINDS[kind].status, kind))
    assert list(get_args(Kind)) == list(KINDS)


def test_every_kind_is_used_and_always_with_its_status() -> None:
    assert {(kind, entry.status) for kind, entry in KINDS.items()} == MADE


def test_the_page_says_what_the_code_says() -> None:
    text = (ROOT / problems.PATH).read_text(encoding="utf-8")
    assert text == problems.page()
    for kind, entry in KINDS.items():
        assert f"| `{kind}` | {entry.status} | {entry.meaning} | {entry.remedy} |\n" in text
        assert "|" not in entry.meaning + entry.remedy


@pytest.mark.parametrize("path", sorted((ROOT / APIS).glob("*.json")), ids=lambda path: path.stem)
def test_each_openapi_document_lists_them(path: Path) -> None:
    document: Any = json.loads(path.read_text(encoding="utf-8"))
    told = document["components"]["schemas"]["Problem"]["properties"]["type"]
    assert told["enum"] == [urn(kind) for kind in KINDS]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_problem_has_the_type_of_its_kind(kind: Kind) -> None:
    told = problem.document(KINDS[kind].status, kind, "What was wrong.")
    assert told.type == f"urn:waybill:problem:{kind}"
