"""Every example ever committed is read today, and means what its schema says."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from waybill_events import asyncapi, codec, envelope, schemas
from waybill_events.catalogue import CATALOGUE
from waybill_events.envelope import Recorded
from waybill_events.upcast import STEPS, upcast

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "libs/events/examples"
EXAMPLES = sorted(FOLDER.glob("*/*.json"))


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def recorded(path: Path) -> Recorded:
    told = json.loads(path.read_text(encoding="utf-8"))
    newest, _ = upcast(told["type"], {}, {t: s for t, s in STEPS.items() if t not in CATALOGUE})
    return Recorded(
        event_id=told["id"],
        type=told["type"],
        stream=told["stream"],
        version=told["streamversion"],
        tenant=told["tenant"],
        topic=CATALOGUE[newest].topic,
        key=told["partitionkey"],
        occurred_at=datetime.fromisoformat(told["time"]),
        causation_id=told["causationid"],
        correlation_id=told["correlationid"],
        actor=told["actor"],
        origin=told["origin"],
        data=json.dumps(told["data"]),
    )


def schema(type_: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((ROOT / schemas.FOLDER / f"{type_}.json").read_text())
    return told


@pytest.mark.parametrize("type_", CATALOGUE)
def test_every_type_has_an_example(type_: str) -> None:
    assert any(FOLDER.glob(f"{type_}/*.json"))


def test_every_example_is_of_a_type_we_know() -> None:
    assert {path.parent.name for path in EXAMPLES} <= CATALOGUE.keys() | STEPS.keys()


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_an_example_fits_its_schema(path: Path) -> None:
    told = json.loads(path.read_text())
    assert told["type"] == path.parent.name
    jsonschema.Draft202012Validator(
        schema(told["type"]), format_checker=jsonschema.FormatChecker()
    ).validate(told["data"])


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_an_example_is_read_as_todays_event(path: Path) -> None:
    event = codec.decode(recorded(path))
    assert event.TYPE in CATALOGUE


@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if path.parent.name in CATALOGUE], ids=name
)
def test_an_example_survives_the_codec(path: Path) -> None:
    """Nothing of it is lost; only fields that are younger than it are added."""
    old = recorded(path)
    event = codec.decode(old)
    assert event.model_dump(mode="json", exclude_unset=True) == json.loads(old.data)
    assert codec.decode(replace(old, data=codec.encode(event))) == event


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_an_examples_envelope_is_what_we_would_write(path: Path) -> None:
    told = json.loads(path.read_text())
    assert envelope.structured(recorded(path), told["data"]) == told


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_an_examples_headers_fit_the_asyncapi_document(path: Path) -> None:
    headers = {key: value.decode() for key, value in envelope.headers(recorded(path))}
    allowed = asyncapi.document()["components"]["schemas"]["CloudEventHeaders"]
    jsonschema.Draft7Validator(allowed).validate(headers)


@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if path.parent.name in CATALOGUE], ids=name
)
def test_an_examples_key_is_the_field_that_its_topic_is_keyed_by(path: Path) -> None:
    told = json.loads(path.read_text())
    assert told["partitionkey"] == told["data"][schemas.key_field(CATALOGUE[told["type"]])]


def test_no_two_examples_share_an_event_id() -> None:
    ids = [json.loads(path.read_text())["id"] for path in EXAMPLES]
    assert len(set(ids)) == len(ids)
