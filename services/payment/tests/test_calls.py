"""When a call is looked up, made, made again, waited for, or proven never to have been done."""

from datetime import UTC, datetime, timedelta

import pytest

from payment import calls
from payment.calls import Call
from waybill_events import payment
from waybill_runtime.testing.world import recorded

ASKED = datetime(2026, 1, 1, tzinfo=UTC)
MOMENT = timedelta(seconds=1)
NOW, HOURS_20, HOURS_21 = timedelta(0), timedelta(hours=20), timedelta(hours=21)


def call(*, is_told: bool = False) -> Call:
    return Call(
        operation="authorize",
        order_id="ord_x",
        key="ord_x:authorize:1",
        requested_at=ASKED,
        amount_minor=2025,
        reference="ord_x",
        is_told=is_told,
    )


@pytest.mark.parametrize(
    ("attempt", "is_told", "age", "step"),
    [
        (1, False, NOW, "make"),
        (2, False, NOW, "look"),
        (400, False, NOW, "look"),
        (1, True, NOW, "look"),
        (1, False, HOURS_20 - MOMENT, "make"),
        (1, False, HOURS_20, "look"),
        (1, False, HOURS_21, "look"),
    ],
)
def test_a_call_is_made_unseen_only_if_it_cannot_have_been_made_and_its_key_is_young(
    attempt: int, is_told: bool, age: timedelta, step: str
) -> None:
    assert calls.first_step(call(is_told=is_told), attempt=attempt, now=ASKED + age) == step


@pytest.mark.parametrize(
    ("age", "step"),
    [
        (NOW, "make"),
        (HOURS_20 - MOMENT, "make"),
        (HOURS_20, "wait"),
        (HOURS_21 - MOMENT, "wait"),
        (HOURS_21, "never"),
        (timedelta(days=30), "never"),
    ],
)
def test_not_found_proves_nothing_while_the_last_try_may_still_arrive(
    age: timedelta, step: str
) -> None:
    assert calls.after_not_found(call(), now=ASKED + age) == step


@pytest.mark.parametrize(
    ("attempt", "tries", "pause_s"), [(1, 1, 0), (2, 2, 2), (3, 3, 4), (8, 1, 0), (8, 2, 2)]
)
def test_the_pause_before_an_authorisation_goes_by_its_own_tries(
    attempt: int, tries: int, pause_s: float
) -> None:
    event = payment.AuthorizationRequested(
        payment_id="pay_x",
        order_id="ord_x",
        amount_minor=2025,
        currency="GBP",
        token="tok",
        idempotency_key=f"ord_x:authorize:{attempt}",
        attempt=attempt,
        declined_code=None if tries == 1 else "try_again_later",
        tries=tries,
    )
    row = recorded(event, stream="default/payment/ord_x", version=3, topic="payments", key="ord_x")
    asked = calls.requested(row, event)
    assert asked is not None
    assert asked[1] == pause_s
