"""What an order does with a command. Its own stream settles every race.

placed → confirmed → completed; placed → rejected, expired, cancelled; confirmed → cancelled.
Payments, stock and parcels are noted as they come, so that the end can be decided here.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from capture.decider import commands
from capture.decider.state import Confirmed, Ended, Money, Nothing, Placed, State, evolve
from waybill_events.capture import (
    OUT_OF_STOCK,
    PAYMENT_DECLINED,
    CancellationReason,
    CancellationRefusal,
    ExpiryReason,
    GivenReason,
    LineProgress,
    MoneyStatus,
    OrderCancellationRefused,
    OrderCancellationRequested,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderEvent,
    OrderExpired,
    OrderFulfillmentRecorded,
    OrderLinesCancelled,
    OrderPaymentRecorded,
    OrderRejected,
    OrderReserved,
    RejectionReason,
)
from waybill_events.event import LineQuantity, Shortage


class CannotCancel(Exception):
    """The order has ended otherwise, or everything in it was dispatched."""


def decide(command: commands.Command, state: State) -> Sequence[OrderEvent]:
    """What a command means for an order. The same command again adds nothing.

    Raises:
        CannotCancel: a cancellation that comes too late.
    """
    match state:
        case Nothing():
            return [command.order] if isinstance(command, commands.PlaceOrder) else []
        case Placed():
            return _decide_placed(command, state)
        case Confirmed():
            return _decide_confirmed(command, state)
        case Ended():
            return _decide_ended(command, state)
        case _:
            assert_never(state)


def _decide_placed(command: commands.Command, state: Placed) -> Sequence[OrderEvent]:
    order_id = state.order.order_id
    match command:
        case commands.NoteReserved() if state.reserved is None:
            return _reserve(command, order_id)
        case commands.NoteNotReserved():
            detail = ", ".join(
                f"{s.sku}: {s.available} of {s.requested}" for s in command.shortages[:20]
            )
            return [_rejected(order_id, OUT_OF_STOCK, detail, command.shortages)]
        case commands.NoteAuthorized() if state.reserved is not None:
            return [_confirm(command, state, state.reserved)]
        case commands.NoteDeclined(code=code):
            return [_rejected(order_id, PAYMENT_DECLINED, code)]
        case commands.NoteHoldExpired():
            return [_expired(order_id, "hold_expired")]
        case commands.Expire(now=now) if now >= state.order.expires_at:
            return [_expired(order_id, "not_confirmed_in_time")]
        case commands.RequestCancellation(reason=reason):
            return [_cancelled(order_id, reason)]
        case _:
            return []


def _reserve(command: commands.NoteReserved, order_id: str) -> Sequence[OrderEvent]:
    """All of it, or what there is of an order that allows partial delivery."""
    reserved = OrderReserved(
        order_id=order_id,
        reservation_id=command.reservation_id,
        allocations=command.allocations,
    )
    if not command.shortages:
        return [reserved]
    missing = tuple(
        LineQuantity(line_id=s.line_id, sku=s.sku, quantity=s.requested - s.available)
        for s in command.shortages
    )
    return [_lines_cancelled(order_id, OUT_OF_STOCK, command.reservation_id, missing), reserved]


def _confirm(
    command: commands.NoteAuthorized, state: Placed, reserved: OrderReserved
) -> OrderConfirmed:
    order = state.order
    return OrderConfirmed(
        order_id=order.order_id,
        external_ref=order.external_ref,
        channel=order.channel,
        recipient_ref=order.recipient_ref,
        reservation_id=reserved.reservation_id,
        lines=order.lines,
        allocations=reserved.allocations,
        shipping=order.shipping,
        currency=order.currency,
        authorized_minor=command.amount_minor,
    )


def _decide_confirmed(command: commands.Command, state: Confirmed) -> Sequence[OrderEvent]:
    order_id = state.order.order_id
    match command:
        case commands.NoteShipped(shipment_id=shipment_id) if shipment_id not in state.shipped:
            return _record(state, shipment_id, command.lines, delivered=False)
        case commands.NoteDelivered(shipment_id=shipment_id) if shipment_id not in state.delivered:
            return _record(state, shipment_id, command.lines, delivered=True)
        case commands.NoteWillNotShip() if command.source not in state.lost_to:
            return _will_not_ship(command, state)
        case commands.NoteNotReserved() if state.is_open:
            # The hold was lost between authorisation and confirmation. The warehouses were told
            # already and may have begun: what left by then is not ours to cancel.
            return _request_cancellation("stock_lost", state)
        case commands.NoteDeclined(payment_id=payment_id):
            # The authorisation ran out and was not given again.
            return _payment_lost(payment_id, state)
        case commands.NoteMoney():
            return _settled(_note_money(command, order_id, state.money), state)
        case commands.NoteTooLateToCancel() if state.cancelling is not None:
            return [_not_cancelled(order_id, "dispatched")]
        case commands.RequestCancellation(reason=reason):
            return _request_cancellation(reason, state)
        case _:
            return []


def _record(
    state: Confirmed, shipment_id: str, moved: Sequence[LineQuantity], *, delivered: bool
) -> Sequence[OrderEvent]:
    """Note a shipment's way; a delivery told before its dispatch counts for both."""
    units = {part.line_id: part.quantity for part in moved}
    ships = shipment_id not in state.shipped
    progress = tuple(
        LineProgress(
            line_id=line_id,
            shipped=line.shipped + (units[line_id] if ships else 0),
            delivered=line.delivered + (units[line_id] if delivered else 0),
        )
        for line_id, line in state.lines.items()
        if line_id in units
    )
    event = OrderFulfillmentRecorded(
        order_id=state.order.order_id, shipment_id=shipment_id, lines=progress
    )
    return _settled([event], state)


