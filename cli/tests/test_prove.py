"""A proof says what it was asked, and passes only when that is what it came to."""

import asyncio
from functools import partial

import pytest

from waybill.failure import Failure
from waybill.prove import run
from waybill.prove.customers import Ended, body, crowd


def test_the_full_sizes_are_those_that_are_promised() -> None:
    full = {name: sizes[1] for name, sizes in run.SIZES.items()}
    over, twice, lied = full["oversell"], full["double-submit"], full["gateway"]
    assert (over.orders, over.units, over.at_once, over.rounds) == (10_000, 1_000, 200, 5)
    assert (twice.orders, twice.posts) == (1_000, 50)
    assert lied.orders == 20_000


def test_a_figure_that_is_not_what_was_asked_falls_short_in_either_direction() -> None:
    asked = {"units_sold": 10.0, "captured_twice": 0.0, "quiet_s": 60.0}
    assert run.shortfalls(asked, {"units_sold": 10, "captured_twice": 0, "quiet_s": 3}) == []
    assert run.shortfalls(asked, {"units_sold": 11, "captured_twice": 1, "quiet_s": 61}) == [
        "units_sold: 11 of 10",
        "captured_twice: 1 of 0",
        "quiet_s: 61 of 60",
    ]


def test_more_lies_than_asked_are_no_shortfall_and_fewer_are() -> None:
    assert run.shortfalls({"stored_error_struck": 5.0}, {"stored_error_struck": 6.0}) == []
    assert run.shortfalls({"stored_error_struck": 5.0}, {"stored_error_struck": 4.0}) == [
        "stored_error_struck: 4 of 5"
    ]


def test_the_full_proof_asks_for_its_lies_at_the_rates_that_are_promised() -> None:
    assert run.LIES == {
        "timeout_after_charge": 0.3,
        "timeout_before_charge": 0.1,
        "stored_error": 0.05,
    }
    draws = 2 * run.SIZES["gateway"][1].orders
    assert {lie: run.fewest(draws, rate) for lie, rate in run.LIES.items()} == {
        "timeout_after_charge": 11_633,
        "timeout_before_charge": 3_760,
        "stored_error": 1_825,
    }
    assert run.fewest(18, 0.05) == 1


def test_every_name_has_its_play_its_sizes_and_its_settings() -> None:
    assert run.PLAYS.keys() == run.SIZES.keys() == run.SETTINGS.keys()


async def test_a_crowd_is_let_in_so_many_at_once_and_nobody_is_left_out() -> None:
    inside = most = 0

    async def customer(number: int) -> Ended:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        return Ended(
            key=f"{number}", order_ids=frozenset(), status="completed", total_minor=0, answers=1
        )

    tally = await crowd(3, [partial(customer, n) for n in range(20)], lambda _: None)
    assert tally.statuses == {"completed": 20}
    assert most == 3


async def test_who_is_not_served_ends_the_proof() -> None:
    async def refused() -> Ended:
        raise Failure("refused")

    with pytest.raises(Failure):
        await crowd(2, [refused] * 3, lambda _: None)


def test_an_order_of_the_crowd_names_its_key_and_one_unit() -> None:
    assert b'"external_ref": "k-1"' in body("k-1", "SKU", "tok_approve")
    assert b'"quantity": 1' in body("k-1", "SKU", "tok_approve")
