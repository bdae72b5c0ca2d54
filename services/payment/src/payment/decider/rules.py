"""What a payment does with a command: note the fact, then ask the gateway for what comes next.

One call at a time (refunds apart), each under a key of its own; a new key only once the one before
is proven not to have worked. What comes next is told by `steps` from the state alone.
"""

from collections.abc import Sequence
from dataclasses import replace

from payment.decider import commands, steps
from payment.decider.state import Call, Hold, Nothing, Payment, Refund, State, evolve
from waybill_events import payment
from waybill_events.event import LineQuantity

AUTHORIZE_TRIES = 3
CAPTURE_TRIES = 5
RELEASED = frozenset({steps.EXPIRED, "nothing_to_void"})
"""Refusals of a void that say that nothing is held any more."""


class CannotRefund(Exception):
    """More than was captured and not given back; `refundable_minor` would be possible."""

    def __init__(self, refundable_minor: int) -> None:
        super().__init__(f"{refundable_minor} may be refunded")
        self.refundable_minor = refundable_minor


def decide(command: commands.Command, state: State) -> Sequence[payment.PaymentEvent]:
    """What a command means for a payment. The same command again adds nothing.

    Raises:
        CannotRefund: a refund beyond what was captured.
    """
    if isinstance(state, Nothing):
        return [command.payment] if isinstance(command, commands.Initiate) else []
    facts = _facts(command, state)
    after: State = state
    for fact in facts:
        after = evolve(after, fact)
    assert isinstance(after, Payment)  # noqa: S101 - no event ends a payment's existence
    return [*facts, *steps.next_steps(after)] if facts else []


def _facts(command: commands.Command, state: Payment) -> Sequence[payment.PaymentEvent]:
    match command:
        case commands.Initiate():
            return []
        case commands.CancelLines():
            return _cancel(command, state)
        case commands.Authorize():
            return steps.authorize_first(state)
        case commands.Stop(reason=reason):
            return [] if state.stopped is not None else [_stopped(state, reason)]
        case commands.CaptureShipment():
            return _ship(command, state)
        case commands.ExpireAuthorization():
            return _expire(command, state)
        case commands.Refund():
            return _refund(command, state)
        case _:
            return _verdict(command, state)


def _cancel(command: commands.CancelLines, state: Payment) -> Sequence[payment.PaymentEvent]:
    parts = _within_open(command.lines, state)
    if command.order_version <= state.order_version or not parts:
        return []
    reduced = payment.PaymentDueReduced(
        payment_id=state.payment_id,
        order_id=state.order_id,
        lines=parts,
        due_minor=0,
        currency=state.currency,
        order_version=command.order_version,
    )
    after = evolve(state, reduced)
    assert isinstance(after, Payment)  # noqa: S101 - see decide
    return [reduced.model_copy(update={"due_minor": after.due_minor})]


def _stopped(state: Payment, reason: str) -> payment.PaymentStopped:
    return payment.PaymentStopped(
        payment_id=state.payment_id, order_id=state.order_id, reason=reason
    )


def _ship(command: commands.CaptureShipment, state: Payment) -> Sequence[payment.PaymentEvent]:
    """Price a shipment; the first one carries the price of shipping."""
    if command.shipment_id in state.shipments:
        return []
    parts = _within_open(command.lines, state)
    if not parts:
        return []
    goods = sum(part.quantity * state.lines[part.line_id].unit_price_minor for part in parts)
    return [
        payment.CaptureDue(
            payment_id=state.payment_id,
            order_id=state.order_id,
            shipment_id=command.shipment_id,
            lines=parts,
            amount_minor=goods + (0 if state.shipments else state.shipping_minor),
            currency=state.currency,
        )
    ]


def _within_open(lines: Sequence[LineQuantity], state: Payment) -> tuple[LineQuantity, ...]:
    """These units as far as they are open: no unit is ever cancelled or charged twice."""
    left = {line_id: line.open for line_id, line in state.lines.items()}
    parts = []
    for part in lines:
        quantity = min(part.quantity, left.get(part.line_id, 0))
        if quantity > 0:
            left[part.line_id] -= quantity
            parts.append(part.model_copy(update={"quantity": quantity}))
    return tuple(parts)


def _expire(
    command: commands.ExpireAuthorization, state: Payment
) -> Sequence[payment.PaymentEvent]:
    """A call under way decides by itself: the gateway answers whether it came too late."""
    hold = state.hold
    if (
        hold is None
        or hold.authorization_id != command.authorization_id
        or command.now < hold.expires_at
        or state.call is not None
    ):
        return []
    return [_expired(state, hold)]


def _expired(state: Payment, hold: Hold) -> payment.AuthorizationExpired:
    return payment.AuthorizationExpired(
        payment_id=state.payment_id,
        order_id=state.order_id,
        authorization_id=hold.authorization_id,
    )


def _refund(command: commands.Refund, state: Payment) -> Sequence[payment.PaymentEvent]:
    """From one authorisation where that is enough, else from several, oldest first."""
    if any(refund.request_id == command.refund_id for refund in state.refunds.values()):
        return []
    room = {hold.authorization_id: state.refundable_minor(hold) for hold in state.holds}
    if command.amount_minor > sum(room.values()):
        raise CannotRefund(sum(room.values()))
    for authorization_id, left in room.items():
        if left >= command.amount_minor:
            amounts = {authorization_id: command.amount_minor}
            break
    else:
        amounts, rest = {}, command.amount_minor
        for authorization_id, left in room.items():
            if part := min(left, rest):
                amounts[authorization_id] = part
                rest -= part
    parts = enumerate(amounts.items(), start=1)
    return [
        _refund_requested(state, command, authorization_id, amount_minor, part=number)
        for number, (authorization_id, amount_minor) in parts
    ]


