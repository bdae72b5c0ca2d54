"""The service on memory adapters: facts in, commands in, facts out."""

from functools import partial

import pytest
from structlog.testing import capture_logs

from fulfillment.ports import CarrierShipment, LabelOrder, ParcelToSend
from fulfillment.testing.running import (
    BUYER,
    FFO,
    FFO_2,
    ORDER,
    RECIPIENT,
    SHP,
    allocation,
    cancellation,
    confirmed,
    resourced,
    running,
)
from waybill_events import capture, codec, fulfillment


async def test_an_order_goes_from_confirmed_to_delivered() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        shipped = await it.ask(f"{FFO}/ship", {"service": "standard"})
        assert shipped.status_code == 200
        assert shipped.json()["shipments"][0]["id"] == SHP
        it.carrier.scan(SHP, "in_transit")
        assert (await it.call_back()).status_code == 204
        it.clock.pass_s(60)
        it.carrier.scan(SHP, "delivered")
        assert (await it.call_back(id_="ccb_2")).status_code == 204
        assert await it.facts() == [
            "FulfillmentOrderCreated",
            "FulfillmentAccepted",
            "ItemsPicked",
            "PackagesPacked",
            "LabelRequested",
            "ShipmentDispatched",
            "TrackingUpdated",
            "TrackingUpdated",
            "ShipmentDelivered",
        ]
        assert (await it.read())["shipments"][0]["status"] == "delivered"


async def test_two_locations_ship_their_parts_apart() -> None:
    async with running() as it:
        await it.tell(confirmed(allocation(1, "main", 4), allocation(2, "north", 1)))
        for id_ in (FFO, FFO_2):
            await it.bring_to_packed(id_)
            answer = await it.ask(f"{id_}/ship", {"service": "standard"})
            assert answer.json()["shipments"][0]["id"] == "shp" + id_[3:]
        assert it.carrier.purchases == [SHP, "shp" + FFO_2[3:]]


async def test_what_one_location_rejects_another_is_asked_for() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.ask(f"{FFO}/reject", {"reason": "closed"})
        await it.tell(resourced(allocation(1, "north", 6), allocation(2, "north", 2)))
        assert (await it.read())["status"] == "rejected"
        assert (await it.read(FFO_2))["location"] == "north"


async def test_a_part_resourced_after_the_cancellation_is_never_opened() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.ask(f"{FFO}/reject", {"reason": "closed"})
        await it.tell(cancellation(), resourced(allocation(1, "north", 6)))
        assert (await it.facts())[-1] == "FulfillmentCancelled"
        answer = await it.client.get(f"/v1/fulfillment-orders/{FFO_2}")
        assert answer.status_code == 404


async def test_a_label_whose_answer_was_lost_is_finished_by_the_job_and_bought_once() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        it.carrier.fail_after = 1
        answer = await it.ask(f"{FFO}/ship", {"service": "standard"}, key="ship-1")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        await it.run_jobs()
        assert (await it.read())["status"] == "packed"  # its buyer still has time
        it.clock.pass_s(11)
        await it.run_jobs()
        assert (await it.read())["status"] == "shipped"
        again = await it.ask(f"{FFO}/ship", {"service": "standard"}, key="ship-1", if_match='"1"')
        assert again.status_code == 200
        assert again.json()["shipments"][0]["packages"][0]["tracking_number"] == "MEM000001001"
        assert it.carrier.purchases == [SHP]


@pytest.mark.parametrize("by", ["the job", "the same request"])
async def test_a_label_is_looked_up_before_it_is_bought_again(by: str) -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        it.carrier.fail_after = 1
        asked = partial(it.ask, f"{FFO}/ship", {"service": "standard"}, key="ship-1")
        assert (await asked()).status_code == 503
        it.carrier.forget_keys()
        it.clock.pass_s(11)
        if by == "the job":
            await it.run_jobs()
        assert (await asked()).status_code == 200
        assert it.carrier.purchases == [SHP]


async def test_a_label_that_was_refused_is_looked_up_before_another_is_bought() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        assert (await it.ask(f"{FFO}/ship", {"service": "drone"})).status_code == 409
        packages = [ParcelToSend(reference=f"pkg{FFO[3:]}-1", weight_g=900)]
        await it.carrier.buy_labels(  # what it refused, it sold all the same
            LabelOrder(
                reference=SHP, idempotency_key="k", service="standard", to=BUYER, parcels=packages
            )
        )
        assert (await it.ask(f"{FFO}/ship", {"service": "standard"})).status_code == 200
        assert it.carrier.purchases == [SHP]


async def test_parcels_that_are_not_ours_are_told_of_without_the_carriers_words() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        it.carrier.fail_before = 1
        await it.ask(f"{FFO}/ship", {"service": "standard"})
        person = "Ada Lovelace, 12 St James's Square"
        theirs = CarrierShipment(reference=person, carrier="c", parcels=())
        it.carrier._shipments[SHP] = theirs
        it.clock.pass_s(11)
        with capture_logs() as logs:
            await it.run_jobs()
        (told,) = [line for line in logs if line["event"] == "effect comes back"]
        assert told["reason"] == f"the carrier's parcels of {SHP} are not ours"


