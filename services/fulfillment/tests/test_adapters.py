"""The carrier over HTTP and in memory: one suite for both."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from fulfillment.adapters.carrier_http import HttpCarrier
from fulfillment.adapters.carrier_memory import MemoryCarrier
from fulfillment.ports import (
    Carrier,
    CarrierScan,
    CarrierShipment,
    CarrierUnavailable,
    Declined,
    LabelOrder,
    ParcelToSend,
    Recipient,
)
from fulfillment.testing.running import BUYER
from waybill_runtime.clock import SystemClock

KEY = "carrier-key"


def order(n: int = 1, *, key: str = "", to: Recipient = BUYER, parcels: int = 1) -> LabelOrder:
    return LabelOrder(
        reference=f"shp_x{n}-1",
        idempotency_key=key or f"shp_x{n}-1:label",
        service="standard",
        to=to,
        parcels=[ParcelToSend(reference=f"pkg_x{n}-1-{i}", weight_g=900) for i in range(parcels)],
    )


@pytest.fixture(scope="module")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The sandbox carrier as its own process, parcels travelling a step every 20 ms."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder: Path = tmp_path_factory.mktemp("carrier")
    env = {
        **os.environ,
        "CARRIER_PORT": str(port),
        "CARRIER_DATA_DIR": str(folder),
        "CARRIER_API_KEY": KEY,
        "CARRIER_WEBHOOK_SECRET": "secret",
        "CARRIER_STEP_MS": "20",
        "CARRIER_HANG_S": "2",
    }
    process = subprocess.Popen([sys.executable, "-m", "waybill_sandboxes.carrier"], env=env)
    url = f"http://127.0.0.1:{port}"
    try:
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/livez").status_code == 200:
                    break
            time.sleep(0.05)
        else:
            raise AssertionError("the sandbox carrier did not answer in time")
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture(params=["memory", "http"])
async def carrier(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    if request.param == "memory":
        yield MemoryCarrier(SystemClock().now)
        return
    url = request.getfixturevalue("sandbox_url")
    http = HttpCarrier(url, KEY, timeout_s=5.0)
    yield http
    await http.close()


async def test_labels_are_sold_for_every_parcel(carrier: Carrier) -> None:
    sold = await carrier.buy_labels(order(1, parcels=3))
    assert isinstance(sold, CarrierShipment)
    assert [parcel.reference for parcel in sold.parcels] == [f"pkg_x1-1-{i}" for i in range(3)]
    assert len({parcel.tracking_number for parcel in sold.parcels}) == 3
    assert sold.carrier


async def test_the_same_key_sells_the_same_labels(carrier: Carrier) -> None:
    first, again = [await carrier.buy_labels(order(2)) for _ in range(2)]
    assert isinstance(first, CarrierShipment)
    assert isinstance(again, CarrierShipment)
    assert [p.tracking_number for p in first.parcels] == [p.tracking_number for p in again.parcels]


async def test_what_was_sold_is_found_by_reference(carrier: Carrier) -> None:
    assert await carrier.look_up("shp_x3-1") is None
    sold = await carrier.buy_labels(order(3))
    found = await carrier.look_up("shp_x3-1")
    assert isinstance(sold, CarrierShipment)
    assert found is not None
    assert found.parcels[0].tracking_number == sold.parcels[0].tracking_number


async def test_an_address_that_no_carrier_goes_to_is_declined_for_good(carrier: Carrier) -> None:
    nowhere = Recipient(
        name="A", line1="1 Nowhere", city="None", country_code="GB", postal_code="FAIL"
    )
    answer = await carrier.buy_labels(order(4, to=nowhere))
    assert isinstance(answer, Declined)
    assert "Nowhere" not in answer.reason
    assert await carrier.look_up("shp_x4-1") is None


async def test_a_service_that_a_carrier_does_not_have_is_declined_by_its_field(
    sandbox_url: str,
) -> None:
    carrier = HttpCarrier(sandbox_url, KEY, timeout_s=5.0)
    answer = await carrier.buy_labels(replace(order(8), service="drone"))
    assert isinstance(answer, Declined)
    assert answer.reason == "invalid-request: service is wrong"
    await carrier.close()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"type": "about:blank"}, "the carrier answered 422"),
        ({"type": "urn:carrier:problem:undeliverable"}, "undeliverable"),
        ({"type": "https://carrier/problems/no-route"}, "no-route"),
        ({"type": "urn:x:1 High Street"}, "the carrier answered 422"),
        ({"type": 7}, "the carrier answered 422"),
        ({"errors": [{"pointer": "/to/name", "detail": "A. Buyer?"}]}, "to.name is wrong"),
        (
            {"errors": [{"field": "packages[0]"}, {"field": "to.city"}]},
            "packages.0 is wrong; to.city",
        ),
        ({"errors": ["?", {"field": "A. Buyer"}, {"field": "to.A. Buyer"}, 7]}, "answered 422"),
        ({"errors": {"service": "?"}}, "the carrier answered 422"),
    ],
)
async def test_of_a_refusal_the_kind_and_the_fields_are_kept_and_no_word(
    said: dict[str, Any], reason: str
) -> None:
    quoted = "No route to A. Buyer, 1 High Street"
    errors = [{"field": "to.line1", "message": quoted}]
    body = {"title": quoted, "detail": quoted, "errors": errors, **said}
    transport = httpx.MockTransport(lambda _: httpx.Response(422, json=body))
    carrier = HttpCarrier("http://carrier", KEY, timeout_s=1.0, transport=transport)
    answer = await carrier.buy_labels(order())
    assert isinstance(answer, Declined)
    assert reason in answer.reason
    assert "errors" in said or answer.reason.endswith(": to.line1 is wrong")
    assert not [word for word in ("Buyer", "High", "Street") if word in answer.reason]
    await carrier.close()


async def test_scans_of_a_travelling_parcel_are_read(sandbox_url: str) -> None:
    carrier = HttpCarrier(sandbox_url, KEY, timeout_s=5.0)
    await carrier.buy_labels(order(5))
    scans: tuple[CarrierScan, ...] = ()
    for _ in range(100):
        if len(scans) == 4:
            break
        await asyncio.sleep(0.05)
        found = await carrier.look_up("shp_x5-1")
        scans = () if found is None else found.parcels[0].scans
    journey = ["picked_up", "in_transit", "out_for_delivery", "delivered"]
    assert [scan.status for scan in scans] == journey
    assert all(scan.happened_at.utcoffset() is not None for scan in scans)
    await carrier.close()


async def test_a_carrier_that_hangs_after_selling_is_unknown_and_then_found(
    sandbox_url: str,
) -> None:
    carrier = HttpCarrier(sandbox_url, KEY, timeout_s=0.5)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=sandbox_url, headers=headers) as tester:
        await tester.post("/faults", json={"timeout_after_label": 1.0})
        with pytest.raises(CarrierUnavailable):
            await carrier.buy_labels(order(6))
        await tester.delete("/faults")
    assert await carrier.look_up("shp_x6-1") is not None
    assert isinstance(await carrier.buy_labels(order(6)), CarrierShipment)
    await carrier.close()


async def test_a_void_shipment_is_not_found() -> None:
    body = {"data": [{"reference": "shp_v-1", "status": "voided", "packages": []}]}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    voided = HttpCarrier("http://carrier", KEY, timeout_s=1.0, transport=transport)
    assert await voided.look_up("shp_v-1") is None
    await voided.close()


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 502, 503, 504])
async def test_what_settles_nothing_is_no_refusal(status: int) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json={}))
    carrier = HttpCarrier("http://carrier", KEY, timeout_s=1.0, transport=transport)
    with pytest.raises(CarrierUnavailable):
        await carrier.buy_labels(order(7))
    with pytest.raises(CarrierUnavailable):
        await carrier.look_up("shp_x7-1")
    await carrier.close()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"data": 1}', b"\xff", b'{"packages": [{}]}'])
async def test_an_answer_that_makes_no_sense_is_unknown(content: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=content))
    carrier = HttpCarrier("http://carrier", KEY, timeout_s=1.0, transport=transport)
    with pytest.raises(CarrierUnavailable):
        await carrier.buy_labels(order(8))
    await carrier.close()
