"""What holds of an order whatever happens to it, in any order, any number of times."""

import operator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from capture import decider, service, views
from capture.decider import commands
from capture.decider.state import Confirmed, Ended
from waybill_events import capture, codec
from waybill_events.event import Allocation, LineQuantity
from waybill_runtime.testing import orders
from waybill_runtime.testing.seeing import shown_and_read

EXPIRES_AT = datetime(2030, 1, 1, tzinfo=UTC)
LINES = (("ln_1", "A", 3), ("ln_2", "B", 2))

PLACED = orders.placed(
    *(orders.line(number, q, 100, sku=sku) for number, (_, sku, q) in enumerate(LINES, start=1)),
    shipping_minor=50,
    expires_at=EXPIRES_AT,
)

everything = tuple(LineQuantity(line_id=i, sku=sku, quantity=q) for i, sku, q in LINES)
first_line, last_line = everything[:1], everything[1:]
units = st.sampled_from(
    [everything, first_line, (LineQuantity(line_id="ln_1", sku="A", quantity=1),), last_line]
)
shipments = st.sampled_from(["shp_x-1", "shp_x-2"])
sums = st.sampled_from([0, 250, 350, 550])
allocations = tuple(
    Allocation(line_id=i, sku=sku, location="main", quantity=q) for i, sku, q in LINES
)

command = st.one_of(
    st.just(commands.PlaceOrder(order=PLACED)),
    st.just(commands.NoteReserved(reservation_id="res_x", allocations=allocations, shortages=())),
    st.just(commands.NoteNotReserved(shortages=())),
    st.just(commands.NoteHoldExpired()),
    st.builds(
        commands.NoteAuthorized,
        payment_id=st.just("pay_x"),
        amount_minor=st.sampled_from([550, 350]),
    ),
    st.just(commands.NoteDeclined(payment_id="pay_x", code="no")),
    st.builds(
        commands.NoteMoney,
        payment_id=st.just("pay_x"),
        status=st.sampled_from(["captured", "voided", "refunded", "abandoned", "failed"]),
        captured_minor=st.one_of(st.none(), sums),
        refunded_minor=st.one_of(st.none(), sums),
    ),
    st.builds(
        commands.NoteWillNotShip,
        reason=st.just("short_pick"),
        source=st.sampled_from(["ffo_x-1", "ffo_x-2"]),
        lines=units,
    ),
    st.just(commands.NoteTooLateToCancel()),
    st.just(commands.RequestCancellation(reason="customer_request")),
    st.builds(commands.Expire, now=st.just(EXPIRES_AT + timedelta(seconds=1))),
    st.builds(commands.NoteShipped, shipment_id=shipments, lines=units),
    st.builds(commands.NoteDelivered, shipment_id=shipments, lines=units),
)
HELD: list[commands.Command] = [
    commands.NoteReserved(reservation_id="res_x", allocations=allocations, shortages=())
]
CONFIRMED = [*HELD, commands.NoteAuthorized(payment_id="pay_x", amount_minor=550)]
CHEAPER = [*HELD, commands.NoteAuthorized(payment_id="pay_x", amount_minor=350)]
ARRIVED = [*CONFIRMED, commands.NoteDelivered(shipment_id="shp_x-1", lines=everything)]
SHORT = [
    *CONFIRMED,
    commands.NoteWillNotShip(reason="short_pick", source="ffo_x-1", lines=last_line),
    commands.NoteDelivered(shipment_id="shp_x-1", lines=first_line),
]
PAID = [
    [*arrived, commands.NoteMoney(payment_id="pay_x", status="captured", captured_minor=sum_minor)]
    for arrived, sum_minor in ((ARRIVED, 550), (SHORT, 350))
]
opening = st.sampled_from([[], HELD, CONFIRMED, CHEAPER, ARRIVED, SHORT, *PAID])
story = st.builds(operator.add, opening, st.lists(command, max_size=25))
"""By chance alone hardly an order is confirmed and none is completed: most commands end it."""


def played(
    asked: list[commands.Command],
) -> list[tuple[commands.Command, list[capture.OrderEvent]]]:
    """Each command that was not refused, and what it added to the order placed before."""
    steps = []
    state = decider.evolve(decider.INITIAL, PLACED)
    for one in asked:
        try:
            decided = list(decider.decide(one, state))
        except decider.CannotCancel:
            continue
        for event in decided:
            state = decider.evolve(state, event)
        steps.append((one, decided))
    return steps


