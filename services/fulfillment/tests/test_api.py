"""The warehouse API as warehouses meet it, wrong input included."""

from typing import Any

import pytest

from fulfillment.testing.running import FFO, FFO_2, SHP, allocation, confirmed, running

ALL_LINES = [{"line_id": "ln_1", "quantity": 6}, {"line_id": "ln_2", "quantity": 2}]


async def test_a_new_fulfillment_order_shows_what_is_asked() -> None:
    async with running() as it:
        await it.tell(confirmed())
        seen = await it.read()
        assert seen["status"] == "requested"
        assert seen["lines"][0] == {
            "line_id": "ln_1",
            "sku": "SKU1",
            "name": "Goods 1",
            "quantity": 6,
            "picked": 0,
            "short": 0,
        }
        assert seen["shipping"] == {"option": "standard"}
        assert seen["version"] == 1


async def test_a_read_has_an_etag_and_spares_who_knows_it() -> None:
    async with running() as it:
        await it.tell(confirmed())
        path = f"/v1/fulfillment-orders/{FFO}"
        tag = (await it.client.get(path)).headers["ETag"]
        assert (await it.client.get(path, headers={"If-None-Match": tag})).status_code == 304


async def test_a_change_in_one_part_leaves_the_other_parts_etag() -> None:
    async with running() as it:
        await it.tell(confirmed(allocation(1, "main", 4), allocation(2, "north", 1)))
        before = await it.read(FFO_2)
        await it.ask(f"{FFO}/accept", {}, if_match='"1"')
        assert await it.read(FFO_2) == before
        assert (await it.read(FFO))["version"] == 3


async def test_a_short_pick_shows_what_is_missing() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.ask(f"{FFO}/accept", {})
        answer = await it.ask(f"{FFO}/pick", {"lines": [{"line_id": "ln_1", "quantity": 4}]})
        counted = [(line["picked"], line["short"]) for line in answer.json()["lines"]]
        assert (answer.json()["status"], counted) == ("picked", [(4, 2), (0, 2)])


async def test_a_pick_of_nothing_ends_it() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.ask(f"{FFO}/accept", {})
        answer = await it.ask(f"{FFO}/pick", {"lines": []})
        assert (answer.json()["status"], answer.json()["reason"]) == ("cancelled", "short_pick")


async def test_several_packages_get_a_tracking_number_each() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.ask(f"{FFO}/accept", {})
        await it.ask(f"{FFO}/pick", {"lines": ALL_LINES})
        packages = [{"weight_g": 500, "lines": [line]} for line in ALL_LINES]
        await it.ask(f"{FFO}/pack", {"packages": packages})
        answer = await it.ask(f"{FFO}/ship", {"service": "express"})
        (shipment,) = answer.json()["shipments"]
        numbers = [package["tracking_number"] for package in shipment["packages"]]
        assert numbers == ["MEM000001001", "MEM000001002"]
        assert (shipment["id"], shipment["service"]) == (SHP, "express")


async def test_the_same_key_answers_the_same_bytes() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        version = (await it.read())["version"]
        answers = [
            await it.ask(
                f"{FFO}/ship", {"service": "standard"}, key="ship", if_match=f'"{version}"'
            )
            for _ in range(3)
        ]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert answers[2].headers["Idempotent-Replayed"] == "true"
        assert (await it.facts()).count("ShipmentDispatched") == 1


async def test_no_event_says_the_key_it_was_asked_for_under() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        answer = await it.ask(f"{FFO}/ship", {"service": "standard"}, key="jane.roe@example.com")
        assert answer.status_code == 200
        published = await it.published()
        dispatched = [one for one in published if ".shipment_dispatched." in one.type]
        assert {one.causation_id.partition(":")[0] for one in dispatched} == {"key"}
        assert "jane.roe" not in repr(published)


async def test_a_ship_key_used_for_another_body_is_refused_and_asks_for_nothing() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.ask(f"{FFO}/accept", {}, key="one")
        await it.ask(f"{FFO}/pick", {"lines": ALL_LINES})
        await it.ask(f"{FFO}/pack", {"packages": [{"weight_g": 9, "lines": ALL_LINES}]})
        answer = await it.ask(f"{FFO}/ship", {"service": "standard"}, key="one")
        assert answer.status_code == 422
        assert "LabelRequested" not in await it.facts()
        it.carrier.fail_before = 1
        await it.ask(f"{FFO}/ship", {"service": "standard"}, key="two")
        other = await it.ask(f"{FFO}/ship", {"service": "express"}, key="two")
        assert other.status_code == 422


