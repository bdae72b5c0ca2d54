"""What a fulfillment order does with each command, in each phase."""

from datetime import timedelta
from typing import TypeAlias

import pytest

from fulfillment import decider, reactor, service
from fulfillment.decider import WrongQuantities, WrongState, commands
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
from waybill_events import capture
from waybill_events import fulfillment as facts
from waybill_events.event import Event, LineQuantity
from waybill_runtime.testing.spec import Spec, When

History: TypeAlias = Spec[commands.Command, decider.State]
Asked: TypeAlias = When[commands.Command, decider.State]

RULES = service.rules(WITHIN)
SPEC = Spec(RULES.decide, RULES.evolve, RULES.initial)
ACCEPT_BY = START + timedelta(hours=4)
LABEL_KEY = f"{SHP}:label"


def meant(event: Event, event_id: str = "evt-1") -> commands.Command:
    ((order_id, command),) = reactor.react(event, event_id=event_id, accept_by=ACCEPT_BY)
    assert order_id == ORDER
    return command


def units(line: int, quantity: int) -> LineQuantity:
    return LineQuantity(line_id=f"ln_{line}", sku=f"SKU{line}", quantity=quantity)


OPEN = meant(confirmed())
ACCEPT = commands.Accept(fulfillment_order_id=FFO)
REJECT = commands.Reject(fulfillment_order_id=FFO, reason="closed")
PICK = commands.Pick(fulfillment_order_id=FFO, units={"ln_1": 6, "ln_2": 2})
PACK = commands.Pack(
    fulfillment_order_id=FFO,
    parcels=(
        commands.Parcel(weight_g=900, units={"ln_1": 4}),
        commands.Parcel(weight_g=700, units={"ln_1": 2, "ln_2": 2}),
    ),
)
ASK_LABEL = commands.RequestLabel(fulfillment_order_id=FFO, service="standard")
LABELS = tuple(
    commands.Label(
        package_id=f"pkg_{FFO[4:]}-{n}", tracking_number=f"TRK{n}", label_url=f"memory:/{n}"
    )
    for n in (1, 2)
)
BOUGHT = commands.NoteLabel(
    fulfillment_order_id=FFO, idempotency_key=LABEL_KEY, carrier="memory", labels=LABELS
)
REFUSED = commands.NoteLabelRefused(
    fulfillment_order_id=FFO, idempotency_key=LABEL_KEY, reason="too heavy"
)

REQUESTED = SPEC.after(OPEN)
ACCEPTED = REQUESTED.after(ACCEPT)
PICKED = ACCEPTED.after(PICK)
PACKED = PICKED.after(PACK)
LABELLING = PACKED.after(ASK_LABEL)
SHIPPED = LABELLING.after(BOUGHT)
REJECTED = REQUESTED.after(REJECT)


def scan(number: int, status: facts.TrackingStatus, hour: int) -> commands.Scan:
    return commands.Scan(
        tracking_number=f"TRK{number}",
        status=status,
        happened_at=START + timedelta(hours=hour),
        place="London",
    )


def tracking(*scans: commands.Scan) -> commands.NoteTracking:
    return commands.NoteTracking(fulfillment_order_id=FFO, scans=scans)


def names(asked: Asked) -> list[str]:
    return [type(event).__name__ for event in asked.events]


def test_a_confirmed_order_asks_each_location_for_its_part() -> None:
    two = meant(confirmed(allocation(1, "main", 4), allocation(1, "north", 2)))
    created = SPEC.when(two).events
    assert [(e.fulfillment_order_id, e.location, e.lines[0].quantity) for e in created] == [  # type: ignore[attr-defined]  # they are FulfillmentOrderCreated
        (FFO, "main", 4),
        (FFO_2, "north", 2),
    ]
    SPEC.after(two).when(two).then_nothing()


def test_an_accepted_part_is_accepted_once() -> None:
    REQUESTED.when(ACCEPT).then(
        facts.FulfillmentAccepted(fulfillment_order_id=FFO, order_id=ORDER, location="main")
    )


def test_a_full_pick_is_short_of_nothing() -> None:
    ACCEPTED.when(PICK).then(
        facts.ItemsPicked(
            fulfillment_order_id=FFO,
            order_id=ORDER,
            location="main",
            lines=(units(1, 6), units(2, 2)),
        )
    )


def test_a_short_pick_says_what_is_missing_and_goes_on() -> None:
    short = commands.Pick(fulfillment_order_id=FFO, units={"ln_1": 4})
    ids = {"fulfillment_order_id": FFO, "order_id": ORDER, "location": "main"}
    ACCEPTED.when(short).then(
        facts.ItemsPicked(**ids, lines=(units(1, 4),)),
        facts.ShortPicked(**ids, missing=(units(1, 2), units(2, 2))),
    )


