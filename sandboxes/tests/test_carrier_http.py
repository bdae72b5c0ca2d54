"""The carrier as a real process: parcels go on after a kill, callbacks are signed."""

import json
from pathlib import Path
from typing import Any

from waybill_sandboxes import callbacks

SECRET = "a plain secret"
SHIPMENT = {
    "reference": "shp_1",
    "service": "express",
    "to": {"name": "A", "line1": "1 High St", "city": "London", "country_code": "GB"},
    "packages": [{"reference": "p1", "weight_g": 900}, {"reference": "p2", "weight_g": 1}],
}


def test_parcels_arrive_though_the_carrier_was_killed_on_the_way(
    run_sandbox: Any, receiver: Any, tmp_path: Path
) -> None:
    settings = {
        "api_key": "key",
        "webhook_secret": SECRET,
        "data_dir": tmp_path,
        "step_ms": 300,
        "callback_url": receiver.url,
    }
    key = {"Idempotency-Key": "k1"}
    with run_sandbox("carrier", **settings) as carrier:
        first = carrier.http.post("/v1/shipments", json=SHIPMENT, headers=key)
        assert first.status_code == 201
        assert carrier.http.get(first.json()["packages"][0]["label_url"]).text.startswith("^XA")
        receiver.wait_for(2)
        carrier.kill()

    with run_sandbox("carrier", **settings) as carrier:
        again = carrier.http.post("/v1/shipments", json=SHIPMENT, headers=key)
        assert again.json()["id"] == first.json()["id"]
        receiver.wait_for_messages(8)
        found = carrier.http.get(f"/v1/shipments/{first.json()['id']}").json()
        assert found["status"] == "delivered"
        assert [one["seq"] for one in carrier.http.get("/ledger").json()["entries"]] == [1]
        assert carrier.stop() == 0

    told: dict[str, set[int]] = {}
    for headers, body in receiver.received:
        assert headers["webhook-signature"] == callbacks.signature(
            SECRET,
            message_id=headers["webhook-id"],
            timestamp=headers["webhook-timestamp"],
            body=body,
        )
        event = json.loads(body)
        told.setdefault(event["tracking_number"], set()).add(event["sequence"])
    assert list(told.values()) == [{1, 2, 3, 4}, {1, 2, 3, 4}]


def test_a_shipment_without_a_service_that_exists_is_a_problem(
    run_sandbox: Any, tmp_path: Path
) -> None:
    settings = {"api_key": "key", "webhook_secret": SECRET, "data_dir": tmp_path}
    with run_sandbox("carrier", **settings) as carrier:
        answer = carrier.http.post(
            "/v1/shipments", json=SHIPMENT | {"service": "by owl"}, headers={"Idempotency-Key": "k"}
        )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "service"