def play(asked: list[commands.Command]) -> tuple[list[capture.OrderEvent], decider.State]:
    events: list[capture.OrderEvent] = [
        PLACED,
        *(e for _, decided in played(asked) for e in decided),
    ]
    state = decider.INITIAL
    for event in events:
        state = decider.evolve(state, event)
    return events, state


@given(story, command)
def test_the_same_command_twice_adds_nothing(
    asked: list[commands.Command], last: commands.Command
) -> None:
    _, state = play(asked)
    try:
        for event in decider.decide(last, state):
            state = decider.evolve(state, event)
        again = decider.decide(last, state)
    except decider.CannotCancel:
        return
    assert list(again) == []


@given(st.lists(story, min_size=1, max_size=4))
def test_who_commands_is_shown_what_who_reads_is_shown(
    asked: list[list[commands.Command]],
) -> None:
    placed: list[commands.Command] = [commands.PlaceOrder(order=PLACED)]
    pairs = shown_and_read(
        service.ORDER, views.see, [placed, *asked], refusals=(decider.CannotCancel,)
    )
    assert [shown for shown, _ in pairs] == [read for _, read in pairs]
    assert pairs[0][0] is not None


@pytest.mark.parametrize("status", ["completed", "rejected", "expired", "cancelled"])
def test_the_stories_reach_every_end(status: str) -> None:
    """Else the laws below would hold of nothing."""
    few = settings(max_examples=500, database=None, derandomize=True)
    found = find(story, lambda asked: getattr(play(asked)[1], "status", "") == status, settings=few)
    assert isinstance(play(found)[1], Ended)


@given(story)
def test_an_order_ends_at_most_once(asked: list[commands.Command]) -> None:
    events, state = play(asked)
    ends = (
        capture.OrderCompleted,
        capture.OrderRejected,
        capture.OrderExpired,
        capture.OrderCancelled,
    )
    assert sum(isinstance(event, ends) for event in events) == isinstance(state, Ended)


@given(story)
def test_after_its_end_only_money_is_noted(asked: list[commands.Command]) -> None:
    events, _ = play(asked)
    ended = False
    for event in events:
        if ended:
            assert isinstance(event, capture.OrderPaymentRecorded)
        ended |= isinstance(
            event,
            capture.OrderCompleted
            | capture.OrderRejected
            | capture.OrderExpired
            | capture.OrderCancelled,
        )


@given(story)
def test_no_unit_is_cancelled_beyond_what_was_ordered(asked: list[commands.Command]) -> None:
    events, _ = play(asked)
    gone: dict[str, int] = {}
    for event in events:
        if isinstance(event, capture.OrderLinesCancelled):
            for part in event.lines:
                gone[part.line_id] = gone.get(part.line_id, 0) + part.quantity
    assert all(gone.get(line_id, 0) <= quantity for line_id, _, quantity in LINES)


@given(story)
def test_a_completed_order_was_paid_what_it_came_to(asked: list[commands.Command]) -> None:
    events, _ = play(asked)
    gone = sum(
        part.quantity * 100
        for event in events
        if isinstance(event, capture.OrderLinesCancelled)
        for part in event.lines
    )
    for event in events:
        if isinstance(event, capture.OrderCompleted):
            assert event.captured_minor == 550 - gone


@given(story)
def test_an_order_is_confirmed_only_with_stock_and_money(asked: list[commands.Command]) -> None:
    reserved, confirmed = False, 0
    for one, decided in played(asked):
        for event in decided:
            if isinstance(event, capture.OrderConfirmed):
                confirmed += 1
                assert isinstance(one, commands.NoteAuthorized)
                assert event.authorized_minor == one.amount_minor
                assert reserved
            reserved |= isinstance(event, capture.OrderReserved)
    assert confirmed <= 1
    assert confirmed or not isinstance(play(asked)[1], Confirmed)


@given(story)
def test_every_event_survives_the_codec(asked: list[commands.Command]) -> None:
    for event in play(asked)[0]:
        assert type(event).model_validate_json(codec.encode(event)) == event


@given(story)
def test_no_order_is_cancelled_of_which_anything_left(asked: list[commands.Command]) -> None:
    """The goods are on their way to the customer, so the order goes on, and is paid (I5)."""
    events, _ = play(asked)
    left = any(isinstance(event, capture.OrderFulfillmentRecorded) for event in events)
    assert not (left and any(isinstance(event, capture.OrderCancelled) for event in events))
