"""A type's next version says what its first said: no oracle may look past it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from waybill.audit import oracles
from waybill.audit.evidence import Evidence
from waybill.testing import lies, lies_log, lies_money, lies_orders
from waybill_events.envelope import Recorded

MODULES = (lies_orders, lies_money, lies_log)
TOLD = {lie.name: lie for lie in lies.TOLD if lie.tell.__module__ in {m.__name__ for m in MODULES}}


def next_version(event: Recorded) -> Recorded:
    kind, _, _ = event.type.rpartition(".")
    return replace(event, type=f"{kind}.v2")


def retyped(evidence: Evidence) -> Evidence:
    """The same story, every fact of it said in a second version."""
    after = {id(event): next_version(event) for event in evidence.events}
    bus = evidence.bus
    if bus is not None:
        bus = [replace(m, event=after.get(id(m.event)) or next_version(m.event)) for m in bus]
    return replace(evidence, events=list(after.values()), bus=bus)


def violated(evidence: Evidence) -> Sequence[str]:
    return [found.guarantee for found in oracles.judge(evidence) if found.violations]


def counts(evidence: Evidence) -> Mapping[str, Mapping[str, int]]:
    return {found.guarantee: found.looked_at for found in oracles.judge(evidence)}


@pytest.mark.parametrize("is_settled", [True, False])
def test_as_much_is_looked_at_in_a_later_version(is_settled: bool) -> None:
    clean = replace(lies.CLEAN, require_settled=is_settled)
    assert violated(retyped(clean)) == []
    assert counts(retyped(clean)) == counts(clean)


@pytest.mark.parametrize("name", TOLD)
def test_a_lie_in_a_later_version_is_seen_as_it_is_in_the_first(name: str) -> None:
    told = TOLD[name].tell()
    assert violated(retyped(told)) == violated(told)
