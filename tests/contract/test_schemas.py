"""The committed schemas say what the models say, one per type, and nothing else."""

import json
from pathlib import Path
from typing import ClassVar

import jsonschema
import pytest

from waybill_events import generate, schemas
from waybill_events.catalogue import CATALOGUE, Entry
from waybill_events.event import Count, Event, Id
from waybill_events.upcast import STEPS

ROOT = Path(__file__).parents[2]
COMMITTED = sorted((ROOT / schemas.FOLDER).glob("*.json"))


class Grown(Event):
    """An order, told with a field that its first events lack."""

    TYPE: ClassVar[str] = "capture.grown.v1"
    order_id: Id
    gifts: Count = 0


def test_everything_generated_is_committed_as_generated() -> None:
    assert generate.differences(ROOT) == []


@pytest.mark.parametrize("type_", CATALOGUE)
def test_every_type_has_a_schema_of_its_name(type_: str) -> None:
    told = json.loads((ROOT / schemas.FOLDER / f"{type_}.json").read_text())
    assert told["$id"] == f"urn:waybill:schema:{type_}"
    assert told["title"] == CATALOGUE[type_].model.__name__
    assert told["description"]
    assert told["x-waybill"]["producer"] == CATALOGUE[type_].producer


def test_no_schema_is_an_orphan() -> None:
    assert {path.stem for path in COMMITTED} - CATALOGUE.keys() - STEPS.keys() == set()


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_every_schema_is_a_schema(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_a_field_that_old_events_lack_is_not_required() -> None:
    told = schemas.schema(Entry(Grown, "orders"))
    assert told["required"] == ["order_id"]
    assert told["properties"]["gifts"]["default"] == 0


def test_check_tells_a_missing_a_changed_and_an_orphaned_file(tmp_path: Path) -> None:
    generate.write(tmp_path)
    assert generate.differences(tmp_path) == []
    folder = tmp_path / schemas.FOLDER
    (folder / "capture.order_placed.v1.json").unlink()
    (folder / "capture.order_expired.v1.json").write_text("{}")
    (folder / "capture.order_dreamt.v1.json").write_text("{}")
    assert generate.differences(tmp_path) == [
        f"{schemas.FOLDER}/capture.order_dreamt.v1.json is the schema of no known type",
        f"{schemas.FOLDER}/capture.order_expired.v1.json differs from what the catalogue says",
        f"{schemas.FOLDER}/capture.order_placed.v1.json is missing",
    ]
    assert generate.main(["--check", "--root", str(tmp_path)]) == 1


def test_writing_twice_writes_nothing_the_second_time(tmp_path: Path) -> None:
    assert len(generate.write(tmp_path)) == len(generate.documents())
    assert generate.write(tmp_path) == []