def test_a_pick_that_finds_nothing_ends_the_fulfillment_order() -> None:
    nothing = commands.Pick(fulfillment_order_id=FFO, units={})
    ACCEPTED.when(nothing).then(
        facts.ShortPicked(
            fulfillment_order_id=FFO,
            order_id=ORDER,
            location="main",
            missing=(units(1, 6), units(2, 2)),
        )
    )
    assert "ended" in ACCEPTED.after(nothing).when(PACK).then_raises(WrongState)


def test_more_than_asked_cannot_be_picked() -> None:
    greedy = commands.Pick(fulfillment_order_id=FFO, units={"ln_1": 7})
    assert "6" in ACCEPTED.when(greedy).then_raises(WrongQuantities)


def test_a_line_that_nobody_asked_for_cannot_be_picked() -> None:
    strange = commands.Pick(fulfillment_order_id=FFO, units={"ln_9": 1})
    assert "ln_9" in ACCEPTED.when(strange).then_raises(WrongQuantities)


def test_packages_hold_every_picked_unit_once() -> None:
    assert names(PICKED.when(PACK)) == ["PackagesPacked"]
    left_out = commands.Pack(
        fulfillment_order_id=FFO, parcels=(commands.Parcel(weight_g=900, units={"ln_1": 6}),)
    )
    assert "ln_2" in PICKED.when(left_out).then_raises(WrongQuantities)
    unpicked = commands.Pack(
        fulfillment_order_id=FFO, parcels=(commands.Parcel(weight_g=900, units={"ln_3": 1}),)
    )
    assert "ln_3" in PICKED.when(unpicked).then_raises(WrongQuantities)


def test_packing_anew_replaces_the_packages_until_a_label_is_asked_for() -> None:
    one = commands.Pack(
        fulfillment_order_id=FFO,
        parcels=(commands.Parcel(weight_g=1600, units={"ln_1": 6, "ln_2": 2}),),
    )
    assert names(PACKED.when(one)) == ["PackagesPacked"]
    PACKED.when(PACK).then_nothing()
    LABELLING.when(one).then_raises(WrongState)


def test_a_label_is_asked_for_under_the_shipments_key() -> None:
    PACKED.when(ASK_LABEL).then(
        facts.LabelRequested(
            fulfillment_order_id=FFO,
            order_id=ORDER,
            shipment_id=SHP,
            service="standard",
            idempotency_key=LABEL_KEY,
            location="main",
        )
    )


def test_a_bought_label_dispatches_all_that_was_packed() -> None:
    (dispatched,) = LABELLING.when(BOUGHT).events
    assert isinstance(dispatched, facts.ShipmentDispatched)
    assert [package.tracking_number for package in dispatched.packages] == ["TRK1", "TRK2"]
    assert dispatched.lines == (units(1, 6), units(2, 2))
    SHIPPED.when(BOUGHT).then_nothing()
    SHIPPED.when(ASK_LABEL).then_nothing()


def test_a_refused_label_leaves_the_packages_and_the_next_request_has_another_key() -> None:
    LABELLING.when(REFUSED).then(
        facts.LabelFailed(
            fulfillment_order_id=FFO,
            order_id=ORDER,
            shipment_id=SHP,
            reason="too heavy",
            location="main",
        )
    )
    (again,) = LABELLING.after(REFUSED).when(ASK_LABEL).events
    assert isinstance(again, facts.LabelRequested)
    assert again.idempotency_key == f"{LABEL_KEY}:2"


def test_a_late_verdict_on_an_earlier_request_changes_nothing() -> None:
    asked_again = LABELLING.after(REFUSED, ASK_LABEL)
    asked_again.when(REFUSED).then_nothing()
    asked_again.when(BOUGHT).then_nothing()


def test_a_rejection_names_what_is_to_come_from_elsewhere() -> None:
    REQUESTED.when(REJECT).then(
        facts.FulfillmentRejected(
            fulfillment_order_id=FFO,
            order_id=ORDER,
            location="main",
            reason="closed",
            lines=(units(1, 6), units(2, 2)),
        )
    )


def test_a_rejection_after_a_short_pick_names_only_what_was_picked() -> None:
    short = commands.Pick(fulfillment_order_id=FFO, units={"ln_1": 4})
    (rejected,) = ACCEPTED.after(short).when(REJECT).events
    assert isinstance(rejected, facts.FulfillmentRejected)
    assert rejected.lines == (units(1, 4),)


def test_what_was_rejected_is_asked_of_another_location() -> None:
    elsewhere = meant(resourced(allocation(1, "north", 6), allocation(2, "north", 2)))
    (created,) = REJECTED.when(elsewhere).events
    assert isinstance(created, facts.FulfillmentOrderCreated)
    assert (created.fulfillment_order_id, created.location) == (FFO_2, "north")
    assert created.lines[0].name == "Goods 1"
    assert created.replaces == FFO
    REJECTED.after(elsewhere).when(elsewhere).then_nothing()