def _refund_requested(
    state: Payment,
    command: commands.Refund,
    authorization_id: str,
    amount_minor: int,
    *,
    part: int,
) -> payment.RefundRequested:
    refund_id = command.refund_id if part == 1 else f"{command.refund_id}-{part}"
    return payment.RefundRequested(
        payment_id=state.payment_id,
        order_id=state.order_id,
        refund_id=refund_id,
        authorization_id=authorization_id,
        amount_minor=amount_minor,
        currency=state.currency,
        reason=command.reason,
        idempotency_key=f"{state.order_id}:refund:{refund_id}",
        request_id=command.refund_id,
    )


def _verdict(command: commands.Verdict, state: Payment) -> Sequence[payment.PaymentEvent]:
    """Verdicts on calls that are not under way any more come late, and change nothing."""
    refund = state.refunds.get(command.key)
    if refund is not None:
        return _refund_verdict(command, state, refund) if refund.is_asked else []
    call = state.call
    if call is None or call.key != command.key:
        return []
    match command:
        case commands.NoteAuthorized() if call.operation == "authorize":
            return [_authorized(command, state, call)]
        case commands.NoteDone() if call.operation == "capture":
            return [_captured(state, call)]
        case commands.NoteDone() if call.operation == "void":
            return [_voided(state, call)]
        case commands.NoteDeclined():
            return [_declined(command, state, call)]
        case commands.NoteUnknown() if not call.is_unknown:
            return [_unknown(command, state, call.operation)]
        case _:
            return []


def _authorized(
    command: commands.NoteAuthorized, state: Payment, call: Call
) -> payment.PaymentAuthorized:
    return payment.PaymentAuthorized(
        payment_id=state.payment_id,
        order_id=state.order_id,
        authorization_id=command.authorization_id,
        amount_minor=call.amount_minor,
        currency=state.currency,
        expires_at=command.expires_at,
    )


def _captured(state: Payment, call: Call) -> payment.PaymentCaptured:
    return payment.PaymentCaptured(
        payment_id=state.payment_id,
        order_id=state.order_id,
        shipment_id=call.shipment_id,
        amount_minor=call.amount_minor,
        captured_minor=state.captured_minor + call.amount_minor,
        currency=state.currency,
        final=call.is_final,
    )


def _declined(command: commands.NoteDeclined, state: Payment, call: Call) -> payment.PaymentEvent:
    match call.operation:
        case "authorize":
            return _authorize_declined(command, state)
        case "capture":
            return _capture_declined(command, state, call)
        case "void":
            # Asked again, ever more slowly, for as long as the hold may live: the gateway says
            # `authorization_expired` in the end.
            released = command.code in RELEASED
            return _voided(state, call) if released else steps.void(state, call.attempt + 1)


def _authorize_declined(command: commands.NoteDeclined, state: Payment) -> payment.PaymentEvent:
    if state.stopped is not None:
        return steps.abandoned(state, state.stopped)
    if command.retryable and state.tries < AUTHORIZE_TRIES:
        return steps.authorize(replace(state, call=None), declined_code=command.code)
    return steps.declined(state, command.code, retryable=command.retryable)


def _capture_declined(
    command: commands.NoteDeclined, state: Payment, call: Call
) -> payment.PaymentEvent:
    if command.code == steps.EXPIRED and state.hold is not None:
        return _expired(state, state.hold)
    tries = next(due.tries for due in state.queue if due.shipment_id == call.shipment_id) + 1
    again = command.retryable and tries < CAPTURE_TRIES
    return steps.capture_failed(state, call.shipment_id, command.code, retryable=again)


def _voided(state: Payment, call: Call) -> payment.PaymentVoided:
    return payment.PaymentVoided(
        payment_id=state.payment_id,
        order_id=state.order_id,
        amount_minor=call.amount_minor,
        currency=state.currency,
    )


def _unknown(
    command: commands.NoteUnknown,
    state: Payment,
    operation: payment.Operation,
) -> payment.PaymentOutcomeUnknown:
    return payment.PaymentOutcomeUnknown(
        payment_id=state.payment_id,
        order_id=state.order_id,
        operation=operation,
        idempotency_key=command.key,
        detail=command.detail[:500],
    )


def _refund_verdict(
    command: commands.Verdict, state: Payment, refund: Refund
) -> Sequence[payment.PaymentEvent]:
    match command:
        case commands.NoteDone():
            return [
                payment.PaymentRefunded(
                    payment_id=state.payment_id,
                    order_id=state.order_id,
                    refund_id=refund.refund_id,
                    amount_minor=refund.amount_minor,
                    refunded_minor=state.refunded_minor + refund.amount_minor,
                    currency=state.currency,
                )
            ]
        case commands.NoteDeclined():
            return [
                payment.RefundFailed(
                    payment_id=state.payment_id,
                    order_id=state.order_id,
                    refund_id=refund.refund_id,
                    code=command.code,
                    retryable=command.retryable,
                )
            ]
        case commands.NoteUnknown() if refund.status == "requested":
            return [_unknown(command, state, "refund")]
        case _:
            return []
