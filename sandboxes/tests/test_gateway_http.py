"""The gateway as a real process: what survives a kill, and what callbacks look like on the wire."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from waybill_sandboxes.gateway import app, ledger
from waybill_sandboxes.journal import MemoryJournal

ORDER = {"reference": "ord_1", "amount_minor": 1000, "currency": "GBP", "token": "tok_approve"}
SECRET = "whsec_" + base64.b64encode(b"a secret of the gateway").decode()


def settings(tmp_path: Path, **more: object) -> dict[str, object]:
    return {"api_key": "key", "webhook_secret": SECRET, "data_dir": tmp_path, **more}


def test_a_killed_gateway_keeps_its_ledger_and_its_answers(
    run_sandbox: Any, tmp_path: Path
) -> None:
    key = {"Idempotency-Key": "k1"}
    with run_sandbox("gateway", **settings(tmp_path)) as gateway:
        first = gateway.http.post("/v1/authorizations", json=ORDER, headers=key)
        assert first.status_code == 201
        entries = gateway.http.get("/ledger").json()["entries"]
        gateway.kill()
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(b'{"kind":"operation","seq":2,"at":"20')

    with run_sandbox("gateway", **settings(tmp_path)) as gateway:
        again = gateway.http.post("/v1/authorizations", json=ORDER, headers=key)
        assert again.content == first.content
        assert again.headers["Idempotent-Replayed"] == "true"
        assert gateway.http.get("/ledger").json()["entries"] == entries
        assert [one["seq"] for one in entries] == [1]
        assert gateway.stop() == 0


def test_a_hanging_answer_outlasts_the_client_but_the_charge_is_found(
    run_sandbox: Any, tmp_path: Path
) -> None:
    body = ORDER | {"token": "tok_timeout_after_charge"}
    with run_sandbox("gateway", **settings(tmp_path, hang_s=1)) as gateway:
        started = time.monotonic()
        answer = gateway.http.post(
            "/v1/authorizations", json=body, headers={"Idempotency-Key": "k1"}
        )
        assert time.monotonic() - started >= 1
        assert answer.status_code == 201
        found = gateway.http.get("/v1/operations", params={"idempotency_key": "k1"}).json()
        assert found["outcome"] == "approved"
        by_reference = gateway.http.get("/v1/authorizations", params={"reference": "ord_1"}).json()
        assert [one["id"] for one in by_reference["data"]] == [answer.json()["id"]]


@pytest.mark.parametrize(
    ("body", "headers", "status", "field"),
    [
        (ORDER, {}, 400, None),
        (ORDER, {"Idempotency-Key": "k", "Authorization": "Bearer no"}, 401, None),
        (ORDER | {"amount_minor": -1}, {"Idempotency-Key": "k"}, 422, "amount_minor"),
        (ORDER | {"token": "tok_no_such"}, {"Idempotency-Key": "k"}, 422, "token"),
        (ORDER | {"card_number": "1"}, {"Idempotency-Key": "k"}, 422, "card_number"),
    ],
)
async def test_what_is_refused_is_a_problem_document(
    body: dict[str, Any], headers: dict[str, str], status: int, field: str | None
) -> None:
    gateway = ledger.Gateway(MemoryJournal(), ledger.Options())
    asgi = httpx.ASGITransport(app.build(gateway, api_key="key", wake=lambda: None))
    headers = {"Authorization": "Bearer key"} | headers
    async with httpx.AsyncClient(transport=asgi, base_url="http://gateway.test") as http:
        answer = await http.post("/v1/authorizations", json=body, headers=headers)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status
    if field is not None:
        assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_callbacks_are_signed_and_told_again_until_they_arrive(
    run_sandbox: Any, receiver: Any, tmp_path: Path
) -> None:
    receiver.answers = [500]
    with run_sandbox("gateway", **settings(tmp_path, callback_url=receiver.url)) as gateway:
        gateway.http.post("/v1/authorizations", json=ORDER, headers={"Idempotency-Key": "k1"})
        (first_headers, first_body), (headers, body) = receiver.wait_for(2)[:2]

    assert body == first_body
    assert headers["webhook-id"] == first_headers["webhook-id"] == json.loads(body)["id"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(b"a secret of the gateway", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert json.loads(body)["type"] == "authorization.approved"
    assert set(json.loads(body)) == {
        "id", "type", "authorization_id", "reference", "idempotency_key", "occurred_at",
    }  # fmt: skip


def test_a_pending_verdict_is_told_by_callback(
    run_sandbox: Any, receiver: Any, tmp_path: Path
) -> None:
    with run_sandbox("gateway", **settings(tmp_path, pending_s=0.2)) as gateway:
        body = ORDER | {"token": "tok_pending", "callback_url": receiver.url}
        answer = gateway.http.post(
            "/v1/authorizations", json=body, headers={"Idempotency-Key": "k1"}
        )
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")
        _, told = receiver.wait_for(1)[0]

    assert json.loads(told)["type"] == "authorization.approved"


def test_faults_are_set_and_taken_back(run_sandbox: Any, tmp_path: Path) -> None:
    with run_sandbox("gateway", **settings(tmp_path)) as gateway:
        wanted = {"stored_error": 1.0, "seed": 7}
        assert gateway.http.post("/faults", json=wanted).json()["stored_error"] == 1.0
        key = {"Idempotency-Key": "k1"}
        assert gateway.http.post("/v1/authorizations", json=ORDER, headers=key).status_code == 500
        shown = gateway.http.get("/faults").json()
        assert (shown["faults"]["seed"], shown["struck"]) == (7, {"stored_error": 1})
        assert gateway.http.delete("/faults").json()["stored_error"] == 0.0
        key = {"Idempotency-Key": "k2"}
        assert gateway.http.post("/v1/authorizations", json=ORDER, headers=key).status_code == 201
        assert gateway.http.post("/faults", json={"stored_error": 2}).status_code == 422
        both = {"stored_error": 0.6, "timeout_after_charge": 0.6}
        refused = gateway.http.post("/faults", json=both)
        assert refused.status_code == 422
        assert "together at most 1" in refused.json()["errors"][0]["message"]
