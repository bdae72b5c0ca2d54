"""The service on memory adapters: facts in, commands in, facts out."""

from fulfillment.testing.running import FFO, SHP, confirmed, running


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
