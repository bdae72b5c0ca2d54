"""capture over HTTP on the memory store: placing, replaying, reading, cancelling, forgetting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from capture import bootstrap
from capture.settings import Settings
from waybill_events.catalogue import TOPICS
from waybill_runtime.http.auth import ROLES, KeyRing
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.service import Service
from waybill_runtime.testing.world import World, simulate

STOREFRONT, SERVICE, OPERATOR = "wb_store_x", "wb_serve_x", "wb_opera_x"

ORDER: dict[str, Any] = {
    "external_ref": "536365",
    "channel": "web",
    "currency": "GBP",
    "customer": {
        "ref": "17850",
        "email": "buyer@example.com",
        "phone": "+442079460000",
        "locale": "en-GB",
    },
    "shipping_address": {
        "name": "A. Buyer",
        "line1": "1 High Street",
        "city": "London",
        "postal_code": "N1 9GU",
        "country_code": "GB",
    },
    "lines": [{"sku": "85123A", "name": "A light", "quantity": 6, "unit_price_minor": 255}],
    "shipping": {"option": "standard", "price_minor": 495},
    "payment": {"method": "card", "token": "tok_approve"},
}


class Shop:
    """capture's application, and the keys to it."""

    def __init__(self, app: Any, on: Infrastructure) -> None:
        self.app = app
        self.on = on

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        bearer: str | None = STOREFRONT,
        match: str | None = None,
        **headers: str,
    ) -> httpx.Response:
        given = {"Idempotency-Key": key, "If-Match": match, **headers}
        given["Authorization"] = f"Bearer {bearer}" if bearer else None
        sent = {name: value for name, value in given.items() if value is not None}
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://capture") as http:
            return await http.request(method, path, json=body, headers=sent)

    async def place(self, key: str = "k", **changes: object) -> httpx.Response:
        return await self.ask("POST", "/v1/orders", {**ORDER, **changes}, key=key)


@asynccontextmanager
async def open_shop(seed: int = 1) -> AsyncIterator[Shop]:
    on = World(seed).infrastructure("capture")
    await on.bus.ensure_topics(sorted(TOPICS))
    settings = Settings(
        database_url=SecretStr("memory"),
        key_pepper=SecretStr("pepper"),
        tracking_token_secret=SecretStr("secret"),
        public_tracking_url="https://track.example",
    )
    service = Service(bootstrap.compose(settings, on), on)
    ring = KeyRing(on.store, on.clock, "pepper")
    for key, role in ((STOREFRONT, "storefront"), (SERVICE, "service"), (OPERATOR, "operator")):
        await ring.add(key, name=role, scopes=ROLES[role])
    async with asyncio.TaskGroup() as group:
        group.create_task(service.run_parts())
        yield Shop(service.app(ring), on)
        on.stopping.set()


def test_an_order_is_placed_with_its_total_and_its_link() -> None:
    async def main() -> None:
        async with open_shop() as shop:
            answer = await shop.place()
            assert answer.status_code == 201
            placed = answer.json()
            assert answer.headers["Location"] == f"/v1/orders/{placed['id']}"
            assert placed["status"] == "placed"
            assert placed["version"] == 1
            assert placed["total"] == {"amount_minor": 2025, "currency": "GBP"}
            assert placed["tracking"]["url"].startswith("https://track.example/v1/track/trk_")

    simulate(1, main())


def test_the_same_key_is_answered_byte_for_byte_the_same() -> None:
    async def main() -> None:
        async with open_shop() as shop:
            first, again = await shop.place(), await shop.place()
            assert again.status_code == 201
            assert again.content == first.content
            assert again.headers["Idempotent-Replayed"] == "true"
            assert "Idempotent-Replayed" not in first.headers

    simulate(1, main())


def test_fifty_posts_of_one_key_at_once_make_one_order() -> None:
    async def main() -> None:
        async with open_shop() as shop:
            answers = await asyncio.gather(*(shop.place() for _ in range(50)))
            made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
            assert len(made) == 1
            assert {answer.status_code for answer in answers} <= {201, 409, 503}
            async with shop.on.store.reading() as reading:
                events = [event async for event in reading.streams.scan("order")]
            assert len(events) == 1

    for seed in range(3):
        simulate(seed, main())


