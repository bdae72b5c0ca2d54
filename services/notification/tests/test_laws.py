"""What holds for messages and preferences over any sequence of commands."""

from hypothesis import given
from hypothesis import strategies as st

from notification import decider, reactor
from notification.decider import NoteFailed, NoteSent, NoteSuppressed, SetPreference, Tell
from waybill_events import capture, fulfillment
from waybill_events.event import LineQuantity
from waybill_events.notification import NotificationDecided
from waybill_runtime.testing.spec import Spec
from waybill_runtime.testing.world import recorded

MESSAGE: Spec[decider.Command, decider.State] = Spec(
    decider.decide, decider.evolve, decider.INITIAL
)
PREFERENCES: Spec[SetPreference, decider.Preferences] = Spec(
    decider.decide_preference, decider.evolve_preference, ()
)

words = st.sampled_from(["preference", "no_address", "HTTP 400"])
decisions = st.builds(
    NotificationDecided,
    message_id=st.just("msg_x-confirmed-email"),
    order_id=st.just("ord_x"),
    recipient_ref=st.just("rcp_x"),
    template=st.just("confirmed"),
    channel=st.just("email"),
    dedupe_key=st.just("ord_x:confirmed:email"),
    source_event_id=st.sampled_from(["e-1", "e-2"]),
    details=st.just({}),
)
commands: st.SearchStrategy[decider.Command] = st.one_of(
    st.builds(Tell, decision=decisions, origin=st.sampled_from(["live", "import", "repair"])),
    st.builds(NoteSent, provider_ref=words),
    st.builds(NoteFailed, reason=words, attempts=st.integers(1, 60)),
    st.builds(NoteSuppressed, reason=words),
)
stories = st.lists(commands, max_size=12)
preferences = st.lists(
    st.builds(
        SetPreference,
        customer_ref=st.just("17850"),
        channel=st.sampled_from(["email", "sms", "chat"]),
        allowed=st.booleans(),
    ),
    max_size=12,
)


@given(stories)
def test_a_message_is_decided_once_and_ended_once(story: list[decider.Command]) -> None:
    kinds = [type(event) for event in MESSAGE.after(*story).history]
    assert len(kinds) <= 2
    assert kinds[:1] in ([], [NotificationDecided])
    assert NotificationDecided not in kinds[1:]


@given(stories, commands)
def test_the_same_command_again_adds_nothing(
    story: list[decider.Command], command: decider.Command
) -> None:
    spec = MESSAGE.after(*story, command)
    spec.when(command).then_nothing()


@given(st.lists(commands.filter(lambda c: not isinstance(c, Tell) or c.origin != "live")))
def test_without_a_live_fact_nothing_is_ever_said(story: list[decider.Command]) -> None:
    assert MESSAGE.after(*story).history == ()


@given(preferences)
def test_what_a_customer_said_last_is_what_counts(said: list[SetPreference]) -> None:
    spec = PREFERENCES.after(*said)
    assert dict(spec.state) == {wanted.channel: wanted.allowed for wanted in said}
    for wanted in said[-1:]:
        spec.when(wanted).then_nothing()


parts = st.lists(
    st.builds(
        LineQuantity,
        line_id=st.sampled_from(["ln_1", "ln_2", "ln_3"]),
        sku=st.just("A"),
        quantity=st.integers(1, 9),
    ),
    min_size=1,
    max_size=6,
).map(tuple)


@given(parts, st.integers(1, 99))
def test_parts_of_one_line_are_told_as_one_sum(
    lines: tuple[LineQuantity, ...], version: int
) -> None:
    event = capture.OrderLinesCancelled(
        order_id="ord_x", reason="short_pick", source="ffo_x-1", lines=lines
    )
    envelope = recorded(event, stream="s", version=version, topic="orders", key="ord_x")
    ((_, tell),) = reactor.react(envelope, event)
    units = {k: int(v) for k, v in tell.decision.details.items() if k != "reason"}
    assert sum(units.values()) == sum(part.quantity for part in lines)
    assert units.keys() == {part.line_id for part in lines}


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6, unique=True))
def test_every_shipment_has_messages_of_its_own(numbers: list[int]) -> None:
    keys = []
    for number in numbers:
        event = fulfillment.ShipmentDispatched(
            fulfillment_order_id=f"ffo_x-{number}",
            order_id="ord_x",
            shipment_id=f"shp_x-{number}",
            location="main",
            carrier="sandbox",
            service="standard",
            packages=(),
            lines=(),
        )
        envelope = recorded(event, stream="s", version=number, topic="fulfillment", key="ord_x")
        keys += [key for key, _ in reactor.react(envelope, event)]
    assert len(keys) == len(set(keys)) == 2 * len(numbers)
