"""How a payment looks: its sums, and every call to the gateway with what came of it."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from payment import calls
from payment.decider.state import INITIAL, Payment, State, evolve
from waybill_events import payment
from waybill_events.envelope import Recorded
from waybill_events.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationSeen:
    """One call. An attempt that another one follows was declined."""

    operation: calls.Operation
    key: str
    reference: str
    amount_minor: int
    requested_at: datetime
    status: Literal["requested", "unknown", "approved", "declined"] = "requested"
    code: str | None = None
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSeen:
    """Everything a payment shows."""

    state: Payment
    created_at: datetime
    version: int
    operations: tuple[OperationSeen, ...] = ()
    voided_minor: int = 0
    expired_minor: int = 0

    @property
    def authorized_minor(self) -> int:
        return sum(hold.amount_minor for hold in self.state.holds)

    @property
    def status(self) -> str:
        """One word for the whole: what was given back counts before what was taken."""
        state = self.state
        if state.refunded_minor:
            is_whole = state.refunded_minor == state.captured_minor
            return "refunded" if is_whole else "partially_refunded"
        if state.captured_minor:
            return "partially_captured" if state.needed_minor else "captured"
        if state.call is not None and state.call.operation == "authorize":
            return "unknown" if state.call.is_unknown else "authorizing"
        if state.declined is not None:
            return "declined"
        if state.hold is not None and not state.is_over:
            return "authorized"
        if self.voided_minor:
            return "voided"
        if state.is_over:
            return "abandoned"
        return "expired" if state.holds else "initiated"


def see(
    seen: PaymentSeen | None, recorded: Recorded, event: payment.PaymentEvent
) -> PaymentSeen | None:
    """The payment after one more event of its stream."""
    before: State = INITIAL if seen is None else seen.state
    after = evolve(before, event)
    if not isinstance(after, Payment):
        return None
    if seen is None:
        return PaymentSeen(state=after, created_at=recorded.occurred_at, version=recorded.version)
    voided, expired = _let_go(seen.state, event)
    return replace(
        seen,
        state=after,
        version=recorded.version,
        operations=_operations(seen, recorded, event),
        voided_minor=seen.voided_minor + voided,
        expired_minor=seen.expired_minor + expired,
    )


def _let_go(before: Payment, event: Event) -> tuple[int, int]:
    """What an event voids and lets expire of what was held."""
    match event:
        case payment.PaymentVoided():
            return event.amount_minor, 0
        case payment.PaymentCaptured(final=True):
            return before.held_minor - event.amount_minor, 0
        case payment.AuthorizationExpired():
            return 0, before.held_minor
        case _:
            return 0, 0


def _operations(seen: PaymentSeen, recorded: Recorded, event: Event) -> tuple[OperationSeen, ...]:
    at = recorded.occurred_at
    call = seen.state.call
    key = "" if call is None else call.key
    if (asked := calls.requested(recorded, event)) is not None:
        new = _asked(asked[0])
        if isinstance(event, payment.RefundRequested):
            return (*seen.operations, new)
        code = event.declined_code if isinstance(event, payment.AuthorizationRequested) else None
        return (*_settled(seen.operations, key, "declined", at, code), new)
    match event:
        case payment.PaymentOutcomeUnknown():
            return tuple(
                replace(one, status="unknown") if one.key == event.idempotency_key else one
                for one in seen.operations
            )
        case payment.PaymentAuthorized() | payment.PaymentCaptured() | payment.PaymentVoided():
            return _settled(seen.operations, key, "approved", at)
        case payment.PaymentDeclined(code=code) | payment.CaptureFailed(code=code):
            return _settled(seen.operations, key, "declined", at, code)
        case payment.AuthorizationExpired():
            return _settled(seen.operations, key, "declined", at, "authorization_expired")
        case payment.PaymentAbandoned():
            return _settled(seen.operations, key, "declined", at)
        case payment.PaymentRefunded(refund_id=refund_id):
            return _settled(seen.operations, _refund_key(seen, refund_id), "approved", at)
        case payment.RefundFailed(refund_id=refund_id, code=code):
            return _settled(seen.operations, _refund_key(seen, refund_id), "declined", at, code)
        case _:
            return seen.operations


def _asked(call: calls.Call) -> OperationSeen:
    return OperationSeen(
        operation=call.operation,
        key=call.key,
        reference=call.reference,
        amount_minor=call.amount_minor,
        requested_at=call.requested_at,
    )


def _settled(
    operations: tuple[OperationSeen, ...],
    key: str,
    status: Literal["approved", "declined"],
    at: datetime,
    code: str | None = None,
) -> tuple[OperationSeen, ...]:
    """The call under `key` with its verdict; all as they were when there is none."""
    return tuple(
        replace(one, status=status, code=code, settled_at=at) if one.key == key else one
        for one in operations
    )


def _refund_key(seen: PaymentSeen, refund_id: str) -> str:
    return next(k for k, refund in seen.state.refunds.items() if refund.refund_id == refund_id)
