"""An order's rules, told as given, when, then."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from capture import decider
from capture.decider import commands
from waybill_events import capture
from waybill_events.event import Allocation, LineQuantity, Shortage
from waybill_runtime.testing.spec import Spec

EXPIRES_AT = datetime(2030, 1, 1, tzinfo=UTC)

PLACED = capture.OrderPlaced(
    order_id="ord_x",
    external_ref="536365",
    channel="web",
    currency="GBP",
    customer_ref="17850",
    recipient_ref="rcp_x",
    country_code="GB",
    locale="en-GB",
    lines=(
        capture.OrderLine(line_id="ln_1", sku="A", name="A", quantity=6, unit_price_minor=255),
        capture.OrderLine(line_id="ln_2", sku="B", name="B", quantity=1, unit_price_minor=100),
    ),
    shipping=capture.ShippingChoice(option="standard", price_minor=495),
    payment=capture.PaymentChoice(method="card", token="tok_approve"),
    total_minor=2125,
    allow_partial=False,
    tracking_token_hash="hash",
    expires_at=EXPIRES_AT,
)
ALLOCATIONS = (
    Allocation(line_id="ln_1", sku="A", location="main", quantity=6),
    Allocation(line_id="ln_2", sku="B", location="main", quantity=1),
)
RESERVED = capture.OrderReserved(order_id="ord_x", reservation_id="res_x", allocations=ALLOCATIONS)
CONFIRMED = capture.OrderConfirmed(
    order_id="ord_x",
    external_ref="536365",
    channel="web",
    recipient_ref="rcp_x",
    reservation_id="res_x",
    lines=PLACED.lines,
    allocations=ALLOCATIONS,
    shipping=PLACED.shipping,
    currency="GBP",
    authorized_minor=2125,
)
COMPLETED = capture.OrderCompleted(order_id="ord_x", captured_minor=2125, currency="GBP")

orders = Spec(decider.decide, decider.evolve, decider.INITIAL)
placed = orders.given(PLACED)
reserved = placed.given(RESERVED)
confirmed = reserved.given(CONFIRMED)

RESERVE = commands.NoteReserved(reservation_id="res_x", allocations=ALLOCATIONS, shortages=())
AUTHORIZED = commands.NoteAuthorized(payment_id="pay_x", amount_minor=2125)
CANCEL = commands.RequestCancellation(reason="customer_request")
ALL = (
    LineQuantity(line_id="ln_1", sku="A", quantity=6),
    LineQuantity(line_id="ln_2", sku="B", quantity=1),
)


def captured(sum_minor: int) -> commands.NoteMoney:
    return commands.NoteMoney(payment_id="pay_x", status="captured", captured_minor=sum_minor)


def money(
    status: Literal["authorized", "captured", "voided", "refunded", "abandoned", "failed"],
    *,
    authorized: int = 2125,
    captured: int = 0,
    refunded: int = 0,
) -> capture.OrderPaymentRecorded:
    return capture.OrderPaymentRecorded(
        order_id="ord_x",
        payment_id="pay_x",
        status=status,
        authorized_minor=authorized,
        captured_minor=captured,
        refunded_minor=refunded,
    )


def progress(number: int, *lines: tuple[str, int, int]) -> capture.OrderFulfillmentRecorded:
    return capture.OrderFulfillmentRecorded(
        order_id="ord_x",
        shipment_id=f"shp_x-{number}",
        lines=tuple(
            capture.LineProgress(line_id=line, shipped=shipped, delivered=delivered)
            for line, shipped, delivered in lines
        ),
    )


def ship(number: int = 1, lines: tuple[LineQuantity, ...] = ALL) -> commands.NoteShipped:
    return commands.NoteShipped(shipment_id=f"shp_x-{number}", lines=lines)


def deliver(number: int = 1, lines: tuple[LineQuantity, ...] = ALL) -> commands.NoteDelivered:
    return commands.NoteDelivered(shipment_id=f"shp_x-{number}", lines=lines)


def lose(quantity: int, source: str = "ffo_x-1") -> commands.NoteWillNotShip:
    parts = (LineQuantity(line_id="ln_1", sku="A", quantity=quantity),)
    return commands.NoteWillNotShip(reason="short_pick", source=source, lines=parts)


def lost(quantity: int, source: str = "ffo_x-1") -> capture.OrderLinesCancelled:
    parts = (LineQuantity(line_id="ln_1", sku="A", quantity=quantity),)
    return capture.OrderLinesCancelled(
        order_id="ord_x", reason="short_pick", source=source, lines=parts
    )


def test_an_order_is_placed_once() -> None:
    orders.when(commands.PlaceOrder(order=PLACED)).then(PLACED)


def test_held_stock_is_noted() -> None:
    placed.when(RESERVE).then(RESERVED)


def test_an_order_without_stock_is_rejected_and_says_what_is_short() -> None:
    short = (Shortage(line_id="ln_1", sku="A", requested=6, available=2),)
    placed.when(commands.NoteNotReserved(shortages=short)).then(
        capture.OrderRejected(
            order_id="ord_x", reason="out_of_stock", detail="A: 2 of 6", shortages=short
        )
    )


def test_an_order_that_allows_parts_goes_on_without_what_is_short() -> None:
    short = (Shortage(line_id="ln_1", sku="A", requested=6, available=2),)
    some = (Allocation(line_id="ln_1", sku="A", location="main", quantity=2),)
    command = commands.NoteReserved(reservation_id="res_x", allocations=some, shortages=short)
    placed.when(command).then(
        capture.OrderLinesCancelled(
            order_id="ord_x",
            reason="out_of_stock",
            source="res_x",
            lines=(LineQuantity(line_id="ln_1", sku="A", quantity=4),),
        ),
        capture.OrderReserved(order_id="ord_x", reservation_id="res_x", allocations=some),
    )


def test_money_for_held_stock_confirms_the_order() -> None:
    reserved.when(AUTHORIZED).then(CONFIRMED)


def test_a_declined_payment_rejects_the_order() -> None:
    reserved.when(commands.NoteDeclined(payment_id="pay_x", code="do_not_honor")).then(
        capture.OrderRejected(
            order_id="ord_x", reason="payment_declined", detail="do_not_honor", shortages=()
        )
    )


def test_a_lapsed_hold_expires_the_order() -> None:
    reserved.when(commands.NoteHoldExpired()).then(
        capture.OrderExpired(order_id="ord_x", reason="hold_expired")
    )


def test_an_order_expires_at_its_deadline() -> None:
    reserved.when(commands.Expire(now=EXPIRES_AT)).then(
        capture.OrderExpired(order_id="ord_x", reason="not_confirmed_in_time")
    )


def test_a_sweeper_that_comes_early_changes_nothing() -> None:
    reserved.when(commands.Expire(now=EXPIRES_AT - timedelta(seconds=1))).then_nothing()


def test_a_confirmed_order_no_longer_expires() -> None:
    confirmed.when(commands.Expire(now=EXPIRES_AT + timedelta(days=1))).then_nothing()


def test_an_order_that_is_not_confirmed_is_cancelled_at_once() -> None:
    placed.when(CANCEL).then(capture.OrderCancelled(order_id="ord_x", reason="customer_request"))


def test_money_that_comes_after_the_cancellation_is_noted_and_confirms_nothing() -> None:
    reserved.after(CANCEL).when(AUTHORIZED).then(money("authorized"))


def test_cancelling_a_confirmed_order_asks_fulfillment_first() -> None:
    confirmed.when(CANCEL).then(
        capture.OrderCancellationRequested(order_id="ord_x", reason="customer_request")
    )


def test_an_order_is_cancelled_when_every_part_was_called_off() -> None:
    both = commands.NoteWillNotShip(reason="customer_request", source="ffo_x-1", lines=ALL)
    confirmed.after(CANCEL).when(both).then(
        capture.OrderCancelled(order_id="ord_x", reason="customer_request")
    )


def test_too_late_to_cancel_is_told() -> None:
    confirmed.after(CANCEL).when(commands.NoteTooLateToCancel()).then(
        capture.OrderCancellationRefused(order_id="ord_x", reason="dispatched")
    )


def test_what_was_dispatched_cannot_be_cancelled() -> None:
    confirmed.after(ship()).when(CANCEL).then_raises(decider.CannotCancel)


def test_a_completed_order_cannot_be_cancelled() -> None:
    confirmed.after(ship(), captured(2125), deliver()).when(CANCEL).then_raises(
        decider.CannotCancel
    )


def test_a_cancelled_order_may_be_cancelled_again_to_no_effect() -> None:
    placed.after(CANCEL).when(CANCEL).then_nothing()


def test_an_order_completes_when_all_is_delivered_and_paid() -> None:
    confirmed.after(ship(), captured(2125)).when(deliver()).then(
        progress(1, ("ln_1", 6, 6), ("ln_2", 1, 1)), COMPLETED
    )


def test_an_order_completes_when_its_money_comes_after_its_goods() -> None:
    confirmed.after(ship(), deliver()).when(captured(2125)).then(
        money("captured", captured=2125), COMPLETED
    )


def test_a_delivery_told_before_its_dispatch_counts_for_both() -> None:
    history = confirmed.after(deliver())
    history.when(ship()).then_nothing()
    history.when(captured(2125)).then(money("captured", captured=2125), COMPLETED)


def test_delivered_and_not_paid_in_full_is_not_complete() -> None:
    confirmed.after(ship(), captured(2124)).when(deliver()).then(
        progress(1, ("ln_1", 6, 6), ("ln_2", 1, 1))
    )


def test_two_shipments_complete_an_order_together() -> None:
    first, second = ALL[:1], ALL[1:]
    history = confirmed.after(
        ship(1, first), ship(2, second), captured(2025), captured(2125), deliver(2, second)
    )
    history.when(deliver(1, first)).then(progress(1, ("ln_1", 6, 6)), COMPLETED)


def test_a_short_pick_is_neither_sent_nor_paid() -> None:
    history = confirmed.after(lose(2))
    assert list(confirmed.when(lose(2)).events) == [lost(2)]
    rest = (LineQuantity(line_id="ln_1", sku="A", quantity=4), ALL[1])
    history.after(ship(1, rest), deliver(1, rest)).when(captured(1615)).then(
        money("captured", captured=1615),
        capture.OrderCompleted(order_id="ord_x", captured_minor=1615, currency="GBP"),
    )


def test_the_same_loss_counts_once_and_another_one_again() -> None:
    confirmed.after(lose(2)).when(lose(2)).then_nothing()
    confirmed.after(lose(2)).when(lose(1, "ffo_x-2")).then(lost(1, "ffo_x-2"))


def test_no_more_is_lost_than_was_open() -> None:
    confirmed.after(lose(4)).when(lose(5, "ffo_x-2")).then(lost(2, "ffo_x-2"))


def test_stock_lost_after_confirmation_calls_off_what_has_not_left() -> None:
    lost_hold = commands.NoteNotReserved(shortages=())
    confirmed.when(lost_hold).then(
        capture.OrderCancellationRequested(order_id="ord_x", reason="stock_lost")
    )
    in_time = commands.NoteWillNotShip(
        reason=capture.GivenReason("stock_lost"), source="ffo_x-1", lines=ALL
    )
    confirmed.after(lost_hold).when(in_time).then(
        capture.OrderCancelled(order_id="ord_x", reason="stock_lost")
    )


def test_goods_that_left_before_the_stock_was_found_lost_are_delivered_and_paid() -> None:
    lost_hold = commands.NoteNotReserved(shortages=())
    confirmed.after(ship()).when(lost_hold).then_nothing()
    too_late = confirmed.after(lost_hold, commands.NoteTooLateToCancel())
    completed = too_late.after(ship(), captured(2125)).when(deliver()).events
    assert isinstance(completed[-1], capture.OrderCompleted)


def test_a_lapsed_authorisation_calls_off_what_has_not_left() -> None:
    confirmed.when(commands.NoteDeclined(payment_id="pay_x", code="expired")).then(
        capture.OrderCancellationRequested(order_id="ord_x", reason="payment_expired")
    )


def test_goods_that_left_unpaid_keep_the_order_open_and_say_so() -> None:
    confirmed.after(ship()).when(commands.NoteDeclined(payment_id="pay_x", code="expired")).then(
        money("failed")
    )
    refused = commands.NoteMoney(payment_id="pay_x", status="failed")
    confirmed.after(ship()).when(refused).then(money("failed"))


def test_what_nobody_paid_for_stays_failed_when_the_rest_is_let_go_of() -> None:
    refused = commands.NoteMoney(payment_id="pay_x", status="failed")
    voided = commands.NoteMoney(payment_id="pay_x", status="voided")
    history = confirmed.after(ship(), refused)
    history.when(voided).then(money("failed", authorized=0))
    history.when(captured(1000)).then(money("failed", captured=1000))


def test_released_and_refunded_money_is_noted_after_the_end() -> None:
    voided = commands.NoteMoney(payment_id="pay_x", status="voided")
    ended = confirmed.after(lose(6))
    ended.when(voided).then(money("voided", authorized=0))
    back = commands.NoteMoney(payment_id="pay_x", status="refunded", refunded_minor=2125)
    confirmed.after(ship(), captured(2125), deliver()).when(back).then(
        money("refunded", captured=2125, refunded=2125)
    )