async def test_a_label_that_was_not_bought_is_bought_by_the_job_under_the_same_key() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        it.carrier.fail_before = 1
        assert (await it.ask(f"{FFO}/ship", {"service": "standard"})).status_code == 503
        it.clock.pass_s(11)
        await it.run_jobs()
        assert (await it.read())["status"] == "shipped"
        assert it.carrier.purchases == [SHP]


async def test_a_job_waits_for_a_carrier_that_is_down() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        it.carrier.is_down = True
        await it.ask(f"{FFO}/ship", {"service": "standard"})
        it.clock.pass_s(11)
        await it.run_jobs()
        assert (await it.read())["status"] == "packed"
        it.carrier.is_down = False
        it.clock.pass_s(60)
        await it.run_jobs()
        assert (await it.read())["status"] == "shipped"


async def test_nothing_is_cancelled_while_a_label_is_being_bought() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        it.carrier.fail_after = 1
        await it.ask(f"{FFO}/ship", {"service": "standard"})
        await it.tell(cancellation())
        assert (await it.facts())[-1] == "FulfillmentCancellationRefused"
        again = await it.ask(f"{FFO}/ship", {"service": "standard"})
        assert again.json()["status"] == "shipped"


async def test_an_erased_recipient_gets_no_label() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        del it.recipients.people[RECIPIENT]
        await it.tell(capture.RecipientErased(recipient_ref=RECIPIENT, order_id=ORDER))
        answer = await it.ask(f"{FFO}/ship", {"service": "standard"})
        assert answer.status_code == 409
        assert "recipient erased" in answer.json()["detail"]
        assert "reject the fulfillment order" in answer.json()["detail"]
        assert "another service" not in answer.json()["detail"]
        assert (await it.facts())[-1] == "LabelFailed"
        assert it.carrier.purchases == []


async def test_a_vault_that_is_down_leaves_the_label_open() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        it.recipients.is_down = True
        assert (await it.ask(f"{FFO}/ship", {"service": "standard"})).status_code == 503
        it.recipients.is_down = False
        it.clock.pass_s(11)
        await it.run_jobs()
        assert (await it.read())["status"] == "shipped"


async def test_a_delivery_is_found_by_polling_when_every_callback_is_lost() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        await it.ask(f"{FFO}/ship", {"service": "standard"})
        it.clock.pass_s(6)
        await it.run_jobs()
        assert (await it.facts())[-1] == "ShipmentDispatched"
        it.carrier.scan(SHP, "delivered")
        it.clock.pass_s(30)
        await it.run_jobs()
        assert (await it.facts())[-1] == "ShipmentDelivered"
        told = len(await it.facts())
        it.clock.pass_s(3600)
        await it.run_jobs()
        assert len(await it.facts()) == told


async def test_deadlines_are_missed_one_state_after_another() -> None:
    async with running(accept_s=60, pick_s=60) as it:
        await it.tell(confirmed())
        it.clock.pass_s(59)
        await it.run_jobs()
        assert await it.facts() == ["FulfillmentOrderCreated"]
        it.clock.pass_s(2)
        await it.run_jobs()
        assert (await it.facts())[-1] == "DeadlineMissed"
        version = (await it.read())["version"]
        await it.ask(f"{FFO}/accept", {}, if_match=f'"{version}"')
        it.clock.pass_s(61)
        await it.run_jobs()
        assert (await it.facts())[-2:] == ["FulfillmentAccepted", "DeadlineMissed"]


async def test_a_callback_that_is_faster_than_our_books_is_asked_to_come_again() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        it.carrier.fail_after = 1
        await it.ask(f"{FFO}/ship", {"service": "standard"})
        assert (await it.call_back()).status_code == 503
        assert (await it.call_back(shipment_id="shp_nobody-1")).status_code == 404


async def test_a_callback_is_believed_only_with_its_signature_and_in_time() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        await it.ask(f"{FFO}/ship", {"service": "standard"})
        it.carrier.scan(SHP, "delivered")
        assert (await it.call_back(secret="guessed")).status_code == 401
        assert (await it.call_back(age_s=301)).status_code == 401
        assert (await it.call_back(age_s=-301)).status_code == 401
        assert (await it.facts())[-1] == "ShipmentDispatched"
        bare = await it.client.post("/v1/callbacks/carrier", json={"reference": SHP})
        assert bare.status_code == 401


async def test_a_callback_told_twice_adds_nothing() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        await it.ask(f"{FFO}/ship", {"service": "standard"})
        it.carrier.scan(SHP, "delivered")
        for _ in range(2):
            assert (await it.call_back()).status_code == 204
        assert (await it.facts()).count("TrackingUpdated") == 1
        assert (await it.facts()).count("ShipmentDelivered") == 1


async def test_where_a_parcel_was_left_is_nobodys_to_keep() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        await it.ask(f"{FFO}/ship", {"service": "standard"})
        for status, place in (
            ("in_transit", "Sorting hub"),
            ("attempted", "12 St James's Square"),
            ("delivered", "Left with Ada Lovelace, next door"),
        ):
            it.clock.pass_s(60)
            it.carrier.scan(SHP, status, place)
        assert (await it.call_back()).status_code == 204
        told = [codec.decode(recorded) for recorded in await it.published()]
        places = [one.place for one in told if isinstance(one, fulfillment.TrackingUpdated)]
        assert places == ["Sorting hub", "", ""]
