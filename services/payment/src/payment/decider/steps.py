"""What a payment has to ask the gateway next: told by its state alone, at most one call."""

from collections.abc import Sequence
from datetime import UTC, datetime

from payment.decider.state import Due, Hold, Payment
from waybill_events import payment

HOLDS_MAX = 12
"""Authorisations that one payment may use up; with the usual week each, a quarter of a year."""

EXPIRED = "authorization_expired"
NEVER = datetime(9999, 12, 31, tzinfo=UTC)


def next_steps(state: Payment) -> Sequence[payment.PaymentEvent]:
    """Nothing while a call is under way; else what follows from where the payment stands."""
    if state.call is not None:
        return []
    if state.queue:
        return _capture_next(state, state.queue[0])
    if state.held_minor and (state.stopped is not None or not state.needed_minor):
        return [void(state, 1)]
    if state.stopped is not None:
        return [] if state.is_over else [abandoned(state, state.stopped)]
    if state.holds and state.hold is None and state.needed_minor and state.declined is None:
        if len(state.holds) < HOLDS_MAX:
            return [authorize(state)]
        return [declined(state, EXPIRED, retryable=False)]
    return []


def _capture_next(state: Payment, due: Due) -> Sequence[payment.PaymentEvent]:
    if state.hold is not None:
        return [_capture(state, state.hold, due)]
    if code := state.declined or state.stopped:
        return _fail_all(state, code)
    if len(state.holds) < HOLDS_MAX:
        return [authorize(state)]
    return [declined(state, EXPIRED, retryable=False), *_fail_all(state, EXPIRED)]


def _fail_all(state: Payment, code: str) -> list[payment.PaymentEvent]:
    return [capture_failed(state, due.shipment_id, code, retryable=False) for due in state.queue]


def authorize_first(state: Payment) -> Sequence[payment.PaymentEvent]:
    """The first authorisation, once."""
    if state.attempts or state.holds or state.stopped is not None:
        return []
    return [authorize(state)]


def authorize(state: Payment, *, declined_code: str | None = None) -> payment.PaymentEvent:
    """Ask for all that is still needed, under the next key; for nothing, nobody is asked."""
    if not state.needed_minor:
        return payment.PaymentAuthorized(
            payment_id=state.payment_id,
            order_id=state.order_id,
            authorization_id=f"free:{state.order_id}",
            amount_minor=0,
            currency=state.currency,
            expires_at=NEVER,
        )
    attempt = state.attempts + 1
    return payment.AuthorizationRequested(
        payment_id=state.payment_id,
        order_id=state.order_id,
        amount_minor=state.needed_minor,
        currency=state.currency,
        token=state.token,
        idempotency_key=f"{state.order_id}:authorize:{attempt}",
        attempt=attempt,
        declined_code=declined_code,
        tries=1 if declined_code is None else state.tries + 1,
    )


def _capture(state: Payment, hold: Hold, due: Due) -> payment.CaptureRequested:
    again = f":{due.tries + 1}" if due.tries else ""
    return payment.CaptureRequested(
        payment_id=state.payment_id,
        order_id=state.order_id,
        shipment_id=due.shipment_id,
        authorization_id=hold.authorization_id,
        amount_minor=due.amount_minor,
        currency=state.currency,
        final=state.needed_minor == due.amount_minor,
        idempotency_key=f"{state.order_id}:capture:{due.shipment_id}{again}",
        attempt=due.declines + 1,
    )


def capture_failed(
    state: Payment, shipment_id: str, code: str, *, retryable: bool
) -> payment.CaptureFailed:
    return payment.CaptureFailed(
        payment_id=state.payment_id,
        order_id=state.order_id,
        shipment_id=shipment_id,
        code=code,
        retryable=retryable,
    )


def void(state: Payment, attempt: int) -> payment.VoidRequested:
    """Give back the whole remainder of the open hold."""
    hold = state.holds[-1]
    again = f":{attempt}" if attempt > 1 else ""
    return payment.VoidRequested(
        payment_id=state.payment_id,
        order_id=state.order_id,
        authorization_id=hold.authorization_id,
        amount_minor=hold.open_minor,
        currency=state.currency,
        reason=state.stopped or "nothing_left_to_ship",
        idempotency_key=f"{state.order_id}:void:{len(state.holds)}{again}",
        attempt=attempt,
    )


def declined(state: Payment, code: str, *, retryable: bool) -> payment.PaymentDeclined:
    return payment.PaymentDeclined(
        payment_id=state.payment_id, order_id=state.order_id, code=code, retryable=retryable
    )


def abandoned(state: Payment, reason: str) -> payment.PaymentAbandoned:
    return payment.PaymentAbandoned(
        payment_id=state.payment_id, order_id=state.order_id, reason=reason
    )