def test_a_key_is_required_and_not_for_another_body() -> None:
    async def main() -> None:
        async with open_shop() as shop:
            missing = await shop.ask("POST", "/v1/orders", ORDER)
            assert missing.status_code == 400
            assert missing.json()["type"] == "urn:waybill:problem:idempotency-key-required"
            await shop.place()
            other = await shop.place(external_ref="other")
            assert other.status_code == 422
            assert other.json()["type"] == "urn:waybill:problem:idempotency-key-reused"

    simulate(1, main())


def test_a_shops_reference_names_one_order() -> None:
    async def main() -> None:
        async with open_shop() as shop:
            first = await shop.place()
            second = await shop.place(key="k2")
            assert second.status_code == 409
            assert second.json()["errors"][0]["pointer"] == "/external_ref"
            assert first.json()["id"] in second.json()["detail"]
            assert (await shop.place(key="k3", channel="app")).status_code == 201

    simulate(1, main())


def test_an_order_is_read_with_its_etag() -> None:
    async def main() -> None:
        async with open_shop() as shop:
            path = (await shop.place()).headers["Location"]
            read = await shop.ask("GET", path)
            assert read.headers["ETag"] == '"1"'
            line = read.json()["lines"][0]["quantities"]
            assert line == {
                "ordered": 6,
                "cancelled": 0,
                "pending": 6,
                "held": 0,
                "allocated": 0,
                "shipped": 0,
                "delivered": 0,
            }
            again = await shop.ask("GET", path, **{"If-None-Match": '"1"'})
            assert again.status_code == 304
            assert again.content == b""

    simulate(1, main())


def test_orders_are_listed_by_reference_and_status_in_pages() -> None:
    async def main() -> None:
        async with open_shop() as shop:
            for number in range(5):
                await shop.place(key=f"k{number}", external_ref=f"r{number}")
            await asyncio.sleep(2)
            found = (await shop.ask("GET", "/v1/orders?external_ref=r3")).json()
            assert [row["external_ref"] for row in found["data"]] == ["r3"]
            page = (await shop.ask("GET", "/v1/orders?status=placed&limit=2")).json()
            seen = [row["external_ref"] for row in page["data"]]
            while page["has_more"]:
                cursor = page["next_cursor"]
                path = f"/v1/orders?status=placed&limit=2&cursor={cursor}"
                page = (await shop.ask("GET", path)).json()
                seen += [row["external_ref"] for row in page["data"]]
            assert seen == ["r4", "r3", "r2", "r1", "r0"]

    simulate(1, main())


@pytest.mark.parametrize("filters", ["externalref=1", "status=shipped"])
def test_a_filter_that_no_order_can_meet_is_refused(filters: str) -> None:
    async def main() -> None:
        async with open_shop() as shop:
            await shop.place()
            answer = await shop.ask("GET", f"/v1/orders?{filters}")
            assert answer.status_code == 422
            (error,) = answer.json()["errors"]
            assert error["pointer"] == f"query:{filters.partition('=')[0]}"
            assert "external_ref" in error["detail"] or "completed" in error["detail"]

    simulate(1, main())


def test_a_placed_order_is_cancelled_against_the_version_that_was_seen() -> None:
    async def main() -> None:
        async with open_shop() as shop:
            path = (await shop.place()).headers["Location"] + "/cancel"
            body = {"reason": "customer_request"}
            assert (await shop.ask("POST", path, body, key="c")).status_code == 428
            for wrong in ("foo", "1", '"1" "2"', '"1",'):
                unread = await shop.ask("POST", path, body, key="c", match=wrong)
                assert unread.status_code == 400
                assert 'such as "3"' in unread.json()["detail"]
            stale = await shop.ask("POST", path, body, key="c", match='"7"')
            assert stale.status_code == 412
            assert stale.headers["ETag"] == '"1"'
            done = await shop.ask("POST", path, body, key="c", match='"1"')
            assert done.status_code == 200
            assert done.json()["status"] == "cancelled"
            assert done.json()["lines"][0]["quantities"]["cancelled"] == 6
            replay = await shop.ask("POST", path, body, key="c", match='"1"')
            assert replay.content == done.content

    simulate(1, main())


