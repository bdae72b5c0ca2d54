"""The plan of a chaos run: drawn from its seed alone, every kind met, some faults overlapping."""

import itertools

import pytest

from waybill.chaos import kinds, orders, plan
from waybill.chaos.faults import partners
from waybill.failure import Failure
from waybill.programs import BusName
from waybill_sandboxes.carrier.faults import Faults as CarrierFaults
from waybill_sandboxes.gateway.faults import Faults as GatewayFaults

KINDS = (
    plan.Kind(name="kill", targets=("a", "b"), weight=3),
    plan.Kind(name="pause", targets=("a", "b"), lasts_s=(2.0, 30.0)),
    plan.Kind(name="slow", targets=("x",), lasts_s=(1.0, 4.0)),
)


def drawn(seed: int = 1, count: int = 40, first: int = 1) -> "list[plan.Fault]":
    return list(plan.draw(seed, KINDS, duration_s=400.0, count=count, first=first))


def test_the_same_seed_draws_the_same_plan() -> None:
    assert drawn(7) == drawn(7)


def test_another_seed_draws_another_plan() -> None:
    assert drawn(7) != drawn(8)


def test_a_later_segment_goes_on_with_numbers_and_draws_other_faults() -> None:
    later = drawn(first=41)
    assert [fault.number for fault in later] == list(range(41, 81))
    assert [fault.seed for fault in later] != [fault.seed for fault in drawn()]


def test_all_faults_begin_within_the_time_and_in_order() -> None:
    times = [fault.at_s for fault in drawn()]
    assert times == sorted(times)
    assert times[0] >= plan.QUIET_START_S
    assert times[-1] < 400.0


def test_a_short_run_meets_every_kind_before_any_twice() -> None:
    assert {fault.kind for fault in drawn(count=3)} == {"kill", "pause", "slow"}


def test_some_faults_last_into_the_next_and_most_do_not() -> None:
    faults = drawn(count=200)
    lasting = [
        after.at_s < fault.at_s + fault.lasts_s
        for fault, after in itertools.pairwise(faults)
        if fault.kind == "pause"
    ]
    assert any(lasting)
    assert not all(lasting)


def test_whatever_lies_are_drawn_gateway_and_carrier_take_them() -> None:
    for seed in range(500):
        for target, taken in (("gateway", GatewayFaults), ("carrier", CarrierFaults)):
            fault = plan.Fault(
                number=1, at_s=0.0, kind="lie", target=target, lasts_s=1.0, seed=seed
            )
            lies = taken.model_validate(partners.lies_drawn(fault)).model_dump()
            assert all(lies[name] > 0 for name in partners.LIES[target])


@pytest.mark.parametrize("bus", ["postgres", "kafka"])
def test_each_bus_is_struck_in_at_least_fourteen_kinds(bus: BusName) -> None:
    assert len(kinds.on(bus)) >= 14


def test_only_the_kinds_that_are_named_are_drawn_and_an_unknown_one_is_refused() -> None:
    assert set(kinds.chosen("postgres", ["poison", "rebuild"])) == {"poison", "rebuild"}
    assert kinds.chosen("kafka", []) == kinds.on("kafka")
    with pytest.raises(Failure, match="broker-kill"):
        kinds.chosen("postgres", ["broker-kill"])


def test_an_order_is_drawn_from_seed_and_number_alone() -> None:
    assert orders.draw(3, 17) == orders.draw(3, 17)
    assert orders.draw(3, 17).body != orders.draw(3, 18).body


def test_orders_of_every_kind_and_manners_are_drawn() -> None:
    wanted = [orders.draw(1, number) for number in range(2_000)]
    assert {one.manners for one in wanted} == {name for name, _ in orders.MANNERS}
    assert {one.chore for one in wanted} == {name for name, _ in orders.CHORES}
    share = sum(one.chore is not None for one in wanted) / len(wanted)
    assert 0.10 < share < 0.14
    kinds_met = {one.kind for one in wanted}
    assert kinds_met >= {"cancelled", "scarce", *(t.removeprefix("tok_") for t, _ in orders.TOKENS)}
