"""A forged event in the place of an order's cancellation, given up as the page on it says."""

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import structlog

from waybill import programs
from waybill.audit import oracles
from waybill.audit.evidence import Finding
from waybill.simulation import evidence, system
from waybill_events.catalogue import SUBSCRIPTIONS
from waybill_runtime.intake import DISCARDED
from waybill_runtime.relay import message
from waybill_runtime.stored import Document
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World
from waybill_runtime.unpark import Unparking

ORDER: Mapping[str, Any] = {
    "currency": "GBP",
    "customer": {"email": "ada@example.com"},
    "shipping_address": {
        "name": "Ada Buyer",
        "line1": "1 High Street",
        "city": "London",
        "postal_code": "N1 9GU",
        "country_code": "GB",
    },
    "lines": [{"sku": "A", "name": "A thing", "quantity": 1, "unit_price_minor": 250}],
    "shipping": {"option": "standard", "price_minor": 495},
    "payment": {"method": "card", "token": "tok_approve"},
}
READERS = [name for name in programs.SERVICES if "orders" in SUBSCRIPTIONS[name]]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


class Shop:
    """All services in one loop, and a person with the operators' commands."""

    def __init__(self, loop: SeededLoop) -> None:
        self.running = system.make(World(3), loop)

    async def order(self) -> str:
        """A confirmed order."""
        async with self.running.client("inventory", **{"Idempotency-Key": "r"}) as http:
            lines = [{"sku": "A", "quantity": 5}]
            receipt = {"location": "main", "reference": "PO", "lines": lines}
            await http.post("/v1/stock/receipts", json=receipt)
        async with self.running.client("capture", **{"Idempotency-Key": "k"}) as http:
            placed = (await http.post("/v1/orders", json=ORDER)).json()
        await asyncio.sleep(30)
        return str(placed["id"])

    async def shown(self, order_id: str) -> dict[str, str]:
        async with self.running.client("capture") as http:
            shown: dict[str, str] = (await http.get(f"/v1/orders/{order_id}")).json()
            return shown

    async def cancel(self, order_id: str) -> None:
        headers = {"Idempotency-Key": "c", "If-Match": "*"}
        async with self.running.client("capture", **headers) as http:
            answer = await http.post(f"/v1/orders/{order_id}/cancel", json={})
        assert answer.json()["cancellation"] == "requested"
        await asyncio.sleep(30)

    async def forge(self, order_id: str) -> None:
        """Somebody who may write on the bus takes the version that comes next."""
        events = self.running.world.database("capture").rows.events.values()
        ours = [event for event in events if event.stream.endswith(f"order/{order_id}")]
        last = max(ours, key=lambda event: event.version)
        forged = replace(
            last,
            event_id="forged",
            type="capture.order_cancelled.v1",
            version=last.version + 1,
            data='{"order_id":5}',
        )
        producer = await self.running.world.infrastructure("capture", "mallory").bus.producer()
        await producer.send([message(forged)])
        await asyncio.sleep(30)

    def unparking(self, name: str) -> Unparking:
        on = self.running.world.infrastructure(name, "operator")
        return self.running.nodes[name].service.unparking(on)

    async def audit(self) -> dict[str, Finding]:
        await asyncio.sleep(60)
        gathered = await evidence.gather(self.running, [], (), evidence.Memory())
        return {found.guarantee: found for found in oracles.judge(gathered)}


def test_a_cancellation_behind_a_forgery_of_its_version_is_not_lost() -> None:
    loop = SeededLoop.of(3)

    async def main() -> None:
        shop = Shop(loop)
        await shop.running.begin()
        order_id = await shop.order()
        assert (await shop.shown(order_id))["status"] == "confirmed"
        await shop.forge(order_id)
        await shop.cancel(order_id)
        for name in READERS:
            await shop.unparking(name).discard(order_id, reason="not ours", actor="staff:me")
        for name in READERS:
            told = await shop.unparking(name).retry(order_id)
            assert (told.known, told.left) == (0, 0), name
            assert told.applied >= 1, name
        await asyncio.sleep(120)
        assert (await shop.shown(order_id))["status"] == "cancelled"
        assert not shop.running.outside.carrier.purchases
        captured = [e for e in shop.running.outside.gateway.ledger if e.operation == "capture"]
        assert not captured
        found = await shop.audit()
        assert found["I8"].violations == []
        assert found["I10"].violations == []
        assert found["I10"].notes
        assert found["I11"].violations == []
        await shop.running.stop()

    loop.run(main())


def test_the_audit_sees_an_event_that_was_swallowed_by_what_was_given_up_in_its_place() -> None:
    loop = SeededLoop.of(3)

    async def main() -> None:
        shop = Shop(loop)
        await shop.running.begin()
        order_id = await shop.order()
        rows = shop.running.world.database("payment").rows
        stream, version = max(
            (at[1], taken)
            for at, taken in rows.marks.items()
            if at[0] == "payment" and at[1].endswith(f"order/{order_id}")
        )
        gone = {"event_id": "forged", "stream": stream, "version": version}
        on = shop.running.world.infrastructure("payment", "before")
        async with on.store.transaction() as transaction:
            record = Document(json.dumps({"event": gone}))
            name = f"payment:{stream}@{version}"
            await transaction.documents.put("default", DISCARDED, {name: record})
        told = (await shop.audit())["I11"].said
        assert [one.partition(" on ")[0] for one in told] == [
            f"payment passed over {stream} at version {version}"
        ]
        await shop.running.stop()

    loop.run(main())
