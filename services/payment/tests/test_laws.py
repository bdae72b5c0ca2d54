"""What holds for a payment whatever comes, in whatever order, however often."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from payment import decider, service, views
from payment.decider import commands
from payment.decider.state import Nothing, Payment, State
from waybill_events import payment
from waybill_events.event import Event, LineQuantity
from waybill_events.payment import PaymentInitiated, PricedLine
from waybill_runtime.testing.seeing import shown_and_read

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LINES = {"ln_1": (6, 255), "ln_2": (3, 100), "ln_3": (2, 0)}
SHIPPING_MINOR = 495

INITIATED = PaymentInitiated(
    payment_id="pay_x",
    order_id="ord_x",
    amount_minor=6 * 255 + 3 * 100 + SHIPPING_MINOR,
    currency="GBP",
    method="card",
    token="tok_approve",
    lines=tuple(
        PricedLine(line_id=line_id, quantity=quantity, unit_price_minor=price)
        for line_id, (quantity, price) in LINES.items()
    ),
    shipping_minor=SHIPPING_MINOR,
)

parts = st.lists(
    st.builds(
        lambda line_id, quantity: LineQuantity(line_id=line_id, sku="A", quantity=quantity),
        st.sampled_from([*LINES, "ln_unknown"]),
        st.integers(1, 4),
    ),
    min_size=1,
    max_size=3,
).map(tuple)

VERDICTS = ("approved", "declined", "try_again", "expired", "unknown", "nothing_to_void")
verdicts = st.tuples(st.sampled_from(VERDICTS), st.integers(0, 5))
approved = st.just(("approved", 0))
shipped = st.builds(
    commands.CaptureShipment,
    shipment_id=st.sampled_from(["shp_x-1", "shp_x-2", "shp_x-3"]),
    lines=parts,
)
facts = st.one_of(
    shipped,
    st.just(commands.Initiate(payment=INITIATED)),
    st.just(commands.Authorize()),
    st.builds(commands.CancelLines, order_version=st.integers(1, 6), lines=parts),
    st.builds(commands.Stop, reason=st.sampled_from(["customer_request", "out_of_stock"])),
    st.builds(
        commands.Refund,
        refund_id=st.sampled_from(["rfn_1", "rfn_2", "rfn_3"]),
        amount_minor=st.integers(1, 2400),
        reason=st.just("goodwill"),
    ),
)
HELD = [commands.Authorize(), ("approved", 0)]
SHIPPED = commands.CaptureShipment(
    shipment_id="shp_x-1", lines=(LineQuantity(line_id="ln_1", sku="A", quantity=2),)
)
CAPTURED = [*HELD, SHIPPED, ("approved", 0)]
BACK = commands.Refund(refund_id="rfn_1", amount_minor=800, reason="goodwill")
ALL_BUT_TWO = commands.CancelLines(
    order_version=1,
    lines=(
        LineQuantity(line_id="ln_1", sku="A", quantity=4),
        LineQuantity(line_id="ln_2", sku="A", quantity=3),
    ),
)
opening = st.sampled_from(
    [[], HELD, [*HELD, SHIPPED], CAPTURED, [*CAPTURED, BACK], [*CAPTURED, ALL_BUT_TWO]]
)
rest = st.lists(
    st.one_of(
        facts, verdicts, approved, approved, shipped, st.just("time passes"), st.just("again")
    ),
    min_size=3,
    max_size=25,
)
steps = st.builds(lambda first, then: [*first, *then], opening, rest)


class Run:
    """One payment's life: what was decided, and what a gateway that keeps its books would hold."""

    def __init__(self) -> None:
        self.state: State = decider.INITIAL
        self.events: list[payment.PaymentEvent] = []
        self.given: list[commands.Command] = []

    def live(self, story: Sequence[object]) -> None:
        for step in story:
            match step:
                case "again":
                    for command in self.given[-3:]:
                        self.give(command)
                case "time passes":
                    if isinstance(self.state, Payment) and self.state.hold is not None:
                        hold = self.state.hold
                        self.give(
                            commands.ExpireAuthorization(
                                authorization_id=hold.authorization_id, now=hold.expires_at
                            )
                        )
                case (str(word), int(which)):
                    if keys := self.keys():
                        self.give(self.verdict(word, keys[-1 - which % len(keys)]))
                case _:
                    self.give(step)  # type: ignore[arg-type]  # all that is left are commands

    def give(self, command: commands.Command) -> None:
        try:
            events = decider.decide(command, self.state)
        except decider.CannotRefund:
            return
        self.given.append(command)
        for event in events:
            self.state = decider.evolve(self.state, event)
        self.events.extend(events)

    def keys(self) -> list[str]:
        """Every key that ever went out, so that late verdicts on old calls come too."""
        return [e.idempotency_key for e in self.events if isinstance(e, REQUESTS)]

    def verdict(self, word: str, key: str) -> commands.Command:
        match word:
            case "approved" if ":authorize:" in key:
                return commands.NoteAuthorized(
                    key=key, authorization_id=f"ga:{key}", expires_at=NOW + timedelta(days=7)
                )
            case "approved":
                return commands.NoteDone(key=key)
            case "unknown":
                return commands.NoteUnknown(key=key, detail="no answer in time")
            case "expired":
                return commands.NoteDeclined(key=key, code="authorization_expired", retryable=False)
            case "nothing_to_void":
                return commands.NoteDeclined(key=key, code=word, retryable=False)
            case _:
                return commands.NoteDeclined(
                    key=key, code="do_not_honor", retryable=word == "try_again"
                )

    def of(self, model: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, model)]


