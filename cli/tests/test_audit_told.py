"""`waybill audit --json` says what its schema promises, whatever was found."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from waybill.audit import oracles, report, told
from waybill.audit.evidence import Evidence
from waybill.testing import lies_log, lies_money, lies_orders
from waybill.testing.lies import CLEAN, TOLD

ROOT = Path(__file__).parents[2]
FOUND: Mapping[str, Callable[[], Evidence]] = {
    "holds": lambda: CLEAN,
    "violated": lies_money.a_shipment_was_captured_twice,
    "nonsense": lies_orders.an_event_whose_lines_are_no_lines,
    "nothing there": lambda: Evidence.of_the_log_alone(CLEAN.at, []),
    "kept from us": lambda: replace(CLEAN, gateway=None, bus=None),
    "tampered": lies_log.an_event_was_dated_back,
}


def said(evidence: Evidence) -> Mapping[str, object]:
    findings = oracles.judge(evidence)
    found = report.as_json(evidence.at, findings, ["a note"], settled=True)
    parsed: Mapping[str, object] = json.loads(json.dumps(found))
    return parsed


def test_the_schema_in_the_repository_is_the_one_that_the_code_tells() -> None:
    assert (ROOT / told.SCHEMA).read_text(encoding="utf-8") == told.schema()


@pytest.mark.parametrize("what", FOUND)
def test_what_is_said_is_what_the_schema_promises_and_no_more(what: str) -> None:
    found = said(FOUND[what]())
    schema = json.loads(told.schema())
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    assert [error.message for error in validator.iter_errors(found)] == []
    assert found.keys() == told.Told.model_fields.keys()
    for judged in told.Told.model_validate(found).guarantees:
        assert judged.model_fields_set == told.Judged.model_fields.keys()


def test_every_violation_is_said_however_many_there_are() -> None:
    lie = next(lie for lie in TOLD if lie.name == "an_acknowledged_order_is_missing")
    lost = lie.tell().clients[-1]
    many = [replace(lost, order_id=f"ord_{number}") for number in range(100, 400)]
    found = told.Told.model_validate(said(replace(CLEAN, clients=[*CLEAN.clients, *many])))
    assert len(found.guarantees[0].violations) == len(many)
