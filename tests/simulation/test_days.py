"""Simulated days: orders go all the way whatever the planned faults do, and each day repeats."""

import pytest

from waybill.simulation import faults
from waybill.simulation.day import simulate

TERMINAL = {"completed", "rejected", "expired", "cancelled"}


@pytest.mark.parametrize("seed", range(6))
def test_orders_end_well_though_everything_goes_wrong(seed: int) -> None:
    day = simulate(seed)
    assert list(day.violations) == []
    assert day.faults == day.planned == 80
    assert day.orders >= 8
    assert set(day.statuses.values()) <= TERMINAL
    checked = {finding.guarantee for finding in day.findings if finding.verdict == "holds"}
    assert checked >= {f"I{number}" for number in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 15)}


def test_the_same_seed_gives_the_same_day() -> None:
    first, second = simulate(7, orders=4), simulate(7, orders=4)
    assert first.trace == second.trace
    assert first.log == second.log
    assert first.statuses == second.statuses


def test_another_seed_gives_another_day() -> None:
    assert simulate(1, orders=2).trace != simulate(2, orders=2).trace


def test_a_plan_is_drawn_before_the_day() -> None:
    plan = faults.plan(1, 2_000, 30.0)
    assert plan == faults.plan(1, 2_000, 30.0)
    assert {fault.number for fault in plan} == set(range(2_000))
    assert {fault.kind for fault in plan} == set(faults.KINDS)


def test_a_plan_that_did_not_strike_fails_the_day() -> None:
    never = faults.Fault(0, 10_000.0, "send refused", "capture", 0.0)
    day = simulate(1, orders=1, faults=[never])
    assert "1 of 1 faults did not strike" in day.violations[0]