def test_what_comes_back_from_sourcing_after_a_cancellation_is_given_back() -> None:
    called_off = REJECTED.after(meant(cancellation()))
    elsewhere = meant(resourced(allocation(1, "north", 6)))
    called_off.when(elsewhere).then(
        facts.FulfillmentCancelled(
            fulfillment_order_id=FFO_2,
            order_id=ORDER,
            location="north",
            reason="customer_request",
            lines=(units(1, 6),),
            replaces=FFO,
        )
    )


@pytest.mark.parametrize("until_then", [REQUESTED, ACCEPTED, PICKED, PACKED])
def test_a_cancellation_in_time_ends_the_fulfillment_order(until_then: History) -> None:
    cancel = meant(cancellation())
    assert names(until_then.when(cancel)) == [
        "FulfillmentCancellationRequested",
        "FulfillmentCancelled",
    ]
    until_then.after(cancel).when(cancel).then_nothing()
    until_then.after(cancel).when(ACCEPT).then_raises(WrongState)


@pytest.mark.parametrize("too_late", [LABELLING, SHIPPED])
def test_a_cancellation_that_comes_too_late_is_refused(too_late: History) -> None:
    assert names(too_late.when(meant(cancellation()))) == [
        "FulfillmentCancellationRequested",
        "FulfillmentCancellationRefused",
    ]


def test_a_second_request_to_cancel_is_answered_anew() -> None:
    back_to_packed = LABELLING.after(meant(cancellation(), "evt-1"), REFUSED)
    assert names(back_to_packed.when(meant(cancellation(), "evt-2"))) == [
        "FulfillmentCancellationRequested",
        "FulfillmentCancelled",
    ]


def test_a_label_that_fails_after_the_order_has_ended_ends_the_fulfillment_order() -> None:
    off = capture.OrderCancelled(order_id=ORDER, reason="stock_lost")
    assert names(LABELLING.after(meant(off)).when(REFUSED)) == [
        "LabelFailed",
        "FulfillmentCancelled",
    ]


def test_an_order_that_was_never_confirmed_has_nothing_to_cancel() -> None:
    SPEC.when(meant(cancellation())).then_nothing()


def test_scans_are_told_once_in_the_order_they_happened() -> None:
    told = SHIPPED.when(tracking(scan(1, "in_transit", 2), scan(1, "picked_up", 1))).events
    assert [event.status for event in told] == ["picked_up", "in_transit"]  # type: ignore[attr-defined]  # they are TrackingUpdated
    SHIPPED.given(*told).when(tracking(scan(1, "picked_up", 1))).then_nothing()


def test_a_shipment_is_delivered_when_its_last_parcel_is() -> None:
    first = SHIPPED.after(tracking(scan(1, "delivered", 5)))
    *_, last = first.when(tracking(scan(1, "delivered", 5), scan(2, "delivered", 4))).events
    assert isinstance(last, facts.ShipmentDelivered)
    assert last.delivered_at == START + timedelta(hours=5)
    assert last.lines == (units(1, 6), units(2, 2))


def test_scans_of_parcels_that_are_not_ours_are_left_out() -> None:
    SHIPPED.when(tracking(scan(9, "delivered", 1))).then_nothing()
    LABELLING.when(tracking(scan(1, "delivered", 1))).then_nothing()


@pytest.mark.parametrize(
    ("waiting", "state", "owner"),
    [
        (REQUESTED, "requested", "warehouse"),
        (ACCEPTED, "accepted", "warehouse"),
        (PICKED, "picked", "warehouse"),
        (PACKED, "packed", "warehouse"),
        (LABELLING, "packed", "carrier"),
        (SHIPPED, "shipped", "carrier"),
    ],
)
def test_a_missed_deadline_is_said_once_and_names_who_is_waited_for(
    waiting: History, state: str, owner: str
) -> None:
    waiting.when(commands.MissDeadline(fulfillment_order_id=FFO, state=state)).then(
        facts.DeadlineMissed(
            fulfillment_order_id=FFO, order_id=ORDER, state=state, owner=owner, location="main"
        )
    )


def test_a_deadline_that_was_met_is_not_missed() -> None:
    late = commands.MissDeadline(fulfillment_order_id=FFO, state="requested")
    ACCEPTED.when(late).then_nothing()
    REJECTED.when(late).then_nothing()


@pytest.mark.parametrize("command", [ACCEPT, REJECT, PICK, PACK])
def test_what_was_dispatched_is_out_of_the_warehouses_hands(
    command: commands.WarehouseCommand,
) -> None:
    assert "shipped" in SHIPPED.when(command).then_raises(WrongState)


def test_a_command_names_what_is_possible_instead() -> None:
    assert REQUESTED.when(PICK).then_raises(WrongState) == ("It is requested: accept or reject it.")
