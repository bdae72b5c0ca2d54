"""Each oracle on a clean story, and on the same story with one thing falsified."""

from collections.abc import Mapping

import pytest

from waybill.audit import oracles, report
from waybill.audit.evidence import Evidence, Finding
from waybill.testing import lies, lies_log, lies_orders

ALL = [f"I{number}" for number in range(1, 16)]
TOLD = {lie.name: lie for lie in lies.TOLD}
MODULES = (lies_orders, lies_log)
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
    assert [text for text in found[lie.guarantee].violations if lie.names in text] != []


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
