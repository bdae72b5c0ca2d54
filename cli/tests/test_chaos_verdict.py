"""What a chaos run has to come to: whatever falls short is said, and fails it."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from waybill.audit.evidence import Finding, Violation, place
from waybill.chaos import auditing, history, recovery, verdict
from waybill.chaos.conduct import Struck
from waybill.chaos.faults import messages
from waybill.chaos.ground import Ground
from waybill.chaos.plan import Asked
from waybill.chaos.run import Outcome
from waybill.proof import GUARANTEES
from waybill_runtime.bus import Partition

HELD = [Finding(name, "kept", ("orders",), {"orders": 1}) for name in GUARANTEES]
ASKED = Asked(minutes=1, orders=10, faults=2, kinds=2)


def struck(number: int, kind: str, *, hit: bool = True) -> dict[str, object]:
    return {
        "number": number,
        "kind": kind,
        "target": "capture",
        "planned_s": 1.0,
        "struck_s": 1.0,
        "healed_s": 2.0,
        "struck": hit,
        "overlapped": False,
        "note": "",
    }


def rebuilt(verdict: str, *, refused: int) -> dict[str, object]:
    return {
        "what": "rebuild",
        "verdict": verdict,
        "reads": {"answered": 9, "refused": refused},
    }


def segment(**changes: object) -> history.Segment:
    told: dict[str, object] = {
        "seed": 1,
        "bus": "postgres",
        "command": "waybill chaos",
        "commit": "abc",
        "started_at": datetime(2026, 11, 1, tzinfo=UTC),
        "duration_s": 60.0,
        "first_order": 1,
        "next_order": 13,
        "first_fault": 1,
        "next_fault": 3,
        "asked_faults": 2,
        "acknowledged": 12,
        "unknown": 0,
        "refused": {},
        "gave_up": 0,
        "looks": 5,
        "ended": {"completed": 12},
        "kinds": {"approve": 12},
        "faults": [struck(1, "service-kill"), struck(2, "poison")],
        "recovered": [],
        "told": [],
        "planted": [],
        "quiet_s": 4.0,
        "restarted_quiet_s": 2.0,
        "still_waiting": {},
        "rebalances": 0,
        "violations": [],
        "unchecked": [],
    }
    return history.Segment.model_validate({**told, **changes})


def shortfalls(*segments: history.Segment, asked: Asked = ASKED) -> str:
    found = history.History(segments=list(segments))
    proof = verdict.proof(Outcome(found, HELD, []), asked, bus="postgres", command="waybill chaos")
    assert proof.passes is not bool(proof.shortfalls)
    return "; ".join(proof.shortfalls)


def test_a_run_that_came_to_what_was_asked_passes() -> None:
    assert shortfalls(segment()) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"faults": [struck(1, "service-kill"), struck(2, "poison", hit=False)]}, "faults: 1 of 2"),
        ({"faults": [struck(1, "poison"), struck(2, "poison")]}, "kinds: 1 of 2"),
        ({"acknowledged": 9}, "orders: 9 of 10"),
        ({"duration_s": 30.0}, "minutes: 0.5 of 1"),
        ({"refused": {"external-ref-taken": 2, "gone": 1}}, "3 valid orders refused"),
        ({"gave_up": 2}, "2 customers gave up"),
        ({"quiet_s": 61.0}, "quiet only after 61 s"),
        ({"restarted_quiet_s": 75.0}, "quiet only after 75 s"),
        ({"violations": ["I1: lost"]}, "1 violations"),
        ({"unchecked": ["I4: no captures"]}, "1 things that an audit could not look at"),
        ({"told": [rebuilt("different", refused=0)]}, "rebuilds equal: 0 of 1"),
        ({"told": [rebuilt("failed", refused=0)]}, "rebuilds equal: 0 of 1"),
        ({"told": [rebuilt("equal", refused=2)]}, "2 reads refused during rebuilds"),
    ],
)
def test_whatever_fell_short_is_said(changes: dict[str, object], said: str) -> None:
    assert said in shortfalls(segment(**changes))


def test_segments_on_the_same_stores_are_added_up() -> None:
    asked = Asked(minutes=2, orders=24, faults=4, kinds=2)
    assert shortfalls(segment(), segment(), asked=asked) == ""
    assert shortfalls(segment(), asked=asked) == (
        "minutes: 1 of 2; orders: 12 of 24; faults: 2 of 4"
    )


def test_slow_recoveries_fall_short_once_they_are_enough_to_judge() -> None:
    slow = {"what": "service payment", "took_s": 7.5, "in_time": True, "alone": True}
    assert "service recovered within 7.5 s" in shortfalls(segment(recovered=[slow] * 50))
    assert shortfalls(segment(recovered=[slow] * 49)) == ""
    few = Asked(minutes=1, orders=1, faults=1, kinds=1, at_least={"service_kills_alone": 50})
    assert "service_kills_alone: 49 of 50" in shortfalls(segment(recovered=[slow] * 49), asked=few)
    amid_others = {**slow, "alone": False}
    assert shortfalls(segment(recovered=[amid_others] * 50)) == ""


def test_a_guarantee_that_is_violated_fails_the_proof() -> None:
    lost = Finding("I1", "an order is never lost")
    lost.violations.append(lost.says("not-ended", "ord_1 was lost", "ord_1"))
    found = history.History(segments=[segment()])
    proof = verdict.proof(Outcome(found, [lost, *HELD[1:]], []), ASKED, bus="postgres", command="x")
    assert not proof.passes


def test_only_the_very_messages_that_we_planted_are_set_aside() -> None:
    """By where they stand and what is wrong with them, however it is worded."""

    def stray(offset: int, *, guarantee: str = "I10", what: str = "stray") -> Violation:
        stands = place(Partition("orders", 3), offset)
        return Violation(guarantee, what, (f"message {offset}", stands), "in any words")

    ours, other = stray(12), stray(120)
    late, elsewhere = stray(12, what="unpublished"), stray(12, guarantee="I14")
    places = {place(Partition("orders", 3), 12)}
    kept, planted = auditing.apart([ours, other, late, elsewhere], places)
    assert planted == [ours]
    assert kept == [other, late, elsewhere]


def test_a_rebuild_that_was_broken_off_is_told_apart_and_its_reads_count() -> None:
    found = history.History(segments=[segment(told=[rebuilt("broken off", refused=2)])]).reached()
    assert (found["rebuilds"], found["rebuilds_broken_off"]) == (0, 1)
    assert found["rebuild_reads_refused"] == 2


async def test_an_audit_has_the_longer_the_more_orders_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[float] = []

    async def command(*_: str, within_s: float) -> tuple[int, str]:
        given.append(within_s)
        return 0, '{"notes": [], "guarantees": []}'

    async def none(_: object) -> list[tuple[object, int]]:
        return []

    monkeypatch.setattr(messages, "planted_places", none)
    for orders in (1, 50_001):
        ground = SimpleNamespace(load=SimpleNamespace(next_number=orders), command=command)
        await auditing.audit(cast(Ground, ground))
    assert given[1] - given[0] == pytest.approx(50_000 * auditing.AUDIT_S_PER_ORDER)


def test_work_is_what_the_counters_of_deliveries_sends_and_jobs_come_to() -> None:
    text = (
        "# HELP waybill_consumed_total x\n"
        'waybill_consumed_total{outcome="applied"} 3.0\n'
        'waybill_consumed_total{outcome="duplicate"} 1.0\n'
        "waybill_relayed_total 4.0\n"
        "waybill_relayed_created 1.7e9\n"
        'waybill_jobs_total{kind="x",outcome="done"} 2.0\n'
        "waybill_loop_lag_seconds 0.5\n"
    )
    assert recovery.work_done(text) == 10.0


def test_the_percentile_is_by_nearest_rank() -> None:
    assert recovery.p99([float(n) for n in range(1, 201)]) == 198.0
    assert recovery.p99([1.0, 2.0]) == 2.0
    assert recovery.p99([]) == 0.0


def test_a_struck_fault_is_read_back_as_it_was_written() -> None:
    assert history.History(segments=[segment()]).struck[0] == Struck(**struck(1, "service-kill"))  # type: ignore[arg-type]


def test_any_figure_may_be_asked_for_by_its_name() -> None:
    asked = Asked(minutes=1, orders=1, faults=1, kinds=1, at_least={"rebuilds": 3})
    assert shortfalls(segment(), asked=asked) == "rebuilds: 0 of 3"
