"""Preferences and the delivery log over HTTP, on the memory store."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from notification import bootstrap
from notification.settings import Settings
from waybill_events import notification
from waybill_events.event import Event
from waybill_runtime.adapters.recipients_memory import MemoryRecipients
from waybill_runtime.http import auth
from waybill_runtime.http.auth import KeyRing
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.service import Service
from waybill_runtime.testing.asking import asking
from waybill_runtime.testing.working import hand
from waybill_runtime.testing.world import World, recorded

PATH = "/v1/preferences/17850"
NO_SMS = {"channel": "sms", "allowed": False}


def decided(number: int) -> notification.NotificationDecided:
    return notification.NotificationDecided(
        message_id=f"msg_{number:02}-confirmed-email",
        order_id=f"ord_{number:02}",
        recipient_ref=f"rcp_{number:02}",
        template="confirmed",
        channel="email",
        dedupe_key=f"ord_{number:02}:confirmed:email",
        source_event_id="e-1",
        details={},
    )


def suppressed(number: int) -> notification.NotificationSuppressed:
    told = decided(number)
    return notification.NotificationSuppressed(
        message_id=told.message_id, order_id=told.order_id, channel="email", reason="preference"
    )


@dataclass
class Rig:
    """The service behind its HTTP side."""

    on: Infrastructure
    service: Service
    http: httpx.AsyncClient

    async def project(self, *events: Event) -> None:
        batch = [recorded(event, stream="s", version=1, topic="notifications") for event in events]
        await hand(self.on, self.service.handler, *batch)

    async def put(self, body: object, *, key: str, if_match: str | None = "*") -> httpx.Response:
        headers = {"Idempotency-Key": key} | ({"If-Match": if_match} if if_match else {})
        return await self.http.put(PATH, json=body, headers=headers)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    on = World().infrastructure("notification")
    blueprint = bootstrap.assemble(Settings.model_construct(), on, MemoryRecipients({}), {})
    service = Service(blueprint, on)
    async with asking(service, auth.ROLES["operator"], name="staff") as http:
        yield Rig(on, service, http)


async def test_a_customer_who_said_nothing_has_the_defaults(rig: Rig) -> None:
    answer = await rig.http.get(PATH)
    assert answer.json() == {
        "customer_ref": "17850",
        "channels": {"email": True, "sms": True, "chat": False},
        "version": 0,
    }
    again = await rig.http.get(PATH, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


async def test_a_preference_is_set_and_read(rig: Rig) -> None:
    answer = await rig.put(NO_SMS, key="p-1", if_match='"0"')
    assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')
    read = await rig.http.get(PATH)
    assert read.json() == answer.json()
    assert read.json()["channels"]["sms"] is False


async def test_a_preference_that_changes_nothing_keeps_its_version(rig: Rig) -> None:
    await rig.put(NO_SMS, key="p-1")
    answer = await rig.put(NO_SMS, key="p-2", if_match='"1"')
    assert (answer.json()["version"], answer.headers["etag"]) == (1, '"1"')
    assert (await rig.http.get(PATH)).json()["version"] == 1


async def test_the_same_key_is_answered_the_same(rig: Rig) -> None:
    first = await rig.put(NO_SMS, key="p-1")
    await rig.put({"channel": "chat", "allowed": True}, key="p-2")
    again = await rig.put(NO_SMS, key="p-1")
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_preference_needs_a_key_and_the_version_it_was_decided_on(rig: Rig) -> None:
    assert (await rig.put(NO_SMS, key="")).status_code == 400
    assert (await rig.put(NO_SMS, key="p-1", if_match=None)).status_code == 428
    assert (await rig.put(NO_SMS, key="p-1", if_match='"7"')).status_code == 412
    assert (await rig.http.get(PATH)).json()["version"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {"channel": "pigeon", "allowed": True},
        {"channel": "sms", "allowed": "no"},
        {"channel": "sms"},
        {"channel": "sms", "allowed": True, "why": "x"},
        [],
        None,
    ],
)
async def test_a_preference_that_says_something_else_is_refused(rig: Rig, body: object) -> None:
    answer = await rig.put(body, key="p-1")
    assert answer.status_code == 422
    assert answer.json()["errors"]


@pytest.mark.parametrize("ref", ["%00", "a%0Ab", "x" * 65])
async def test_a_customer_reference_that_cannot_be_is_refused(rig: Rig, ref: str) -> None:
    assert (await rig.http.get(f"/v1/preferences/{ref}")).status_code == 422


async def test_the_delivery_log_pages_newest_first(rig: Rig) -> None:
    await rig.project(*(decided(number) for number in range(5)))
    first = (await rig.http.get("/v1/deliveries", params={"limit": 3})).json()
    assert [row["order_id"] for row in first["data"]] == ["ord_04", "ord_03", "ord_02"]
    assert first["has_more"]
    params = {"limit": "3", "cursor": first["next_cursor"]}
    rest = (await rig.http.get("/v1/deliveries", params=params)).json()
    assert [row["order_id"] for row in rest["data"]] == ["ord_01", "ord_00"]
    assert (rest["has_more"], rest["next_cursor"]) == (False, None)


async def test_the_delivery_log_is_searched_by_order_and_by_what_became_of_it(rig: Rig) -> None:
    await rig.project(decided(1), decided(2), suppressed(2))
    found = (await rig.http.get("/v1/deliveries", params={"status": "suppressed"})).json()["data"]
    assert [(row["order_id"], row["reason"]) for row in found] == [("ord_02", "preference")]
    found = (await rig.http.get("/v1/deliveries", params={"order_id": "ord_01"})).json()["data"]
    assert [(row["order_id"], row["status"]) for row in found] == [("ord_01", "decided")]
    for wrong in ({"status": "\0"}, {"status": "lost"}, {"state": "sent"}):
        assert (await rig.http.get("/v1/deliveries", params=wrong)).status_code == 422


async def test_a_cursor_of_somebody_else_is_refused(rig: Rig) -> None:
    answer = await rig.http.get("/v1/deliveries", params={"cursor": "é"})
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:waybill:problem:invalid-cursor"


async def test_without_the_scope_nothing_shows(rig: Rig) -> None:
    ring = KeyRing(rig.on.store, rig.on.clock, "pepper")
    key = auth.new_key()
    await ring.add(key, name="shop", scopes=auth.ROLES["storefront"])
    rig.http.headers["Authorization"] = f"Bearer {key}"
    assert (await rig.http.get("/v1/deliveries")).status_code == 403
    assert (await rig.put(NO_SMS, key="p-1")).status_code == 403
