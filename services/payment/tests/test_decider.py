"""A payment's rules, told as given, when, then."""

from datetime import UTC, datetime, timedelta

from payment import decider
from payment.decider import commands
from waybill_events import payment
from waybill_events.event import Event, LineQuantity
from waybill_runtime.testing.spec import Spec

EXPIRES_AT = datetime(2030, 1, 8, tzinfo=UTC)
AUTH_1, CAPTURE_1 = "ord_x:authorize:1", "ord_x:capture:shp_x-1"

INITIATED = payment.PaymentInitiated(
    payment_id="pay_x",
    order_id="ord_x",
    amount_minor=2025,
    currency="GBP",
    method="card",
    token="tok_approve",
    lines=(payment.PricedLine(line_id="ln_1", quantity=6, unit_price_minor=255),),
    shipping_minor=495,
)
AUTHORIZE, STOP = commands.Authorize(), commands.Stop(reason="customer_request")

payments = Spec(decider.decide, decider.evolve, decider.INITIAL)
initiated = payments.given(INITIATED)
requested = initiated.after(AUTHORIZE)


def units(quantity: int) -> tuple[LineQuantity, ...]:
    return (LineQuantity(line_id="ln_1", sku="A", quantity=quantity),)


def ship(number: int, quantity: int) -> commands.CaptureShipment:
    return commands.CaptureShipment(shipment_id=f"shp_x-{number}", lines=units(quantity))


def cancel(quantity: int, *, order_version: int = 1) -> commands.CancelLines:
    return commands.CancelLines(order_version=order_version, lines=units(quantity))


def held_under(key: str) -> commands.NoteAuthorized:
    return commands.NoteAuthorized(key=key, authorization_id=f"ga:{key}", expires_at=EXPIRES_AT)


def declined(
    key: str, code: str = "do_not_honor", *, retryable: bool = False
) -> commands.NoteDeclined:
    return commands.NoteDeclined(key=key, code=code, retryable=retryable)


def done(key: str) -> commands.NoteDone:
    return commands.NoteDone(key=key)


def back(amount_minor: int, refund_id: str = "rfn_1") -> commands.Refund:
    return commands.Refund(refund_id=refund_id, amount_minor=amount_minor, reason="goodwill")


authorized = requested.after(held_under(AUTH_1))


def names(events: object) -> list[str]:
    assert isinstance(events, list)
    return [type(event).__name__ for event in events]


def only(model: type[Event], events: object) -> Event:
    assert isinstance(events, list)
    (found,) = [event for event in events if isinstance(event, model)]
    return found


def test_reserved_stock_has_the_whole_amount_authorised() -> None:
    initiated.when(AUTHORIZE).then(
        payment.AuthorizationRequested(
            payment_id="pay_x",
            order_id="ord_x",
            amount_minor=2025,
            currency="GBP",
            token="tok_approve",
            idempotency_key=AUTH_1,
        )
    )


def test_lines_cancelled_before_are_not_authorised() -> None:
    event = only(payment.AuthorizationRequested, initiated.after(cancel(2)).when(AUTHORIZE).events)
    assert isinstance(event, payment.AuthorizationRequested)
    assert event.amount_minor == 1515


def test_an_order_that_ends_before_its_authorisation_is_abandoned() -> None:
    initiated.when(STOP).then(
        payment.PaymentStopped(payment_id="pay_x", order_id="ord_x", reason="customer_request"),
        payment.PaymentAbandoned(payment_id="pay_x", order_id="ord_x", reason="customer_request"),
    )


def test_an_order_that_ends_while_the_gateway_is_asked_waits_for_the_verdict() -> None:
    stopped = requested.after(STOP)
    assert names(list(stopped.when(held_under(AUTH_1)).events)) == [
        "PaymentAuthorized",
        "VoidRequested",
    ]
    assert names(list(stopped.when(declined(AUTH_1)).events)) == ["PaymentAbandoned"]


def test_an_unknown_outcome_is_said_once() -> None:
    unknown = commands.NoteUnknown(key=AUTH_1, detail="no answer")
    requested.when(unknown).then(
        payment.PaymentOutcomeUnknown(
            payment_id="pay_x",
            order_id="ord_x",
            operation="authorize",
            idempotency_key=AUTH_1,
            detail="no answer",
        )
    )


def test_a_late_verdict_on_an_old_key_changes_nothing() -> None:
    tried = requested.after(declined(AUTH_1, retryable=True))
    tried.when(held_under(AUTH_1)).then_nothing()


