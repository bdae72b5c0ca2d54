"""What a payment's history amounts to, and how each event changes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, TypeAlias, assert_never

from waybill_events import payment
from waybill_events.event import LineQuantity


@dataclass(frozen=True, slots=True)
class Nothing:
    """No payment yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    unit_price_minor: int
    ordered: int
    cancelled: int = 0
    shipped: int = 0

    @property
    def open(self) -> int:
        """Units neither cancelled nor shipped."""
        return self.ordered - self.cancelled - self.shipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One authorisation. Only an open one can still be captured from."""

    authorization_id: str
    amount_minor: int
    expires_at: datetime
    captured_minor: int = 0
    is_open: bool = True

    @property
    def open_minor(self) -> int:
        return self.amount_minor - self.captured_minor if self.is_open else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the gateway was asked and has not answered: one at a time, refunds apart."""

    operation: Literal["authorize", "capture", "void"]
    key: str
    amount_minor: int
    attempt: int
    shipment_id: str = ""
    is_final: bool = False
    is_unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A shipment whose money is still to be taken, and how often that was tried in vain.

    `declines`: of these, what was declined for now since its authorisation is held.
    """

    shipment_id: str
    amount_minor: int
    tries: int = 0
    declines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One part of what was asked to be given back; `request_id` is the whole of it."""

    refund_id: str
    request_id: str
    authorization_id: str
    amount_minor: int
    status: Literal["requested", "unknown", "refunded", "failed"] = "requested"

    @property
    def is_asked(self) -> bool:
        return self.status in ("requested", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment, from its order's placing on. `is_over`: the last word on its hold was said."""

    order_id: str
    payment_id: str
    currency: str
    token: str
    shipping_minor: int
    lines: Mapping[str, Line]
    order_version: int = 0
    shipments: frozenset[str] = frozenset()
    queue: tuple[Due, ...] = ()
    holds: tuple[Hold, ...] = ()
    call: Call | None = None
    refunds: Mapping[str, Refund] = field(default_factory=dict)
    attempts: int = 0
    tries: int = 0
    declined: str | None = None
    stopped: str | None = None
    is_over: bool = False

    @property
    def hold(self) -> Hold | None:
        """The authorisation that captures come from: always the newest, if any is open."""
        return self.holds[-1] if self.holds and self.holds[-1].is_open else None

    @property
    def held_minor(self) -> int:
        return self.hold.open_minor if self.hold is not None else 0

    @property
    def due_minor(self) -> int:
        """What the order costs without what was cancelled."""
        goods = sum(
            line.unit_price_minor * (line.ordered - line.cancelled) for line in self.lines.values()
        )
        return goods + self.shipping_minor

    @property
    def needed_minor(self) -> int:
        """What must be held for what is still to be shipped, or shipped and still to be taken."""
        waiting = sum(due.amount_minor for due in self.queue)
        open_minor = sum(line.open * line.unit_price_minor for line in self.lines.values())
        ships_first = not self.shipments and any(line.open for line in self.lines.values())
        return waiting + open_minor + (self.shipping_minor if ships_first else 0)

    @property
    def captured_minor(self) -> int:
        return sum(hold.captured_minor for hold in self.holds)

    @property
    def refunded_minor(self) -> int:
        return sum(r.amount_minor for r in self.refunds.values() if r.status == "refunded")

    def refundable_minor(self, hold: Hold) -> int:
        """What was captured from a hold, and neither given back nor about to be."""
        back = sum(
            refund.amount_minor
            for refund in self.refunds.values()
            if refund.authorization_id == hold.authorization_id and refund.status != "failed"
        )
        return hold.captured_minor - back


State: TypeAlias = Nothing | Payment

INITIAL: State = Nothing()


def is_under_way(state: State, key: str) -> bool:
    """Whether the verdict on the call under this key is still to come."""
    if isinstance(state, Nothing):
        return False
    refund = state.refunds.get(key)
    return (refund is not None and refund.is_asked) or (
        state.call is not None and state.call.key == key
    )


def evolve(state: State, event: payment.PaymentEvent) -> State:
    """The state after an event. Never refuses: what makes no sense changes nothing."""
    if isinstance(state, Nothing):
        return _begin(event) if isinstance(event, payment.PaymentInitiated) else state
    match event:
        case payment.PaymentDueReduced():
            lines = _moved(state.lines, event.lines, "cancelled")
            return replace(state, lines=lines, order_version=event.order_version)
        case payment.PaymentStopped(reason=reason):
            return replace(state, stopped=reason)
        case payment.PaymentOutcomeUnknown():
            return _unknown(state, event)
        case payment.PaymentAbandoned():
            return replace(state, call=None, is_over=True)
        case (
            payment.AuthorizationRequested()
            | payment.PaymentAuthorized()
            | payment.PaymentDeclined()
            | payment.AuthorizationExpired()
        ):
            return _evolve_hold(state, event)
        case (
            payment.CaptureDue()
            | payment.CaptureRequested()
            | payment.PaymentCaptured()
            | payment.CaptureFailed()
        ):
            return _evolve_capture(state, event)
        case payment.VoidRequested() | payment.PaymentVoided():
            return _evolve_void(state, event)
        case payment.RefundRequested() | payment.PaymentRefunded() | payment.RefundFailed():
            return replace(state, refunds=_evolve_refunds(state.refunds, event))
        case payment.PaymentInitiated():
            return state
        case _:
            assert_never(event)


def _begin(event: payment.PaymentInitiated) -> Payment:
    return Payment(
        order_id=event.order_id,
        payment_id=event.payment_id,
        currency=event.currency,
        token=event.token or "",
        shipping_minor=event.shipping_minor,
        lines={
            line.line_id: Line(unit_price_minor=line.unit_price_minor, ordered=line.quantity)
            for line in event.lines
        },
    )


def _evolve_hold(
    state: Payment,
    event: payment.AuthorizationRequested
    | payment.PaymentAuthorized
    | payment.PaymentDeclined
    | payment.AuthorizationExpired,
) -> Payment:
    match event:
        case payment.AuthorizationRequested():
            call = Call(
                operation="authorize",
                key=event.idempotency_key,
                amount_minor=event.amount_minor,
                attempt=event.attempt,
            )
            tries = 1 if event.declined_code is None else state.tries + 1
            return replace(
                state, call=call, attempts=event.attempt, tries=tries, declined=None, is_over=False
            )
        case payment.PaymentAuthorized():
            hold = Hold(
                authorization_id=event.authorization_id,
                amount_minor=event.amount_minor,
                expires_at=event.expires_at,
            )
            return replace(state, call=None, holds=(*state.holds, hold), is_over=False)
        case payment.PaymentDeclined(code=code):
            return replace(state, call=None, declined=code, is_over=True)
        case payment.AuthorizationExpired():
            # A capture that ran into the expiry is asked for again, under the next hold.
            queue = state.queue
            if state.call is not None and state.call.operation == "capture":
                queue = _tried(queue, state.call.shipment_id)
            queue = tuple(replace(due, declines=0) for due in queue)
            return replace(state, call=None, queue=queue, holds=_closed(state.holds))


def _evolve_capture(
    state: Payment,
    event: payment.CaptureDue
    | payment.CaptureRequested
    | payment.PaymentCaptured
    | payment.CaptureFailed,
) -> Payment:
    match event:
        case payment.CaptureDue():
            due = Due(shipment_id=event.shipment_id, amount_minor=event.amount_minor)
            return replace(
                state,
                lines=_moved(state.lines, event.lines, "shipped"),
                shipments=state.shipments | {event.shipment_id},
                queue=(*state.queue, due) if event.amount_minor else state.queue,
                declined=None,
            )
        case payment.CaptureRequested():
            call = Call(
                operation="capture",
                key=event.idempotency_key,
                amount_minor=event.amount_minor,
                attempt=event.attempt,
                shipment_id=event.shipment_id,
                is_final=event.final,
            )
            return replace(state, call=call)
        case payment.PaymentCaptured():
            hold = state.holds[-1]
            taken = replace(
                hold,
                captured_minor=hold.captured_minor + event.amount_minor,
                is_open=hold.is_open and not event.final,
            )
            queue = tuple(due for due in state.queue if due.shipment_id != event.shipment_id)
            return replace(
                state,
                call=None,
                queue=queue,
                holds=(*state.holds[:-1], taken),
                is_over=state.is_over or event.final,
            )
        case payment.CaptureFailed(shipment_id=shipment_id, retryable=True):
            return replace(state, call=None, queue=_tried(state.queue, shipment_id))
        case payment.CaptureFailed(shipment_id=shipment_id):
            queue = tuple(due for due in state.queue if due.shipment_id != shipment_id)
            return replace(state, call=None, queue=queue)


def _evolve_void(state: Payment, event: payment.VoidRequested | payment.PaymentVoided) -> Payment:
    if isinstance(event, payment.PaymentVoided):
        return replace(state, call=None, holds=_closed(state.holds), is_over=True)
    call = Call(
        operation="void",
        key=event.idempotency_key,
        amount_minor=event.amount_minor,
        attempt=event.attempt,
    )
    return replace(state, call=call)


def _evolve_refunds(
    refunds: Mapping[str, Refund],
    event: payment.RefundRequested | payment.PaymentRefunded | payment.RefundFailed,
) -> Mapping[str, Refund]:
    match event:
        case payment.RefundRequested():
            asked = Refund(
                refund_id=event.refund_id,
                request_id=event.request_id or event.refund_id,
                authorization_id=event.authorization_id,
                amount_minor=event.amount_minor,
            )
            return {**refunds, event.idempotency_key: asked}
        case payment.PaymentRefunded() | payment.RefundFailed():
            status: Literal["refunded", "failed"] = (
                "refunded" if isinstance(event, payment.PaymentRefunded) else "failed"
            )
            return {
                key: replace(refund, status=status)
                if refund.refund_id == event.refund_id
                else refund
                for key, refund in refunds.items()
            }


def _unknown(state: Payment, event: payment.PaymentOutcomeUnknown) -> Payment:
    key = event.idempotency_key
    if state.call is not None and state.call.key == key:
        return replace(state, call=replace(state.call, is_unknown=True))
    if key in state.refunds:
        refund = replace(state.refunds[key], status="unknown")
        return replace(state, refunds={**state.refunds, key: refund})
    return state


def _moved(
    lines: Mapping[str, Line],
    parts: tuple[LineQuantity, ...],
    into: Literal["cancelled", "shipped"],
) -> Mapping[str, Line]:
    after = dict(lines)
    for part in parts:
        line = after[part.line_id]
        if into == "cancelled":
            after[part.line_id] = replace(line, cancelled=line.cancelled + part.quantity)
        else:
            after[part.line_id] = replace(line, shipped=line.shipped + part.quantity)
    return after


def _tried(queue: tuple[Due, ...], shipment_id: str) -> tuple[Due, ...]:
    return tuple(
        replace(due, tries=due.tries + 1, declines=due.declines + 1)
        if due.shipment_id == shipment_id
        else due
        for due in queue
    )


def _closed(holds: tuple[Hold, ...]) -> tuple[Hold, ...]:
    return (*holds[:-1], replace(holds[-1], is_open=False))
