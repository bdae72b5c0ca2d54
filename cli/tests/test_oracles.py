"""Each oracle on a clean story, and on the same story with one thing falsified."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict

import pytest

from waybill.audit import oracles, report
from waybill.audit.evidence import Evidence, Finding
from waybill.testing import lies, lies_log, lies_money, lies_orders

ALL = [f"I{number}" for number in range(1, 16)]
TOLD = {lie.name: lie for lie in lies.TOLD}
MODULES = (lies_orders, lies_money, lies_log)
LEAST = 3


def judged(evidence: Evidence) -> Mapping[str, Finding]:
    return {finding.guarantee: finding for finding in oracles.judge(evidence)}


def test_the_clean_story_holds_in_all_fifteen_points_and_says_what_it_looked_at() -> None:
    found = judged(lies.CLEAN)
    assert list(found) == ALL
    assert {name: f.violations for name, f in found.items() if f.violations} == {}
    assert {f.verdict for f in found.values()} == {"holds"}
    assert found["I1"].looked_at["orders placed"] == 2
    assert found["I3"].looked_at == {
        "SKUs": 1,
        "stock events": 6,
        "SKUs shown by the API": 1,
        "reservations": 2,
        "units that left": 1,
    }
    assert report.verdict(list(found.values())) == "holds"


@pytest.mark.parametrize("name", TOLD)
def test_a_lie_is_caught_by_the_oracle_it_is_told_to_and_named(name: str) -> None:
    lie = TOLD[name]
    found = judged(lie.tell())
    violated = {guarantee for guarantee, f in found.items() if f.violations}
    assert violated == {lie.guarantee, *lie.also}
    assert [text for text in found[lie.guarantee].said if lie.names in text] != []


@pytest.mark.parametrize("name", TOLD)
def test_a_violation_says_of_what_kind_it_is_and_of_what(name: str) -> None:
    """Programs go by these; the sentence is for people."""
    for guarantee, found in judged(TOLD[name].tell()).items():
        for one in found.violations:
            assert one.guarantee == guarantee
            assert re.fullmatch(r"[a-z]+(-[a-z]+)*", one.what)
            assert one.what == "nonsense" or all(isinstance(id_, str) and id_ for id_ in one.ids)
            assert one.what == "nonsense" or one.ids


def test_a_finding_is_read_back_as_it_was_written() -> None:
    found = judged(lies_money.a_shipment_was_captured_twice())["I4"]
    told = json.loads(json.dumps({**asdict(found), "verdict": found.verdict}))
    read = Finding.read(told)
    assert (read.said, read.verdict, read.looked_at) == (found.said, "violated", found.looked_at)
    assert [one.what for one in read.violations] == [one.what for one in found.violations]


@pytest.mark.parametrize("guarantee", ALL)
def test_every_oracle_is_lied_to_in_three_ways_at_least(guarantee: str) -> None:
    assert sum(lie.guarantee == guarantee for lie in TOLD.values()) >= LEAST


def test_no_lie_is_left_out_of_the_list() -> None:
    assert {lie.tell.__module__ for lie in TOLD.values()} == {m.__name__ for m in MODULES}
    assert len(TOLD) == len(lies.TOLD)


@pytest.mark.parametrize("oracle", oracles.ORACLES, ids=lambda oracle: oracle.__name__)
def test_an_oracle_that_is_shown_nothing_has_checked_nothing(oracle: oracles.Oracle) -> None:
    finding = oracle(Evidence.of_the_log_alone(lies.CLEAN.at, []))
    assert (finding.verdict, sum(finding.looked_at.values())) == ("not checked", 0)


@pytest.mark.parametrize("guarantee", ALL)
def test_an_oracle_counts_what_it_looks_at(guarantee: str) -> None:
    assert sum(judged(lies.CLEAN)[guarantee].looked_at.values()) > 0
