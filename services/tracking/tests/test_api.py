"""Tracking over HTTP: what a token opens and keeps shut, and the staff's timeline."""

import hashlib

import pytest

from tracking.testing.page import CONFIRMED, TOKEN, TRACK, Page, placed, show
from waybill_events import capture


def test_a_token_opens_its_order_in_plain_words() -> None:
    async def story(page: Page) -> None:
        answer = await page.get(TRACK)
        assert answer.status_code == 200
        body = answer.json()
        assert body["order"]["headline"] == "We have received your order and are checking it."
        assert [line["name"] for line in body["lines"]] == ["Heart"]
        assert (body["version"], body["shipments"]) == (1, [])
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"] == "noindex"
        assert "private" in answer.headers["cache-control"]

    show(story)


def test_each_token_opens_one_order_only() -> None:
    async def story(page: Page) -> None:
        await page.tell(placed("ord_y", "trk_of_y"))
        await page.tell(capture.OrderExpired(order_id="ord_y", reason="hold_expired"))
        assert (await page.get(TRACK)).json()["order"]["status"] == "placed"
        assert (await page.get("/v1/track/trk_of_y")).json()["order"]["status"] == "expired"

    show(story)


TOKEN_HASH = hashlib.sha256(TOKEN.encode()).hexdigest()
OTHERS = ("trk_unknown", "ord_x", TOKEN_HASH, TOKEN + "x", TOKEN[:-1], "x" * 5_000, "é", "*")


@pytest.mark.parametrize("token", OTHERS)
@pytest.mark.parametrize("suffix", ["", "/events"])
def test_every_other_token_gets_the_same_answer(token: str, suffix: str) -> None:
    async def story(page: Page) -> None:
        answer = await page.get(f"/v1/track/{token}{suffix}")
        body = answer.json()
        body.pop("instance")
        body.pop("request_id")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert body == {
            "type": "urn:waybill:problem:not-found",
            "title": "Not found",
            "status": 404,
            "detail": "This link opens no order. Use the one we sent you, or wait a moment: "
            "it may not be here yet.",
        }

    show(story)


def test_a_poller_is_told_when_nothing_has_changed() -> None:
    async def story(page: Page) -> None:
        tag = (await page.get(TRACK)).headers["etag"]
        same = await page.get(TRACK, **{"If-None-Match": tag})
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["referrer-policy"] == "no-referrer"
        await page.tell(CONFIRMED)
        changed = await page.get(TRACK, **{"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag

    show(story)


def test_staff_see_every_event_with_cause_and_actor() -> None:
    async def story(page: Page) -> None:
        await page.tell(
            CONFIRMED, causation_id="default/order/ord_x@1", actor="key:abc", event_id="e-2"
        )
        answer = await page.get("/v1/orders/ord_x/timeline", "operator")
        assert answer.status_code == 200
        first, second = answer.json()["data"]
        assert (first["type"], first["cause"]) == ("capture.order_placed.v1", None)
        assert second["cause"] == "capture.order_placed.v1"
        assert (second["actor"], second["detail"]) == ("key:abc", "reason customer_request")

    show(story)


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("storefront", 403), ("operator", 404)])
def test_the_timeline_is_for_staff(role: str | None, status: int) -> None:
    async def story(page: Page) -> None:
        answer = await page.get("/v1/orders/ord_none/timeline", role)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"

    show(story)


@pytest.mark.parametrize(
    "path", ["track/%00", "orders/%00/timeline", f"orders/{81 * 'x'}/timeline"]
)
def test_an_address_that_nothing_can_have_is_refused(path: str) -> None:
    async def story(page: Page) -> None:
        assert (await page.get(f"/v1/{path}", "operator")).status_code == 422

    show(story)