def test_an_authorisation_asked_for_anew_begins_with_its_first_try() -> None:
    """However many attempts the payment has used up: it waits no longer for that."""
    first, second, third, fourth = (f"ord_x:authorize:{number}" for number in range(1, 5))
    expired = commands.ExpireAuthorization(authorization_id=f"ga:{third}", now=EXPIRES_AT)
    history = requested.after(
        declined(first, retryable=True),
        declined(second, retryable=True),
        held_under(third),
        expired,
    )
    events = history.when(declined(fourth, retryable=True)).events
    event = only(payment.AuthorizationRequested, list(events))
    assert isinstance(event, payment.AuthorizationRequested)
    assert (event.attempt, event.tries) == (5, 2)


def test_retries_of_an_authorisation_end() -> None:
    spec = requested
    for number in (1, 2):
        spec = spec.after(declined(f"ord_x:authorize:{number}", retryable=True))
    last = spec.when(declined("ord_x:authorize:3", retryable=True)).events
    assert names(list(last)) == ["PaymentDeclined"]


def test_the_first_shipment_carries_the_shipping_and_the_last_is_final() -> None:
    first = only(payment.CaptureRequested, list(authorized.when(ship(1, 4)).events))
    assert isinstance(first, payment.CaptureRequested)
    assert (first.amount_minor, first.final) == (1515, False)
    rest = authorized.after(ship(1, 4), done(CAPTURE_1)).when(ship(2, 2)).events
    last = only(payment.CaptureRequested, list(rest))
    assert isinstance(last, payment.CaptureRequested)
    assert (last.amount_minor, last.final) == (510, True)


def test_a_second_shipment_waits_for_the_verdict_on_the_first() -> None:
    shipped = authorized.after(ship(1, 4))
    assert names(list(shipped.when(ship(2, 2)).events)) == ["CaptureDue"]
    both = shipped.after(ship(2, 2))
    assert names(list(both.when(done(CAPTURE_1)).events)) == ["PaymentCaptured", "CaptureRequested"]


def test_what_will_not_ship_after_a_capture_is_voided() -> None:
    captured = authorized.after(ship(1, 4), done(CAPTURE_1))
    events = list(captured.when(cancel(2)).events)
    void = only(payment.VoidRequested, events)
    assert isinstance(void, payment.VoidRequested)
    assert (void.amount_minor, void.reason) == (510, "nothing_left_to_ship")


def test_a_capture_declined_for_now_is_asked_for_again_under_a_new_key_five_times() -> None:
    spec = authorized.after(ship(1, 6), declined(CAPTURE_1, retryable=True))
    for number in (2, 3, 4):
        spec = spec.after(declined(f"{CAPTURE_1}:{number}", retryable=True))
    events = list(spec.when(declined(f"{CAPTURE_1}:5", retryable=True)).events)
    assert names(events) == ["CaptureFailed", "VoidRequested"]


def test_a_capture_that_ran_into_the_expiry_is_authorised_anew() -> None:
    expired = declined(CAPTURE_1, "authorization_expired")
    spec = authorized.after(ship(1, 6))
    assert names(list(spec.when(expired).events)) == [
        "AuthorizationExpired",
        "AuthorizationRequested",
    ]
    again = spec.after(expired).when(held_under("ord_x:authorize:2")).events
    capture = only(payment.CaptureRequested, list(again))
    assert isinstance(capture, payment.CaptureRequested)
    assert capture.idempotency_key == f"{CAPTURE_1}:2"


def test_a_capture_under_a_new_hold_is_not_put_off_until_that_one_has_expired_too() -> None:
    later = authorized.after(
        ship(1, 6),
        declined(CAPTURE_1, retryable=True),
        declined(f"{CAPTURE_1}:2", "authorization_expired"),
        held_under("ord_x:authorize:2"),
    )
    spec = later.after(declined(f"{CAPTURE_1}:3", "authorization_expired"))
    capture = only(
        payment.CaptureRequested, list(spec.when(held_under("ord_x:authorize:3")).events)
    )
    assert isinstance(capture, payment.CaptureRequested)
    assert (capture.idempotency_key, capture.attempt) == (f"{CAPTURE_1}:4", 1)


def test_money_that_cannot_be_held_again_fails_the_shipments_that_wait_for_it() -> None:
    spec = authorized.after(ship(1, 6), declined(CAPTURE_1, "authorization_expired"))
    assert names(list(spec.when(declined("ord_x:authorize:2")).events)) == [
        "PaymentDeclined",
        "CaptureFailed",
    ]


def expire(after: timedelta) -> commands.ExpireAuthorization:
    return commands.ExpireAuthorization(authorization_id=f"ga:{AUTH_1}", now=EXPIRES_AT + after)


