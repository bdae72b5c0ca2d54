"""A failing day is cut down to the fewest faults that fail it, and says how to run it again."""

from collections.abc import Sequence

import pytest

from waybill.simulation import report, shrink
from waybill.simulation.day import simulate
from waybill_runtime.consumer import EventConsumer


@pytest.mark.parametrize("guilty", [{3}, {3, 7}, {0, 99}, {10, 11, 12, 50, 51}, set(range(100))])
def test_what_is_left_is_guilty_and_nothing_else(guilty: set[int]) -> None:
    found = shrink.ddmin(range(100), lambda left: guilty <= set(left), runs_max=10_000)
    assert set(found.left) == guilty
    assert found.is_minimal


def test_what_fails_without_any_fault_is_cut_down_to_none() -> None:
    found = shrink.ddmin(range(100), lambda _: True)
    assert (found.left, found.runs, found.is_minimal) == ([], 1, True)


def test_either_of_two_is_enough() -> None:
    found = shrink.ddmin(range(40), lambda left: 5 in left or 30 in left, runs_max=1_000)
    assert list(found.left) in ([5], [30])


def test_shrinking_ends_when_its_runs_are_used_up() -> None:
    asked = 0

    def fails(left: Sequence[int]) -> bool:
        nonlocal asked
        asked += 1
        return {1, 2} <= set(left)

    found = shrink.ddmin(range(100), fails, runs_max=5)
    assert asked == found.runs == 5
    assert not found.is_minimal
    assert {1, 2} <= set(found.left) < set(range(100))


def test_a_bug_is_told_with_the_faults_that_show_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def forgets(self: EventConsumer, delivery: object, reason: str) -> None:
        """A poison event is passed over instead of parked."""

    monkeypatch.setattr(EventConsumer, "_park", forgets)
    seed = next(s for s in range(50) if simulate(s, orders=2).struck.get("unreadable event"))
    day = simulate(seed, orders=2)
    assert not day.passes
    assert not report.one(seed, 2, None, None, 60)
    told = capsys.readouterr().out
    assert f"again: waybill simulate --seeds 1 --from {seed} --orders 2" in told
    numbers = told.rpartition("--only ")[2].strip()
    assert numbers.isdigit()
    again = simulate(seed, orders=2, only=[int(numbers)])
    assert again.struck == {"unreadable event": 1}
    assert shrink.headlines(again) & shrink.headlines(day)
