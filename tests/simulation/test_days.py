"""Simulated days: orders go all the way whatever the planned faults do, and each day repeats."""

import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from waybill.simulation import faults, runs, storefront
from waybill.simulation.day import simulate
from waybill.simulation.shared import Compositions
from waybill.simulation.system import compose_here

SEEDS = 300
ORDERS = 6
GUARANTEES = {f"I{number}" for number in range(1, 16)}


@pytest.mark.timeout(900)
def test_every_guarantee_holds_in_three_hundred_days_in_which_everything_goes_wrong() -> None:
    total = runs.Sum()
    for day in runs.run(runs.Asked(first=0, seeds=SEEDS, orders=ORDERS)):
        again = f"waybill simulate --seeds 1 --from {day.seed} --orders {ORDERS}"
        assert list(day.violations) == [], again
        total.add(day)
    assert total.days == SEEDS
    assert total.orders >= SEEDS * ORDERS
    assert total.faults == total.planned == SEEDS * ORDERS * 10
    assert set(total.struck) == set(faults.KINDS)
    assert {g for g, finding in total.findings.items() if finding.verdict == "holds"} == GUARANTEES


def test_the_same_seed_gives_the_same_day_three_times_whatever_went_before() -> None:
    shared = Compositions(compose_here)
    first = simulate(7, orders=4)
    simulate(8, orders=2, compositions=shared)
    second, third = (simulate(7, orders=4, compositions=shared) for _ in range(2))
    assert first.trace == second.trace == third.trace
    assert first.log == second.log == third.log
    assert first.statuses == second.statuses == third.statuses


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_seed_gives_the_same_day_in_another_process(hash_seed: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "waybill", "simulate", "--from", "11", "--orders", "2"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert f"trace {simulate(11, orders=2).trace[:16]}" in told.stdout


def test_orders_that_cost_nothing_go_all_the_way_past_the_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storefront, "FREE", 1.0)
    day = simulate(3, orders=8, faults=0)
    assert list(day.violations) == []
    assert Counter(day.statuses.values())["completed"] >= 4
    money = next(finding for finding in day.findings if finding.guarantee == "I4")
    assert money.looked_at["authorisations in the log"] >= 4
    assert "entries in the gateway's ledger" not in money.looked_at


def test_another_seed_gives_another_day() -> None:
    assert simulate(1, orders=2).trace != simulate(2, orders=2).trace


def test_a_plan_is_drawn_before_the_day() -> None:
    plan = faults.plan(1, 3_000, 30.0)
    assert plan == faults.plan(1, 3_000, 30.0)
    assert {fault.number for fault in plan} == set(range(3_000))
    assert {fault.kind for fault in plan} == set(faults.KINDS)


def test_a_third_of_all_faults_overlap_the_one_drawn_before_them() -> None:
    drawn = sorted(faults.plan(1, 3_000, 900.0), key=lambda fault: fault.number)
    near = sum(0 <= after.at_s - before.at_s <= 0.3 for before, after in pairwise(drawn))
    assert 0.27 < near / len(drawn) < 0.33


def test_a_plan_that_did_not_strike_fails_the_day() -> None:
    never = faults.Fault(0, 10_000.0, "send refused", "capture", 0.0)
    day = simulate(1, orders=1, faults=[never])
    assert day.violations[0].startswith("unstruck: 1 of 1 faults")


@pytest.mark.parametrize("kind", sorted(faults.KINDS))
def test_each_kind_of_fault_strikes_and_is_survived(kind: str) -> None:
    target = faults.KINDS[kind].targets[0]
    amount = faults.KINDS[kind].most
    day = simulate(3, orders=3, faults=[faults.Fault(0, 0.3, kind, target, amount)])
    assert list(day.violations) == []
    assert day.struck == {kind: 1}
