"""The gateway lies as often as it is told to, counts what struck, and refuses what cannot be."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from waybill_sandboxes.gateway import faults, ledger, requests
from waybill_sandboxes.journal import MemoryJournal

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
OPTIONS = ledger.Options(callback_url="http://merchant.test/callbacks")
ORDER = requests.Authorize(
    reference="ord_1", amount_minor=1000, currency="GBP", token="tok_approve"
)
REQUESTS = 4_000
WANTED = {
    "timeout_after_charge": 0.3,
    "timeout_before_charge": 0.1,
    "stored_error": 0.05,
    "error_before_charge": 0.2,
}


@pytest.fixture
def gateway() -> ledger.Gateway:
    return ledger.Gateway(MemoryJournal(), OPTIONS)


def lied_run(seed: int, **more: float) -> tuple[list[tuple[int, float]], dict[str, int]]:
    gateway = ledger.Gateway(MemoryJournal(), OPTIONS)
    gateway.set_faults(faults.Faults.model_validate(WANTED | more | {"seed": seed}))
    replies = [gateway.authorize(f"k{number}", ORDER, NOW) for number in range(REQUESTS)]
    return [(reply.status, reply.delay_s) for reply in replies], gateway.struck()


def test_each_lie_strikes_as_often_as_its_probability_says_and_is_counted() -> None:
    told, struck = lied_run(7)

    assert struck.keys() == WANTED.keys()
    for lie, rate in WANTED.items():
        expected, deviation = REQUESTS * rate, (REQUESTS * rate * (1 - rate)) ** 0.5
        assert abs(struck[lie] - expected) < 4 * deviation, lie
    assert struck["timeout_after_charge"] == told.count((201, 30))
    assert struck["timeout_before_charge"] == told.count((504, 30))
    assert struck["stored_error"] + struck["error_before_charge"] == told.count((500, 0))


def test_the_same_seed_tells_the_same_lies_whatever_becomes_of_callbacks() -> None:
    told, struck = lied_run(7)

    assert (told, struck) == lied_run(7)
    assert told == lied_run(7, duplicate_callbacks=0.5, reordered_callbacks=0.5)[0]
    assert told != lied_run(8)[0]


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"timeout_after_charge": 0.6, "stored_error": 0.5}, "timeout_after_charge"),
        ({"lost_callbacks": 0.6, "duplicate_callbacks": 0.5}, "lost_callbacks"),
        ({"late_callbacks": 0.6, "reordered_callbacks": 0.5}, "late_callbacks"),
    ],
)
def test_lies_that_exclude_each_other_and_add_up_to_more_than_one_are_refused(
    wanted: dict[str, float], named: str
) -> None:
    with pytest.raises(ValidationError, match=rf"{named}.*together at most 1, not 1\.1"):
        faults.Faults.model_validate(wanted)


def test_lies_may_add_up_to_all_there_is(gateway: ledger.Gateway) -> None:
    gateway.set_faults(
        faults.Faults(timeout_before_charge=0.7, stored_error=0.2, error_before_charge=0.1)
    )
    for number in range(100):
        assert gateway.authorize(f"k{number}", ORDER, NOW).status >= 500


def test_callbacks_lie_as_often_as_said_and_are_counted(gateway: ledger.Gateway) -> None:
    gateway.set_faults(
        faults.Faults(
            lost_callbacks=0.2,
            duplicate_callbacks=0.5,
            late_callbacks=0.25,
            reordered_callbacks=0.5,
        )
    )
    for number in range(REQUESTS):
        gateway.authorize(f"k{number}", ORDER, NOW)

    struck = gateway.struck()
    told = REQUESTS - struck["lost_callbacks"]
    assert len(gateway.outbox) == told + struck["duplicate_callbacks"]
    for lie, of, rate in (
        ("lost_callbacks", REQUESTS, 0.2),
        ("duplicate_callbacks", REQUESTS, 0.5),
        ("late_callbacks", told, 0.25),
        ("reordered_callbacks", told, 0.5),
    ):
        assert abs(struck[lie] - of * rate) < 4 * (of * rate * (1 - rate)) ** 0.5, lie
