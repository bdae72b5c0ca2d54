"""What holds for an order's fulfillment whatever it is told, in whatever order."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from fulfillment import decider, reactor, service, views
from fulfillment.decider import commands
from fulfillment.testing.running import (
    FFO,
    FFO_2,
    ORDER,
    SHP,
    START,
    WITHIN,
    allocation,
    cancellation,
    confirmed,
    resourced,
)
from waybill_events import capture, codec
from waybill_events import fulfillment as facts
from waybill_events.catalogue import CATALOGUE
from waybill_events.event import Event
from waybill_runtime.testing.seeing import shown_and_read

DECIDER = service.rules(WITHIN)
FFO_3 = FFO[:-1] + "3"
IDS = st.sampled_from([FFO, FFO, FFO_2, FFO_3])
LINES = st.sampled_from(["ln_1", "ln_2", "ln_9"])
UNITS = st.dictionaries(LINES, st.integers(0, 7), max_size=2)
ALL_OF_IT = st.sampled_from([{"ln_1": 4}, {"ln_1": 2, "ln_2": 2}, {"ln_1": 3, "ln_2": 1}])
STATUSES = st.sampled_from(["picked_up", "delivered", "exception", "delivered"])


def heard(event: Event, event_id: str = "evt-1") -> commands.Command:
    ((_, command),) = reactor.react(event, event_id=event_id, accept_by=START)
    return command


def parcels(units: dict[str, int]) -> tuple[commands.Parcel, ...]:
    return (commands.Parcel(weight_g=500, units={k: v for k, v in units.items() if v}),)


def labels(id_: str) -> tuple[commands.Label, ...]:
    return tuple(
        commands.Label(
            package_id=f"pkg_{id_[4:]}-{n}", tracking_number=f"T{id_[-1]}{n}", label_url=""
        )
        for n in (1,)
    )


OPENED = heard(
    confirmed(allocation(1, "main", 4), allocation(1, "north", 2), allocation(2, "north", 2))
)
COMMANDS: st.SearchStrategy[commands.Command] = st.one_of(
    st.just(OPENED),
    st.builds(
        lambda id_, quantity: heard(resourced(allocation(1, "west", quantity), rejected=id_)),
        IDS,
        st.integers(1, 4),
    ),
    st.sampled_from(["evt-1", "evt-2"]).map(lambda id_: heard(cancellation(), id_)),
    st.just(heard(capture.OrderCancelled(order_id=ORDER, reason="stock_lost"), "evt-9")),
    st.builds(commands.Accept, fulfillment_order_id=IDS),
    st.builds(commands.Reject, fulfillment_order_id=IDS, reason=st.just("closed")),
    st.builds(commands.Pick, fulfillment_order_id=IDS, units=UNITS | ALL_OF_IT),
    st.builds(commands.Pack, fulfillment_order_id=IDS, parcels=(UNITS | ALL_OF_IT).map(parcels)),
    st.builds(
        commands.RequestLabel,
        fulfillment_order_id=IDS,
        service=st.sampled_from(["standard", "express"]),
    ),
    st.builds(
        lambda id_, again: commands.NoteLabel(
            fulfillment_order_id=id_,
            idempotency_key=f"shp{id_[3:]}:label{again}",
            carrier="memory",
            labels=labels(id_),
        ),
        IDS,
        st.sampled_from(["", "", ":2"]),
    ),
    st.builds(
        lambda id_, again: commands.NoteLabelRefused(
            fulfillment_order_id=id_, idempotency_key=f"shp{id_[3:]}:label{again}", reason="no"
        ),
        IDS,
        st.sampled_from(["", ":2"]),
    ),
    st.builds(
        lambda id_, number, status, hour: commands.NoteTracking(
            fulfillment_order_id=id_,
            scans=(
                commands.Scan(
                    tracking_number=f"T{id_[-1]}{number}",
                    status=status,
                    happened_at=START + timedelta(hours=hour),
                    place="",
                ),
            ),
        ),
        IDS,
        st.just(1),
        STATUSES,
        st.integers(0, 5),
    ),
    st.builds(
        commands.MissDeadline,
        fulfillment_order_id=IDS,
        state=st.sampled_from(["requested", "accepted", "picked", "packed", "shipped"]),
    ),
)


def the_usual_way(id_: str, units: dict[str, int]) -> list[commands.Command]:
    """What brings a part to its door, so that random commands meet every phase."""
    return [
        commands.Accept(fulfillment_order_id=id_),
        commands.Pick(fulfillment_order_id=id_, units=units),
        commands.Pack(fulfillment_order_id=id_, parcels=parcels(units)),
        commands.RequestLabel(fulfillment_order_id=id_, service="standard"),
        commands.NoteLabel(
            fulfillment_order_id=id_,
            idempotency_key=f"shp{id_[3:]}:label",
            carrier="memory",
            labels=labels(id_),
        ),
    ]


@st.composite
def histories(draw: st.DrawFn) -> Sequence[commands.Command]:
    """The usual way of both parts, with anything at all in between."""
    usual = [
        *the_usual_way(FFO, {"ln_1": 4}),
        *the_usual_way(FFO_2, {"ln_1": 2, "ln_2": 2}),
    ]
    history: list[commands.Command] = [OPENED]
    for command in usual[: draw(st.integers(0, len(usual)))]:
        history.extend(draw(st.lists(COMMANDS, max_size=2)))
        history.append(command)
    return [*history, *draw(st.lists(COMMANDS, max_size=8))]


def decide(command: commands.Command, state: decider.State) -> Sequence[Event]:
    try:
        return DECIDER.decide(command, state)
    except (decider.WrongState, decider.WrongQuantities):
        return []


def play(history: Sequence[commands.Command]) -> list[Event]:
    """Everything decided, each command told twice: the second time adds nothing."""
    state, told = DECIDER.initial, []
    for command in history:
        for attempt in (1, 2):
            events = decide(command, state)
            assert attempt == 1 or not events, f"{command} again decided {events}"
            for event in events:
                state = DECIDER.evolve(state, event)
                told.append(event)
    return told


def units(event: Event) -> Counter[tuple[str, str]]:
    """Units by fulfillment order and line."""
    assert isinstance(
        event,
        facts.FulfillmentOrderCreated
        | facts.ItemsPicked
        | facts.ShortPicked
        | facts.ShipmentDispatched,
    )
    parts = event.missing if isinstance(event, facts.ShortPicked) else event.lines
    return Counter({(event.fulfillment_order_id, p.line_id): p.quantity for p in parts})


def total(told: Sequence[Event], kind: type[Event]) -> Counter[tuple[str, str]]:
    return sum((units(event) for event in told if isinstance(event, kind)), Counter())


@settings(max_examples=100, deadline=None)
@given(histories())
def test_no_more_is_picked_or_missed_than_was_asked_for(
    history: Sequence[commands.Command],
) -> None:
    told = play(history)
    handled = total(told, facts.ItemsPicked) + total(told, facts.ShortPicked)
    assert handled <= total(told, facts.FulfillmentOrderCreated)


@settings(max_examples=100, deadline=None)
@given(histories())
def test_what_is_packed_is_what_was_picked(history: Sequence[commands.Command]) -> None:
    told = play(history)
    picked = total(told, facts.ItemsPicked)
    for event in told:
        if isinstance(event, facts.PackagesPacked):
            packed: Counter[tuple[str, str]] = Counter()
            for package in event.packages:
                for part in package.lines:
                    packed[event.fulfillment_order_id, part.line_id] += part.quantity
            assert packed == Counter(
                {k: v for k, v in picked.items() if k[0] == event.fulfillment_order_id}
            )


@settings(max_examples=100, deadline=None)
@given(histories())
def test_nothing_is_dispatched_twice_and_all_of_it_was_picked(
    history: Sequence[commands.Command],
) -> None:
    told = play(history)
    shipments = [e.shipment_id for e in told if isinstance(e, facts.ShipmentDispatched)]
    assert len(shipments) == len(set(shipments))
    assert total(told, facts.ShipmentDispatched) <= total(told, facts.ItemsPicked)


@settings(max_examples=100, deadline=None)
@given(histories())
def test_a_fulfillment_order_ends_one_way_and_is_silent_then(
    history: Sequence[commands.Command],
) -> None:
    ended: dict[str, str] = {}
    for event in play(history):
        id_ = getattr(event, "fulfillment_order_id", "")
        assert id_ not in ended or (
            ended[id_] == "dispatched"
            and isinstance(
                event,
                facts.ShipmentDelivered
                | facts.FulfillmentCancellationRefused
                | facts.DeadlineMissed,
            )
        ), f"{event} after {ended[id_]}"
        if isinstance(event, facts.FulfillmentCancelled | facts.FulfillmentRejected):
            ended[id_] = "ended"
        elif isinstance(event, facts.ShipmentDispatched):
            ended[id_] = "dispatched"


@settings(max_examples=100, deadline=None)
@given(histories())
def test_after_a_cancellation_nothing_is_opened(history: Sequence[commands.Command]) -> None:
    kinds = [type(event) for event in play(history)]
    if facts.FulfillmentCancellationRequested in kinds:
        since = kinds.index(facts.FulfillmentCancellationRequested)
        assert facts.FulfillmentOrderCreated not in kinds[since:]


@settings(max_examples=100, deadline=None)
@given(histories())
def test_a_label_is_verdict_by_verdict_asked_for_under_a_new_key(
    history: Sequence[commands.Command],
) -> None:
    asked = [e.idempotency_key for e in play(history) if isinstance(e, facts.LabelRequested)]
    assert len(asked) == len(set(asked))


@settings(max_examples=100, deadline=None)
@given(histories())
def test_every_fact_survives_the_codec_and_is_in_the_catalogue(
    history: Sequence[commands.Command],
) -> None:
    for event in play(history):
        assert CATALOGUE[event.TYPE].topic == "fulfillment"
        assert type(event).model_validate_json(codec.encode(event)) == event


def test_the_usual_way_reaches_the_door() -> None:
    """The histories above would prove little if none of them shipped anything."""
    told = play([OPENED, *the_usual_way(FFO, {"ln_1": 4})])
    assert [e.shipment_id for e in told if isinstance(e, facts.ShipmentDispatched)] == [SHP]


@settings(deadline=None)
@given(histories(), st.integers(1, 5), IDS)
def test_who_commands_is_shown_what_who_reads_is_shown(
    history: Sequence[commands.Command], at_once: int, id_: str
) -> None:
    pairs = shown_and_read(
        DECIDER,
        views.seeing(id_),
        [history[at : at + at_once] for at in range(0, len(history), at_once)],
        refusals=(decider.WrongState, decider.WrongQuantities),
    )
    assert [shown for shown, _ in pairs] == [read for _, read in pairs]