REQUESTS = (
    payment.AuthorizationRequested,
    payment.CaptureRequested,
    payment.VoidRequested,
    payment.RefundRequested,
)


def lived(story: Sequence[object]) -> Run:
    run = Run()
    run.give(commands.Initiate(payment=INITIATED))
    run.live(story)
    return run


@settings(max_examples=100, deadline=None)
@given(steps)
def test_no_more_is_captured_than_was_authorised(story: Sequence[object]) -> None:
    captured: dict[str, int] = {}
    authorized: dict[str, int] = {}
    for event in lived(story).events:
        match event:
            case payment.PaymentAuthorized():
                authorized[event.authorization_id] = event.amount_minor
            case payment.CaptureRequested():
                # Even if every request that ever went out had been done.
                open_minor = authorized[event.authorization_id] - captured.get(
                    event.authorization_id, 0
                )
                assert 0 < event.amount_minor <= open_minor
            case payment.PaymentCaptured(amount_minor=amount_minor):
                held = list(authorized)[-1]
                captured[held] = captured.get(held, 0) + amount_minor
            case _:
                pass
    assert all(captured[held] <= authorized[held] for held in captured)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_each_shipment_is_charged_at_most_once_and_for_what_it_holds(
    story: Sequence[object],
) -> None:
    run = lived(story)
    due = {e.shipment_id: e for e in run.events if isinstance(e, payment.CaptureDue)}
    captured = [e for e in run.events if isinstance(e, payment.PaymentCaptured)]
    assert len({e.shipment_id for e in captured}) == len(captured)
    assert all(e.amount_minor == due[e.shipment_id].amount_minor for e in captured)
    under_way: str | None = None
    for event in run.events:
        match event:
            case payment.CaptureRequested():
                assert under_way is None
                under_way = event.shipment_id
            case payment.PaymentCaptured() | payment.CaptureFailed():
                under_way = None if event.shipment_id == under_way else under_way
            case payment.AuthorizationExpired():
                under_way = None
            case _:
                pass


@settings(max_examples=100, deadline=None)
@given(steps)
def test_a_hold_that_may_be_captured_from_covers_all_that_is_still_needed(
    story: Sequence[object],
) -> None:
    state: State = decider.INITIAL
    for event in lived(story).events:
        state = decider.evolve(state, event)
        if isinstance(state, Payment) and state.hold is not None:
            assert state.needed_minor <= state.held_minor


@settings(max_examples=100, deadline=None)
@given(steps)
def test_no_key_goes_out_twice(story: Sequence[object]) -> None:
    keys = lived(story).keys()
    assert len(set(keys)) == len(keys)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_no_more_is_given_back_than_was_captured(story: Sequence[object]) -> None:
    run = lived(story)
    failed = {e.refund_id for e in run.events if isinstance(e, payment.RefundFailed)}
    asked = sum(
        e.amount_minor
        for e in run.events
        if isinstance(e, payment.RefundRequested) and e.refund_id not in failed
    )
    captured = sum(e.amount_minor for e in run.events if isinstance(e, payment.PaymentCaptured))
    assert asked <= captured
    if isinstance(run.state, Payment):
        assert run.state.refunded_minor <= asked


@settings(max_examples=100, deadline=None)
@given(steps)
def test_an_ended_order_keeps_no_money_that_nobody_asked_back(story: Sequence[object]) -> None:
    run = lived([*story, commands.Stop(reason="customer_request")])
    state = run.state
    assert isinstance(state, Payment)
    if state.held_minor:
        assert state.call is not None
    # Once the gateway has answered what is under way, nothing is held at all.
    for _ in range(20):
        if state.call is None:
            break
        run.give(run.verdict("approved", state.call.key))
        assert isinstance(run.state, Payment)
        state = run.state
    assert (state.call, state.held_minor) == (None, 0)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_a_payment_with_nothing_left_to_ship_holds_nothing_back(story: Sequence[object]) -> None:
    state = lived(story).state
    assert isinstance(state, Payment)
    if not state.needed_minor and state.call is None:
        assert state.held_minor == 0


@settings(max_examples=100, deadline=None)
@given(steps, st.one_of(facts, verdicts))
def test_the_same_command_twice_adds_nothing(
    story: Sequence[object], last: commands.Command | tuple[str, int]
) -> None:
    run = lived([*story, last])
    for command in run.given:
        before = len(run.events)
        try:
            run.events.extend(decider.decide(command, run.state))
        except decider.CannotRefund:
            continue
        # Time that passed while a call was under way is still passed when the call is over.
        if not isinstance(command, commands.ExpireAuthorization):
            assert run.events[before:] == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(facts, verdicts), max_size=10))
def test_nothing_happens_to_a_payment_that_does_not_exist(story: Sequence[object]) -> None:
    run = Run()
    run.live([step for step in story if not isinstance(step, commands.Initiate)])
    assert (run.state, run.events) == (Nothing(), [])


@settings(max_examples=100, deadline=None)
@given(steps)
def test_every_decided_event_survives_the_codec(story: Sequence[object]) -> None:
    for event in lived(story).events:
        assert type(event).model_validate_json(event.model_dump_json()) == event


@settings(max_examples=100, deadline=None)
@given(steps, st.integers(1, 5))
def test_who_commands_is_shown_what_who_reads_is_shown(
    story: Sequence[object], at_once: int
) -> None:
    given = lived(story).given
    transactions = [given[at : at + at_once] for at in range(0, len(given), at_once)]
    pairs = shown_and_read(
        service.PAYMENT, views.see, transactions, refusals=(decider.CannotRefund,)
    )
    assert [shown for shown, _ in pairs] == [read for _, read in pairs]
    assert pairs[0][0] is not None