async def test_a_refused_label_is_mended_and_shipped_under_the_same_key() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        refused = await it.ask(f"{FFO}/ship", {"service": "teleport"})
        assert refused.status_code == 409
        assert "no such service: teleport" in refused.json()["detail"]
        assert (await it.read())["reason"] == "no such service: teleport"
        again = await it.ask(
            f"{FFO}/ship", {"service": "standard"}, if_match=refused.headers["ETag"]
        )
        assert again.json()["status"] == "shipped"


async def test_the_same_key_after_a_refusal_asks_the_carrier_anew() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.bring_to_packed()
        for _ in range(2):
            answer = await it.ask(f"{FFO}/ship", {"service": "teleport"}, key="same")
            assert answer.status_code == 409
        assert (await it.facts()).count("LabelRequested") == 2


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("pick", {"lines": ALL_LINES}, "requested: accept or reject"),
        ("pack", {"packages": [{"weight_g": 1, "lines": ALL_LINES}]}, "requested"),
        ("ship", {"service": "standard"}, "requested"),
    ],
)
async def test_the_wrong_state_is_named_with_what_is_possible(
    path: str, body: Any, says: str
) -> None:
    async with running() as it:
        await it.tell(confirmed())
        answer = await it.ask(f"{FFO}/{path}", body)
        assert answer.status_code == 409
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.json()["type"] == "urn:waybill:problem:wrong-state"
        assert says in answer.json()["detail"]
        assert answer.json()["detail"].count("requested") == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("accept", {"note": "hello"}),
        ("reject", {}),
        ("reject", {"reason": ""}),
        ("pick", {}),
        ("pick", {"lines": [{"line_id": "ln_1", "quantity": -1}]}),
        ("pick", {"lines": [{"line_id": "ln_1", "quantity": "2"}]}),
        ("pick", {"lines": [{"line_id": "ln_1", "quantity": 1}] * 2}),
        ("pick", {"lines": [{"line_id": "ln_9", "quantity": 1}]}),
        ("pick", {"lines": [{"line_id": "ln_1", "quantity": 7}]}),
        ("pack", {"packages": []}),
        ("pack", {"packages": [{"weight_g": 0, "lines": ALL_LINES}]}),
        ("pack", {"packages": [{"weight_g": 1, "lines": []}]}),
        ("ship", {"service": "Standard Mail"}),
        ("ship", []),
    ],
)
async def test_what_makes_no_sense_is_refused_field_by_field(path: str, body: Any) -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.ask(f"{FFO}/accept", {})
        answer = await it.ask(f"{FFO}/{path}", body)
        assert answer.status_code == 422
        assert answer.json()["errors"]


@pytest.mark.parametrize(("line_id", "quantity"), [("ln_2", 3), ("ln_9", 1)])
async def test_a_pick_that_does_not_fit_is_told_which_line(line_id: str, quantity: int) -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.ask(f"{FFO}/accept", {})
        lines = [ALL_LINES[0], {"line_id": line_id, "quantity": quantity}]
        answer = await it.ask(f"{FFO}/pick", {"lines": lines})
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert (error["pointer"], line_id in error["detail"]) == ("/lines/1", True)


