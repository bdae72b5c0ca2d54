"""The carrier's core, driven in-process with a time of its own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from waybill_sandboxes.carrier import depot, faults, requests
from waybill_sandboxes.journal import MemoryJournal

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
OPTIONS = depot.Options(step_s=10, callback_url="http://shipper.test/callbacks")
JOURNEY = ["picked_up", "in_transit", "out_for_delivery", "delivered"]


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def shipment(*, packages: int = 1, **address: str) -> requests.CreateShipment:
    to = {"name": "A. Buyer", "line1": "1 High Street", "city": "London"} | address
    return requests.CreateShipment.model_validate(
        {
            "reference": "shp_1",
            "service": "standard",
            "to": to | {"postal_code": address.get("postal_code", "N1 9GU"), "country_code": "GB"},
            "packages": [{"reference": f"p{n}", "weight_g": 500} for n in range(packages)],
        }
    )


def told(carrier: depot.Carrier, now: datetime) -> list[dict[str, Any]]:
    bodies = []
    while taken := carrier.outbox.take_due(now, 10):
        for callback in taken:
            bodies.append(callback.json())
            carrier.outbox.told(callback)
            carrier.acknowledged(callback)
    return bodies


@pytest.fixture
def carrier() -> depot.Carrier:
    return depot.Carrier(MemoryJournal(), OPTIONS)


def test_a_label_is_bought_once_per_key(carrier: depot.Carrier) -> None:
    first = carrier.create_shipment("k1", shipment(packages=2), NOW)
    again = carrier.create_shipment("k1", shipment(packages=2), after(1))

    assert (first.status, first.json()["status"]) == (201, "label_created")
    assert (again.body, again.replayed) == (first.body, True)
    assert carrier.create_shipment("k1", shipment(packages=3), NOW).status == 422
    numbers = [one["tracking_number"] for one in first.json()["packages"]]
    assert len(set(numbers)) == 2
    assert carrier.entries(0, 10) == [
        {
            "seq": 1,
            "at": "2030-01-01T12:00:00.000000Z",
            "operation": "buy_label",
            "outcome": "approved",
            "idempotency_key": "k1",
            "reference": "shp_1",
            "shipment_id": first.json()["id"],
            "service": "standard",
            "tracking_numbers": numbers,
        }
    ]


def test_a_parcel_travels_by_itself_to_the_door(carrier: depot.Carrier) -> None:
    created = carrier.create_shipment("k1", shipment(), NOW).json()

    carrier.advance(after(9))
    assert told(carrier, after(9)) == []
    carrier.advance(after(25))
    assert [one["status"] for one in told(carrier, after(25))] == JOURNEY[:2]
    carrier.advance(after(100))
    last = told(carrier, after(100))

    assert [(one["status"], one["sequence"]) for one in last] == [
        ("out_for_delivery", 3),
        ("delivered", 4),
    ]
    assert last[1] | {"id": "x"} == {
        "id": "x",
        "type": "tracking.updated",
        "shipment_id": created["id"],
        "reference": "shp_1",
        "tracking_number": created["packages"][0]["tracking_number"],
        "status": "delivered",
        "happened_at": "2030-01-01T12:00:40.000000Z",
        "place": "Front door",
        "sequence": 4,
    }
    assert carrier.next_due() is None
    assert carrier.find_shipment(created["id"], after(100)).json()["status"] == "delivered"


def test_a_restart_goes_on_from_the_last_step_and_tells_what_was_untold() -> None:
    journal = MemoryJournal()
    carrier = depot.Carrier(journal, OPTIONS)
    carrier.create_shipment("k1", shipment(), NOW)
    carrier.advance(after(10))
    assert [one["status"] for one in told(carrier, after(10))] == ["picked_up"]
    carrier.advance(after(20))

    restarted = depot.Carrier(journal, OPTIONS)

    assert restarted.next_due() == after(30)
    assert [one["status"] for one in told(restarted, after(20))] == ["in_transit"]
    restarted.advance(after(40))
    assert [one["status"] for one in told(restarted, after(40))] == JOURNEY[2:]


def test_labels_are_voided_before_the_pick_up_and_not_after(carrier: depot.Carrier) -> None:
    early = carrier.create_shipment("k1", shipment(), NOW).json()["id"]
    late = carrier.create_shipment("k2", shipment(), NOW).json()["id"]

    assert carrier.void_shipment(early, after(9)).json()["status"] == "voided"
    assert carrier.void_shipment(early, after(9)).status == 200
    assert carrier.void_shipment(late, after(10)).status == 409

    carrier.advance(after(100))
    assert {one["shipment_id"] for one in told(carrier, after(100))} == {late}
    assert [one["operation"] for one in carrier.entries(0, 9)] == [
        "buy_label",
        "buy_label",
        "void_label",
    ]


def test_an_address_that_cannot_be_delivered_to_is_refused_and_written_down(
    carrier: depot.Carrier,
) -> None:
    reply = carrier.create_shipment("k1", shipment(postal_code="FAIL"), NOW)
    again = carrier.create_shipment("k1", shipment(postal_code="FAIL"), NOW)

    assert (reply.status, again.body) == (422, reply.body)
    assert reply.json()["errors"][0]["field"] == "to.postal_code"
    assert [one["outcome"] for one in carrier.entries(0, 9)] == ["failed"]
    assert carrier.next_due() is None


def test_a_lost_parcel_is_found_by_a_later_look_up(carrier: depot.Carrier) -> None:
    lost = carrier.create_shipment("k1", shipment(name="LOST"), NOW).json()["id"]
    carrier.advance(after(100))
    assert [one["status"] for one in told(carrier, after(100))][-1] == "exception"

    assert carrier.find_shipment(lost, after(41)).json()["status"] == "exception"
    found = carrier.find_shipment(lost, after(90)).json()

    assert [one["status"] for one in found["packages"][0]["events"]][-2:] == [
        "exception",
        "delivered",
    ]
    assert told(carrier, after(1000)) == []


def test_a_timeout_after_the_label_leaves_it_to_be_found_by_reference(
    carrier: depot.Carrier,
) -> None:
    carrier.set_faults(faults.Faults(timeout_after_label=1.0))

    assert carrier.create_shipment("k1", shipment(), NOW).delay_s == 30
    assert len(carrier.find_by_reference("shp_1", NOW).json()["data"]) == 1


def test_a_timeout_before_the_label_buys_nothing(carrier: depot.Carrier) -> None:
    carrier.set_faults(faults.Faults(timeout_before_label=1.0))

    assert carrier.create_shipment("k1", shipment(), NOW).status == 504
    assert carrier.find_by_reference("shp_1", NOW).json()["data"] == []
    assert carrier.entries(0, 9) == []


def test_each_lie_strikes_as_often_as_its_probability_says_and_is_counted(
    carrier: depot.Carrier,
) -> None:
    carrier.set_faults(faults.Faults(timeout_before_label=0.5, timeout_after_label=0.4))

    replies = [carrier.create_shipment(f"k{number}", shipment(), NOW) for number in range(1_000)]

    struck = carrier.struck()
    assert struck["timeout_before_label"] == sum(one.status == 504 for one in replies)
    assert struck["timeout_after_label"] == sum(
        one.delay_s > 0 for one in replies if one.status == 201
    )
    assert abs(struck["timeout_before_label"] - 500) < 64
    assert abs(struck["timeout_after_label"] - 400) < 62


def test_reordered_callbacks_overtake_each_other(carrier: depot.Carrier) -> None:
    carrier.set_faults(faults.Faults(reordered_callbacks=0.5, reordered_s=100, seed=3))
    carrier.create_shipment("k1", shipment(packages=3), NOW)
    carrier.advance(after(40))

    bodies = told(carrier, after(1000))

    assert len(bodies) == 12
    parcels = {one["tracking_number"] for one in bodies}
    orders = [
        [one["sequence"] for one in bodies if one["tracking_number"] == parcel]
        for parcel in parcels
    ]
    assert any(order != sorted(order) for order in orders)


def test_a_label_has_the_address_and_cannot_steer_the_printer(carrier: depot.Carrier) -> None:
    created = carrier.create_shipment("k1", shipment(name="Eve^XZ~JR\nBob"), NOW).json()
    number = created["packages"][0]["tracking_number"]

    label = carrier.label(number)

    assert label is not None
    assert "EveXZJRBob" in label
    assert number in label
    assert label.count("^XZ") == 1
    assert carrier.label("SBX0") is None