def test_an_authorisation_expires_at_its_time_and_not_before() -> None:
    authorized.when(expire(timedelta(seconds=-1))).then_nothing()
    assert names(list(authorized.when(expire(timedelta())).events)) == [
        "AuthorizationExpired",
        "AuthorizationRequested",
    ]


def test_re_authorisations_end() -> None:
    spec = requested
    for number in range(1, 13):
        key = f"ord_x:authorize:{number}"
        passed = commands.ExpireAuthorization(authorization_id=f"ga:{key}", now=EXPIRES_AT)
        before = spec.after(held_under(key))
        spec = before.after(passed)
    assert names(list(before.when(passed).events)) == ["AuthorizationExpired", "PaymentDeclined"]


def test_a_void_of_what_the_gateway_no_longer_holds_is_done() -> None:
    stopped = authorized.after(STOP)
    for code in ("authorization_expired", "nothing_to_void"):
        assert names(list(stopped.when(declined("ord_x:void:1", code)).events)) == ["PaymentVoided"]
    assert names(list(stopped.when(declined("ord_x:void:1")).events)) == ["VoidRequested"]


def test_refunds_under_way_count_as_given_back_and_failed_ones_do_not() -> None:
    asked = authorized.after(ship(1, 6), done(CAPTURE_1), back(2000))
    asked.when(back(26, "rfn_2")).then_raises(decider.CannotRefund)
    failed = asked.after(declined("ord_x:refund:rfn_1"))
    assert names(list(failed.when(back(2025, "rfn_2")).events)) == ["RefundRequested"]


def test_a_refund_takes_from_several_authorisations_where_one_is_not_enough() -> None:
    spec = authorized.after(
        ship(1, 4),
        done(CAPTURE_1),
        expire(timedelta()),
        held_under("ord_x:authorize:2"),
        ship(2, 2),
        done("ord_x:capture:shp_x-2"),
    )
    parts = [
        (event.refund_id, event.authorization_id, event.amount_minor)
        for event in spec.when(back(2000)).events
        if isinstance(event, payment.RefundRequested)
    ]
    assert parts == [
        ("rfn_1", f"ga:{AUTH_1}", 1515),
        ("rfn_1-2", "ga:ord_x:authorize:2", 485),
    ]
    spec.after(back(2000)).when(back(2000)).then_nothing()


def test_a_refund_says_which_request_it_is_of_whatever_the_ids_look_like() -> None:
    spec = authorized.after(
        ship(1, 4),
        done(CAPTURE_1),
        expire(timedelta()),
        held_under("ord_x:authorize:2"),
        ship(2, 2),
        done("ord_x:capture:shp_x-2"),
    )
    asked = back(2000, "goodwill-7")
    requests = [
        event.request_id
        for event in spec.when(asked).events
        if isinstance(event, payment.RefundRequested)
    ]
    assert requests == ["goodwill-7", "goodwill-7"]
    spec.after(asked).when(asked).then_nothing()
    other = spec.after(asked).when(back(25, "goodwill")).events
    assert names(list(other)) == ["RefundRequested"]


def test_a_refund_from_before_requests_were_said_is_not_made_again() -> None:
    earlier = payment.RefundRequested(
        payment_id="pay_x",
        order_id="ord_x",
        refund_id="rfn_1",
        authorization_id=f"ga:{AUTH_1}",
        amount_minor=2000,
        currency="GBP",
        reason="goodwill",
        idempotency_key="ord_x:refund:rfn_1",
    )
    spec = authorized.after(ship(1, 6), done(CAPTURE_1))
    spec.given(earlier).when(back(2000)).then_nothing()


def test_a_shipment_that_a_hold_cannot_pay_is_refused_aloud_and_never_charged_less() -> None:
    """No rule of ours makes such a hold (see the laws); should there be one, it must be seen."""
    requested_less = payment.AuthorizationRequested(
        payment_id="pay_x",
        order_id="ord_x",
        amount_minor=100,
        currency="GBP",
        token="tok_approve",
        idempotency_key=AUTH_1,
    )
    held_less = payment.PaymentAuthorized(
        payment_id="pay_x",
        order_id="ord_x",
        authorization_id="ga_1",
        amount_minor=100,
        currency="GBP",
        expires_at=EXPIRES_AT,
    )
    spec = payments.given(INITIATED, requested_less, held_less).after(ship(1, 6))
    asked = [e for e in spec.history if isinstance(e, payment.CaptureRequested)]
    assert [one.amount_minor for one in asked] == [2025]
    refused = spec.when(declined(CAPTURE_1, "amount_too_large")).events
    assert names(list(refused)) == ["CaptureFailed", "VoidRequested"]