async def test_packages_that_do_not_add_up_are_refused() -> None:
    async with running() as it:
        await it.tell(confirmed())
        await it.ask(f"{FFO}/accept", {})
        await it.ask(f"{FFO}/pick", {"lines": ALL_LINES})
        body = {"packages": [{"weight_g": 1, "lines": ALL_LINES}] * 2}
        answer = await it.ask(f"{FFO}/pack", body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/packages"
        assert "ln_1" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("id_", ["ffo_unknown-1", "ord_x", "ffo_", "ffo_x-1;drop", "ffo_x-%F0"])
async def test_unknown_ids_are_not_found(id_: str) -> None:
    async with running() as it:
        assert (await it.client.get(f"/v1/fulfillment-orders/{id_}")).status_code == 404
        for path, body in (("accept", {}), ("ship", {"service": "standard"})):
            assert (await it.ask(f"{id_}/{path}", body)).status_code == 404


async def test_commands_need_a_key_and_a_version() -> None:
    async with running() as it:
        await it.tell(confirmed())
        for path, body in (("accept", {}), ("ship", {"service": "standard"})):
            bare = await it.client.post(f"/v1/fulfillment-orders/{FFO}/{path}", json=body)
            assert bare.status_code == 400
            assert (await it.ask(f"{FFO}/{path}", body, if_match=None)).status_code == 428
            assert (await it.ask(f"{FFO}/{path}", body, if_match='"9"')).status_code == 412


async def test_keys_without_the_scope_are_turned_away() -> None:
    async with running(scopes=("fulfillment:read",)) as it:
        await it.tell(confirmed())
        assert (await it.ask(f"{FFO}/accept", {})).status_code == 403
        nobody = await it.client.get("/v1/feed/fulfillment", headers={"Authorization": "Bearer x"})
        assert nobody.status_code == 401


async def test_the_list_follows_and_is_found_by_location_and_status() -> None:
    async with running() as it:
        await it.tell(confirmed(allocation(1, "main", 4), allocation(2, "north", 1)))
        await it.ask(f"{FFO}/accept", {})
        await it.hear_itself()

        async def ids(**params: str) -> list[str]:
            answer = await it.client.get("/v1/fulfillment-orders", params=params)
            return [row["id"] for row in answer.json()["data"]]

        assert await ids() == [FFO, FFO_2]
        assert await ids(status="accepted") == [FFO]
        assert await ids(location="north", status="requested") == [FFO_2]
        assert await ids(location="south") == []
        page = (await it.client.get("/v1/fulfillment-orders", params={"limit": 1})).json()
        assert page["has_more"]
        assert await ids(cursor=page["next_cursor"]) == [FFO_2]
        listed = (await it.client.get("/v1/fulfillment-orders")).json()["data"]
        assert listed == [await it.read(FFO), await it.read(FFO_2)]


async def test_the_feed_tells_every_fact_once_and_again_from_any_cursor() -> None:
    async with running() as it:
        await it.tell(confirmed(allocation(1, "main", 4), allocation(2, "north", 1)))
        await it.ask(f"{FFO}/accept", {})
        await it.hear_itself()

        async def feed(**params: str | int) -> Any:
            answer = await it.client.get("/v1/feed/fulfillment", params=params)
            assert answer.status_code == 200
            return answer.json()

        whole = await feed()
        assert [e["type"].split(".")[1] for e in whole["data"]] == [
            "fulfillment_order_created",
            "fulfillment_order_created",
            "fulfillment_accepted",
        ]
        assert whole["data"][0]["specversion"] == "1.0"
        assert whole["data"][0]["data"]["fulfillment_order_id"] == FFO
        one = await feed(limit=1)
        assert one["has_more"]
        rest = await feed(after=one["next_cursor"])
        assert one["data"] + rest["data"] == whole["data"]
        end = await feed(after=rest["next_cursor"])
        assert (end["data"], end["next_cursor"]) == ([], rest["next_cursor"])
        assert not end["has_more"]


async def test_the_feed_of_a_location_moves_its_cursor_past_the_others() -> None:
    async with running() as it:
        empty = (await it.client.get("/v1/feed/fulfillment")).json()
        await it.tell(confirmed(allocation(1, "main", 4), allocation(2, "north", 1)))
        await it.hear_itself()
        params = {"location": "south", "after": empty["next_cursor"]}
        none = (await it.client.get("/v1/feed/fulfillment", params=params)).json()
        assert none["data"] == []
        await it.ask(f"{FFO}/accept", {})
        await it.hear_itself()
        params = {"location": "main", "after": none["next_cursor"]}
        news = (await it.client.get("/v1/feed/fulfillment", params=params)).json()
        assert [e["type"] for e in news["data"]] == ["fulfillment.fulfillment_accepted.v1"]


@pytest.mark.parametrize("cursor", ["x", "MTIz", "", "%00", "AA", "ð"])
async def test_a_cursor_that_is_none_of_ours_is_refused(cursor: str) -> None:
    async with running() as it:
        answer = await it.client.get("/v1/feed/fulfillment", params={"after": cursor})
        assert answer.status_code == 422


async def test_a_filter_that_nothing_can_meet_is_refused() -> None:
    async with running() as it:
        for params in ({"location": "\x00"}, {"cursor": "AA"}, {"status": "held"}, {"states": "x"}):
            answer = await it.client.get("/v1/fulfillment-orders", params=params)
            assert answer.status_code == 422


@pytest.mark.parametrize("limit", [0, 501])
async def test_a_page_of_the_feed_is_bounded(limit: int) -> None:
    async with running() as it:
        answer = await it.client.get("/v1/feed/fulfillment", params={"limit": limit})
        assert answer.status_code == 422
