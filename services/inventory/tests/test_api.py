"""Stock over HTTP, on the memory store: what is booked, what is shown, and every wrong input."""

from collections.abc import AsyncIterator

import httpx
import pytest

from inventory.bootstrap import compose
from inventory.decider.stock import Move
from inventory.service import STOCK
from inventory.settings import Settings
from waybill_events.inventory import StockMove
from waybill_runtime.adapters.memory.broker import MemoryBroker
from waybill_runtime.adapters.memory.bus import MemoryBus
from waybill_runtime.adapters.memory.store import MemoryDatabase, MemoryStore
from waybill_runtime.clock import SystemClock
from waybill_runtime.http.auth import KeyRing, new_key
from waybill_runtime.ids import RandomIds
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping
from waybill_runtime.service import Service
from waybill_runtime.testing.asking import PEPPER, asking
from waybill_runtime.testing.working import decide


class Api:
    """A client with a key that may do everything here, and a look behind the API."""

    def __init__(self, client: httpx.AsyncClient, on: Infrastructure, reader: str) -> None:
        self.client = client
        self.on = on
        self.reader = {"Authorization": f"Bearer {reader}"}
        self._keys = 0

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        self._keys += 1
        headers.setdefault("Idempotency-Key", f"k-{self._keys}")
        return await self.client.post(path, json=body, headers=headers)

    async def receive(self, sku: str, quantity: int, location: str = "main") -> httpx.Response:
        body = {
            "location": location,
            "reference": "PO-1",
            "lines": [{"sku": sku, "quantity": quantity}],
        }
        return await self.post("/v1/stock/receipts", body)

    async def hold(self, sku: str, quantity: int, location: str = "main") -> None:
        move = StockMove(
            reservation_id="res_x", line_id="ln_1", location=location, quantity=quantity
        )
        await decide(self.on, STOCK, sku, Move(sku=sku, kind="hold", moves=(move,)))


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    clock = SystemClock()
    on = Infrastructure(
        MemoryStore(MemoryDatabase(clock)),
        MemoryBus(MemoryBroker(clock), "test"),
        clock,
        RandomIds(clock),
        Stopping(),
    )
    settings = Settings(database_url="postgresql://nowhere/x", key_pepper=PEPPER)
    reader = new_key()
    await KeyRing(on.store, clock, PEPPER).add(reader, name="reader", scopes={"stock:read"})
    service = Service(compose(settings, on), on)
    async with asking(service, {"stock:read", "stock:write"}, name="writer") as client:
        yield Api(client, on, reader)


async def test_a_receipt_is_booked_and_shown_as_the_design_says(api: Api) -> None:
    booked = await api.receive("85123A", 100)
    assert booked.status_code == 201
    await api.receive("85123A", 20, "north")
    await api.hold("85123A", 30)
    shown = await api.client.get("/v1/stock/85123A")
    assert shown.headers["ETag"] == '"3"'
    assert shown.json() == {
        "sku": "85123A",
        "locations": [
            {
                "on_hand": 100,
                "held": 30,
                "allocated": 0,
                "available": 70,
                "location": "main",
                "version": 3,
            },
            {
                "on_hand": 20,
                "held": 0,
                "allocated": 0,
                "available": 20,
                "location": "north",
                "version": 3,
            },
        ],
        "totals": {"on_hand": 120, "held": 30, "allocated": 0, "available": 90},
    }
    again = await api.client.get("/v1/stock/85123A", headers={"If-None-Match": '"3"'})
    assert again.status_code == 304


@pytest.mark.parametrize("sku", ["gift_0001_20", "15056BL", "POST CARD £2"])
async def test_real_skus_are_addressed_by_their_path(api: Api, sku: str) -> None:
    await api.receive(sku, 3)
    assert (await api.client.get(f"/v1/stock/{sku}")).json()["totals"]["available"] == 3


async def test_the_same_receipt_twice_is_booked_once(api: Api) -> None:
    body = {"location": "main", "reference": "PO-1", "lines": [{"sku": "A", "quantity": 5}]}
    first = await api.post("/v1/stock/receipts", body, **{"Idempotency-Key": "same"})
    second = await api.post("/v1/stock/receipts", body, **{"Idempotency-Key": "same"})
    assert second.content == first.content
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (await api.client.get("/v1/stock/A")).json()["totals"]["on_hand"] == 5


