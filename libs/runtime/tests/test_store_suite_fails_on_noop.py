"""The conformance suite is itself tested: each case fails on a store that does nothing."""

import asyncio
import inspect
import re
from pathlib import Path

import pytest

from waybill_runtime.store import Store
from waybill_runtime.testing import store_conformance
from waybill_runtime.testing.noop_store import NoopStore
from waybill_runtime.testing.store_conformance import CASES, StoreConformance
from waybill_runtime.testing.store_harness import StoreHarness


class NoopHarness(StoreHarness):
    patience_s = 0.1

    async def make_store(self) -> Store:
        return NoopStore()


@pytest.mark.parametrize("case", CASES)
async def test_the_case_fails_on_a_store_that_does_nothing(case: str) -> None:
    async with asyncio.timeout(5.0):
        with pytest.raises(AssertionError) as failure:
            await getattr(StoreConformance(), case)(NoopHarness())
    assert failure.type is AssertionError


def test_the_suite_has_at_least_sixty_cases() -> None:
    assert len(CASES) >= 60


def test_every_case_is_a_plain_coroutine_of_the_harness() -> None:
    for name in CASES:
        case = getattr(StoreConformance, name)
        assert inspect.iscoroutinefunction(case), name
        assert list(inspect.signature(case).parameters) == ["self", "harness"], name
        assert not hasattr(case, "pytestmark"), name


def test_no_case_can_skip_or_be_expected_to_fail() -> None:
    rooms = sorted(Path(store_conformance.__file__).parent.glob("store_*.py"))
    assert len(rooms) >= 8
    for room in rooms:
        found = re.findall(r"\b(skip\w*|xfail|importorskip|pytest)\b", room.read_text(), re.I)
        assert [word for word in found if word.lower() != "skipped"] == [], room.name
