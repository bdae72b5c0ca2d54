"""The conformance suite is itself tested: each case fails on a bus that does nothing."""

import asyncio
import inspect
import re
from pathlib import Path

import pytest

from waybill_runtime.bus import Bus
from waybill_runtime.testing import bus_conformance
from waybill_runtime.testing.bus_conformance import CASES, BusConformance
from waybill_runtime.testing.bus_harness import BusHarness, Member
from waybill_runtime.testing.noop_bus import NoopBus


class NoopHarness(BusHarness):
    patience_s = 0.1
    quiet_s = 0.01

    async def make_bus(self) -> Bus:
        return NoopBus()

    async def kill(self, member: Member) -> None:
        """There is nothing to kill."""


@pytest.mark.parametrize("case", CASES)
async def test_the_case_fails_on_a_bus_that_does_nothing(case: str) -> None:
    harness = NoopHarness()
    try:
        async with asyncio.timeout(5.0):
            with pytest.raises(AssertionError) as failure:
                await getattr(BusConformance(), case)(harness)
    finally:
        await harness.close()
    assert failure.type is AssertionError


def test_the_suite_has_at_least_sixty_cases() -> None:
    assert len(CASES) >= 60


def test_every_case_is_a_plain_coroutine_of_the_harness() -> None:
    for name in CASES:
        case = getattr(BusConformance, name)
        assert inspect.iscoroutinefunction(case), name
        assert list(inspect.signature(case).parameters) == ["self", "harness"], name
        assert not hasattr(case, "pytestmark"), name


def test_no_case_can_skip_or_be_expected_to_fail() -> None:
    rooms = sorted(Path(bus_conformance.__file__).parent.glob("bus_*.py"))
    assert len(rooms) >= 6
    for room in rooms:
        found = re.findall(r"\b(skip\w*|xfail|importorskip|pytest)\b", room.read_text(), re.I)
        found = [word for word in found if word.lower() not in {"skips", "skipped"}]
        assert found == [], room.name