async def test_adjustments_and_counts_set_what_is_on_hand(api: Api) -> None:
    await api.receive("A", 10)
    lost = {"location": "main", "reason": "damaged", "lines": [{"sku": "A", "delta": -2}]}
    assert (await api.post("/v1/stock/adjustments", lost)).json()["lines"][0]["on_hand"] == 8
    counted = {"location": "main", "reference": "c-1", "lines": [{"sku": "A", "counted": 11}]}
    assert (await api.post("/v1/stock/counts", counted)).json()["lines"][0]["on_hand"] == 11


@pytest.mark.parametrize(
    ("path", "extra", "line"),
    [
        ("adjustments", {"reason": "damaged"}, {"sku": "A", "delta": -3}),
        ("counts", {"reference": "c-1"}, {"sku": "A", "counted": 7}),
    ],
)
async def test_promised_units_cannot_be_booked_away(
    api: Api, path: str, extra: dict[str, str], line: dict[str, object]
) -> None:
    await api.receive("A", 10)
    await api.receive("B", 10)
    await api.hold("A", 8)
    good = {**line, "sku": "B"}
    refused = await api.post(
        f"/v1/stock/{path}", {"location": "main", **extra, "lines": [good, line]}
    )
    assert refused.status_code == 409
    problem = refused.json()
    assert problem["type"] == "urn:waybill:problem:units-promised"
    assert "so many are held or allocated: 8" in problem["detail"]
    assert problem["errors"][0]["pointer"].startswith("/lines/1/")
    assert (await api.client.get("/v1/stock/B")).json()["totals"]["on_hand"] == 10


async def test_a_reorder_point_suggests_once_per_breach(api: Api) -> None:
    await api.receive("A", 12)
    path = "/v1/stock/A/reorder-points/main"
    point = {"reorder_point": 10, "reorder_quantity": 50}
    headers = {"Idempotency-Key": "p-1", "If-Match": '"1"'}
    put = await api.client.put(path, json=point, headers=headers)
    assert put.status_code == 200
    assert put.headers["ETag"] == '"2"'
    assert put.json()["is_breached"] is False
    await api.hold("A", 2)
    async with api.on.store.reading() as reading:
        types = [row.event.type for row in await reading.streams.unpublished(99)]
    assert types.count("inventory.reorder_suggested.v1") == 1


async def test_a_reorder_point_needs_a_condition_that_still_holds(api: Api) -> None:
    await api.receive("A", 12)
    path, point = "/v1/stock/A/reorder-points/main", {"reorder_point": 1, "reorder_quantity": 5}
    without = await api.client.put(path, json=point, headers={"Idempotency-Key": "p-1"})
    assert without.status_code == 428
    stale = {"Idempotency-Key": "p-2", "If-Match": '"7"'}
    assert (await api.client.put(path, json=point, headers=stale)).status_code == 412
    any_version = {"Idempotency-Key": "p-3", "If-Match": "*"}
    assert (await api.client.put(path, json=point, headers=any_version)).status_code == 200


async def test_availability_counts_all_locations(api: Api) -> None:
    await api.receive("A", 3)
    await api.receive("A", 4, "north")
    await api.hold("A", 3)
    shown = await api.client.get("/v1/availability", params={"sku": "A", "quantity": 4})
    assert shown.json() == {
        "sku": "A",
        "quantity": 4,
        "available": True,
        "available_quantity": 4,
        "locations": [{"location": "north", "available_quantity": 4}],
    }
    short = await api.client.get("/v1/availability", params={"sku": "A", "quantity": 5})
    assert short.json()["available"] is False
    unknown = await api.client.get("/v1/availability", params={"sku": "never"})
    assert unknown.json()["available_quantity"] == 0


async def test_unknown_stock_is_not_found(api: Api) -> None:
    missing = await api.client.get("/v1/stock/never")
    assert missing.status_code == 404
    assert "Book a receipt" in missing.json()["detail"]