def test_an_order_nobody_confirms_expires() -> None:
    async def main() -> None:
        async with open_shop() as shop:
            path = (await shop.place()).headers["Location"]
            await asyncio.sleep(890)
            assert (await shop.ask("GET", path)).json()["status"] == "placed"
            await asyncio.sleep(20)
            assert (await shop.ask("GET", path)).json()["status"] == "expired"

    simulate(1, main())


def test_personal_data_are_in_the_vault_and_in_no_event() -> None:
    async def main() -> None:
        async with open_shop() as shop:
            placed = (await shop.place()).json()
            reference = placed["id"].replace("ord_", "rcp_")
            person = await shop.ask("GET", f"/v1/recipients/{reference}", bearer=SERVICE)
            assert person.json()["email"] == "buyer@example.com"
            assert person.json()["tracking_url"] == placed["tracking"]["url"]
            async with shop.on.store.reading() as reading:
                log = " ".join([e.data async for e in reading.streams.scan()])
            for personal in ("buyer@example.com", "A. Buyer", "High Street", "+442079460000"):
                assert personal not in log
            assert placed["tracking"]["token"] not in log

    simulate(1, main())


def test_a_person_is_forgotten_and_the_order_still_folds() -> None:
    async def main() -> None:
        async with open_shop() as shop:
            placed = (await shop.place()).json()
            body = {"customer_ref": "17850"}
            erase = "/v1/recipients/erase"
            gone = await shop.ask("POST", erase, body, key="e", bearer=OPERATOR)
            assert gone.json() == {"erased": 1}
            reference = placed["id"].replace("ord_", "rcp_")
            person = await shop.ask("GET", f"/v1/recipients/{reference}", bearer=SERVICE)
            assert person.status_code == 410
            again = await shop.ask("POST", erase, body, key="e2", bearer=OPERATOR)
            assert again.json() == {"erased": 0}
            assert (await shop.ask("GET", f"/v1/orders/{placed['id']}")).status_code == 200

    simulate(1, main())


@pytest.mark.parametrize("order_id", ["\u202e", "rcp_x", "ord_"])
def test_what_is_no_orders_id_erases_nobody_and_says_so(order_id: str) -> None:
    async def main() -> None:
        async with open_shop() as shop:
            erase = "/v1/recipients/erase"
            answer = await shop.ask("POST", erase, {"order_id": order_id}, key="e", bearer=OPERATOR)
            assert answer.status_code == 422
            assert "begin with ord_" in answer.text

    simulate(1, main())


@pytest.mark.parametrize(
    ("method", "path", "bearer", "status"),
    [
        ("POST", "/v1/orders", None, 401),
        ("POST", "/v1/orders", "wb_store_wrong", 401),
        ("POST", "/v1/orders", "nonsense", 401),
        ("POST", "/v1/orders", SERVICE, 403),
        ("GET", "/v1/orders", None, 401),
        ("GET", "/v1/recipients/rcp_x", STOREFRONT, 403),
        ("POST", "/v1/recipients/erase", STOREFRONT, 403),
        ("GET", "/v1/orders/ord_nobody", STOREFRONT, 404),
        ("GET", "/v1/recipients/rcp_x", SERVICE, 404),
    ],
)
def test_who_may_do_what(method: str, path: str, bearer: str | None, status: int) -> None:
    async def main() -> None:
        async with open_shop() as shop:
            body = ORDER if method == "POST" else None
            answer = await shop.ask(method, path, body, key="k", bearer=bearer)
            assert answer.status_code == status
            assert answer.headers["Content-Type"] == "application/problem+json"

    simulate(1, main())