def _will_not_ship(command: commands.NoteWillNotShip, state: Confirmed) -> Sequence[OrderEvent]:
    """Cancel what is still open of these lines; the whole order when nothing is left of it."""
    parts = tuple(
        LineQuantity(line_id=part.line_id, sku=part.sku, quantity=quantity)
        for part in command.lines
        if (line := state.lines.get(part.line_id)) is not None
        and (quantity := min(part.quantity, line.open)) > 0
    )
    if not parts:
        return []
    order_id = state.order.order_id
    event = _lines_cancelled(order_id, command.reason, command.source, parts)
    after = evolve(state, event)
    assert isinstance(after, Confirmed)  # noqa: S101 - cancelling lines does not end an order
    if all(line.cancelled == line.ordered for line in after.lines.values()):
        reason = state.cancelling or command.reason
        return [_cancelled(order_id, reason)]
    return _settled([event], state)


def _payment_lost(payment_id: str, state: Confirmed) -> Sequence[OrderEvent]:
    """Call off what has not left; what has left unpaid stays open, for people to see to."""
    if state.is_open:
        return _request_cancellation("payment_expired", state)
    money = replace(state.money, payment_id=payment_id, failed=True)
    return [] if state.money.failed else [_payment(state.order.order_id, "failed", money)]


def _request_cancellation(
    reason: CancellationReason | GivenReason, state: Confirmed
) -> Sequence[OrderEvent]:
    if state.cancelling is not None:
        return []
    if not state.is_open:
        raise CannotCancel("everything in the order was dispatched")
    return [OrderCancellationRequested(order_id=state.order.order_id, reason=reason)]


def _settled(events: Sequence[OrderEvent], state: Confirmed) -> Sequence[OrderEvent]:
    """These events, and the order's completion when they leave nothing open and nothing due."""
    after: State = state
    for event in events:
        after = evolve(after, event)
    if (
        events
        and isinstance(after, Confirmed)
        and all(line.open == 0 and line.shipped == line.delivered for line in after.lines.values())
        and after.money.captured_minor == after.due_minor
    ):
        completed = OrderCompleted(
            order_id=state.order.order_id,
            captured_minor=after.money.captured_minor,
            currency=state.order.currency,
        )
        return [*events, completed]
    return events


def _decide_ended(command: commands.Command, state: Ended) -> Sequence[OrderEvent]:
    order_id = state.order.order_id
    match command:
        case commands.NoteAuthorized(payment_id=payment_id, amount_minor=amount_minor):
            money = replace(state.money, payment_id=payment_id, authorized_minor=amount_minor)
            return [] if money == state.money else [_payment(order_id, "authorized", money)]
        case commands.NoteMoney():
            return _note_money(command, order_id, state.money)
        case commands.RequestCancellation() if state.status != "cancelled":
            raise CannotCancel(f"the order is {state.status}")
        case _:
            return []


def _note_money(command: commands.NoteMoney, order_id: str, money: Money) -> Sequence[OrderEvent]:
    """Sums only grow. What failed stays so until money is given back: a rest let go of after a
    shipment that nobody paid for makes nothing of it paid.
    """
    sums = replace(
        money,
        payment_id=command.payment_id,
        captured_minor=money.captured_minor
        if command.captured_minor is None
        else max(money.captured_minor, command.captured_minor),
        refunded_minor=money.refunded_minor
        if command.refunded_minor is None
        else max(money.refunded_minor, command.refunded_minor),
    )
    if command.status == "failed":
        sums = replace(sums, failed=True)
    if sums == money and command.status in ("captured", "refunded", "failed"):
        return []
    if command.status in ("voided", "abandoned"):
        sums = replace(sums, authorized_minor=sums.captured_minor)
        if sums == money:
            return []
    fails = sums.failed and command.status != "refunded"
    return [_payment(order_id, "failed" if fails else command.status, sums)]


def _payment(order_id: str, status: MoneyStatus, money: Money) -> OrderPaymentRecorded:
    return OrderPaymentRecorded(
        order_id=order_id,
        payment_id=money.payment_id,
        status=status,
        authorized_minor=money.authorized_minor,
        captured_minor=money.captured_minor,
        refunded_minor=money.refunded_minor,
    )


# Every reason passes here: the events take any text, these only what we know words for.


def _rejected(
    order_id: str, reason: RejectionReason, detail: str, shortages: tuple[Shortage, ...] = ()
) -> OrderRejected:
    return OrderRejected(order_id=order_id, reason=reason, detail=detail[:500], shortages=shortages)


def _expired(order_id: str, reason: ExpiryReason) -> OrderExpired:
    return OrderExpired(order_id=order_id, reason=reason)


def _cancelled(order_id: str, reason: CancellationReason | GivenReason) -> OrderCancelled:
    return OrderCancelled(order_id=order_id, reason=reason)


def _not_cancelled(order_id: str, reason: CancellationRefusal) -> OrderCancellationRefused:
    return OrderCancellationRefused(order_id=order_id, reason=reason)


def _lines_cancelled(
    order_id: str,
    reason: CancellationReason | GivenReason,
    source: str,
    lines: tuple[LineQuantity, ...],
) -> OrderLinesCancelled:
    return OrderLinesCancelled(order_id=order_id, reason=reason, source=source, lines=lines)