@pytest.mark.parametrize(
    ("line", "pointer"),
    [
        ({"sku": "A", "quantity": 0}, "/lines/0/quantity"),
        ({"sku": "A", "quantity": -1}, "/lines/0/quantity"),
        ({"sku": "A", "quantity": "5"}, "/lines/0/quantity"),
        ({"sku": "A", "quantity": 10**30}, "/lines/0/quantity"),
        ({"sku": "A/B", "quantity": 1}, "/lines/0/sku"),
        ({"sku": "A\x00", "quantity": 1}, "/lines/0/sku"),
        ({"sku": "", "quantity": 1}, "/lines/0/sku"),
        ({"sku": ".", "quantity": 1}, "/lines/0/sku"),
        ({"sku": " .. ", "quantity": 1}, "/lines/0/sku"),
        ({"sku": "A", "quantity": 1, "price": 3}, "/lines/0/price"),
        ({"quantity": 1}, "/lines/0/sku"),
    ],
)
async def test_a_wrong_line_is_refused_by_name(
    api: Api, line: dict[str, object], pointer: str
) -> None:
    body = {"location": "main", "reference": "PO-1", "lines": [line]}
    refused = await api.post("/v1/stock/receipts", body)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"location": "a/b"}, "/location"),
        ({"location": ""}, "/location"),
        ({"location": "."}, "/location"),
        ({"location": ".."}, "/location"),
        ({"reference": ""}, "/reference"),
        ({"lines": []}, "/lines"),
        ({"lines": [{"sku": "A", "quantity": 1}] * 1_001}, "/lines"),
    ],
)
async def test_a_wrong_receipt_is_refused_by_name(
    api: Api, change: dict[str, object], pointer: str
) -> None:
    body = {"location": "main", "reference": "PO-1", "lines": [{"sku": "A", "quantity": 1}]}
    refused = await api.post("/v1/stock/receipts", body | change)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == pointer


async def test_a_shelf_has_an_end(api: Api) -> None:
    await api.receive("A", 1_000_000)
    counted = {
        "location": "main",
        "reference": "c",
        "lines": [{"sku": "A", "counted": 1_000_000_000}],
    }
    await api.post("/v1/stock/counts", counted)
    refused = await api.receive("A", 1)
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:waybill:problem:too-many-units"


async def test_an_adjustment_by_nothing_is_refused(api: Api) -> None:
    body = {"location": "main", "reason": "damaged", "lines": [{"sku": "A", "delta": 0}]}
    refused = await api.post("/v1/stock/adjustments", body)
    assert refused.json()["errors"][0]["pointer"] == "/lines/0/delta"


@pytest.mark.parametrize("sku", [".", ".."])
async def test_what_no_path_leads_to_is_booked_by_no_command(api: Api, sku: str) -> None:
    lines = {
        "receipts": {"reference": "PO-1", "lines": [{"sku": sku, "quantity": 1}]},
        "adjustments": {"reason": "found", "lines": [{"sku": sku, "delta": 1}]},
        "counts": {"reference": "c-1", "lines": [{"sku": sku, "counted": 1}]},
    }
    for path, body in lines.items():
        refused = await api.post(f"/v1/stock/{path}", {"location": "main", **body})
        assert refused.status_code == 422
        (error,) = refused.json()["errors"]
        assert error["pointer"] == "/lines/0/sku"
        assert "at least one letter or digit" in error["detail"]
    asked = await api.client.get("/v1/availability", params={"sku": sku})
    assert asked.json()["errors"][0]["pointer"] == "query:sku"


@pytest.mark.parametrize("sku", ["...", ".5", "a..b"])
async def test_dots_in_a_sku_are_goods_like_any_other(api: Api, sku: str) -> None:
    await api.receive(sku, 3)
    assert (await api.client.get(f"/v1/stock/{sku}")).json()["totals"]["available"] == 3


@pytest.mark.parametrize("path", ["/v1/stock/%00", "/v1/stock/" + "x" * 65])
async def test_a_path_that_names_no_sku_is_refused(api: Api, path: str) -> None:
    assert (await api.client.get(path)).status_code == 422


async def test_availability_of_no_quantity_is_refused(api: Api) -> None:
    for query in ("sku=A&quantity=0", "sku=A&quantity=x", "quantity=1"):
        assert (await api.client.get(f"/v1/availability?{query}")).status_code == 422


async def test_a_reader_cannot_write_and_nobody_gets_in_without_a_key(api: Api) -> None:
    body = {"location": "main", "reference": "PO-1", "lines": [{"sku": "A", "quantity": 1}]}
    assert (await api.post("/v1/stock/receipts", body, **api.reader)).status_code == 403
    nobody = {"Authorization": ""}
    assert (await api.post("/v1/stock/receipts", body, **nobody)).status_code == 401
    assert (await api.client.get("/v1/stock/A", headers=nobody)).status_code == 401


async def test_a_receipt_without_a_key_of_its_own_is_refused(api: Api) -> None:
    body = {"location": "main", "reference": "PO-1", "lines": [{"sku": "A", "quantity": 1}]}
    assert (await api.client.post("/v1/stock/receipts", json=body)).status_code == 400
