"""What the tests of fulfillment are built from: facts, and the service on memory adapters."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import SecretStr

from fulfillment import bootstrap
from fulfillment.adapters.carrier_memory import MemoryCarrier
from fulfillment.due import Deadlines
from fulfillment.ports import Recipient
from fulfillment.settings import Settings
from waybill_events import capture, codec, inventory
from waybill_events.envelope import Recorded
from waybill_events.event import Allocation, Event
from waybill_events.inventory import SourcingDecision
from waybill_runtime.adapters.memory.broker import MemoryBroker
from waybill_runtime.adapters.memory.bus import MemoryBus
from waybill_runtime.adapters.memory.store import MemoryDatabase, MemoryStore
from waybill_runtime.adapters.recipients_memory import MemoryRecipients
from waybill_runtime.bus import Delivery, Partition, partition_of
from waybill_runtime.http import signatures
from waybill_runtime.http.auth import ROLES, KeyRing
from waybill_runtime.ids import RandomIds
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import JobRunner
from waybill_runtime.lifecycle import Stopping
from waybill_runtime.relay import message
from waybill_runtime.service import Service

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ORDER = "ord_01m84k8yhre00sxe1fx5ygf3kq"
FFO = "ffo_01m84k8yhre00sxe1fx5ygf3kq-1"
FFO_2 = "ffo_01m84k8yhre00sxe1fx5ygf3kq-2"
SHP = "shp_01m84k8yhre00sxe1fx5ygf3kq-1"
RECIPIENT = "rcp_01m84k8yhre00sxe1fx5ygf3kq"
KEY = "wb_warehous_secret"
SECRET = "carrier-callbacks-are-signed"  # noqa: S105 - a secret of tests alone
WITHIN = Deadlines(
    accept_s=4 * 3600,
    pick_s=86_400,
    pack_s=4 * 3600,
    ship_s=86_400,
    deliver_s=864_000,
    label_grace_s=10,
    track_s=5,
)
BUYER = Recipient(
    name="A. Buyer", line1="1 High Street", city="London", postal_code="N1 9GU", country_code="GB"
)


class SteppedClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return (self.at - START).total_seconds()

    def pass_s(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def allocation(line: int, location: str, quantity: int) -> Allocation:
    return Allocation(line_id=f"ln_{line}", sku=f"SKU{line}", location=location, quantity=quantity)


def confirmed(*allocations: Allocation) -> capture.OrderConfirmed:
    parts = allocations or (allocation(1, "main", 6), allocation(2, "main", 2))
    units: dict[str, int] = {}
    for part in parts:
        units[part.line_id] = units.get(part.line_id, 0) + part.quantity
    return capture.OrderConfirmed(
        order_id=ORDER,
        external_ref="536365",
        channel="web",
        recipient_ref=RECIPIENT,
        reservation_id="res_01m84k8yhre00sxe1fx5ygf3kq",
        lines=tuple(
            capture.OrderLine(
                line_id=line_id,
                sku=f"SKU{line_id[3:]}",
                name=f"Goods {line_id[3:]}",
                quantity=quantity,
                unit_price_minor=255,
            )
            for line_id, quantity in units.items()
        ),
        allocations=parts,
        shipping=capture.ShippingChoice(option="standard", price_minor=495),
        currency="GBP",
        authorized_minor=2025,
    )


def resourced(*allocations: Allocation, rejected: str = FFO) -> inventory.ReservationResourced:
    return inventory.ReservationResourced(
        reservation_id="res_01m84k8yhre00sxe1fx5ygf3kq",
        order_id=ORDER,
        from_location="main",
        fulfillment_order_id=rejected,
        allocations=allocations,
        shortages=(),
        sourcing=SourcingDecision(rule="fewest-locations", candidates=(), chosen=()),
    )


def cancellation() -> capture.OrderCancellationRequested:
    return capture.OrderCancellationRequested(order_id=ORDER, reason="customer_request")


def settings(**more: Any) -> Settings:
    given: dict[str, Any] = {
        "database_url": SecretStr("unused"),
        "key_pepper": SecretStr("pepper"),
        "carrier_webhook_secret": SecretStr(SECRET),
        "capture_url": "http://capture",
        "capture_key": SecretStr("key"),
        "label_grace_s": 10.0,
        **more,
    }
    return Settings(**given)


@dataclass(slots=True)
class Running:
    """Fulfillment on memory adapters: tell it facts, ask its API, let time pass."""

    client: httpx.AsyncClient
    service: Service
    infrastructure: Infrastructure
    clock: SteppedClock
    carrier: MemoryCarrier
    recipients: MemoryRecipients[Recipient]
    jobs: JobRunner
    _told: dict[str, int] = field(default_factory=dict)
    _offsets: dict[Partition, int] = field(default_factory=dict)
    _relayed: int = 0
    _keys: int = 0

    async def tell(self, *events: Event) -> None:
        """Deliver facts of other services, each topic's in order."""
        for event in events:
            topic = {"capture": "orders", "inventory": "inventory"}[event.TYPE.partition(".")[0]]
            self._told[topic] = self._told.get(topic, 0) + 1
            version = self._told[topic]
            await self._deliver(
                Recorded(
                    event_id=f"{topic}-{version}",
                    type=event.TYPE,
                    stream=f"default/{topic}/{ORDER}",
                    version=version,
                    tenant="default",
                    topic=topic,
                    key=ORDER,
                    occurred_at=self.clock.now(),
                    causation_id="test",
                    correlation_id=ORDER,
                    actor="system:test",
                    origin="live",
                    data=codec.encode(event),
                )
            )

    async def hear_itself(self) -> None:
        """Deliver what fulfillment itself has published, for its list and its feed."""
        published = await self.published()
        for recorded in published[self._relayed :]:
            await self._deliver(recorded)
        self._relayed = len(published)

    async def published(self) -> list[Recorded]:
        async with self.infrastructure.store.reading() as reading:
            return [recorded async for recorded in reading.streams.scan("fulfillment")]

    async def facts(self) -> list[str]:
        """The names of all facts so far."""
        return [type(codec.decode(recorded)).__name__ for recorded in await self.published()]

    async def _deliver(self, recorded: Recorded) -> None:
        at = Partition(recorded.topic, partition_of(recorded.key))
        if at not in self._offsets:
            await self.service.consumer.assigned([at])
        offset = self._offsets.get(at, 0)
        self._offsets[at] = offset + 1
        await self.service.consumer.take([Delivery(message(recorded), at, offset)])

    async def run_jobs(self, *kinds: str) -> None:
        """Run what is due, timers and effects, once."""
        blueprint = self.service.blueprint
        await self.jobs._fire_timers(await self.jobs._claim(blueprint.timers.keys(), 100))
        claimed = await self.jobs._claim(blueprint.effects.keys(), 100)
        outcomes = [(job, await blueprint.effects[job.kind](job)) for job in claimed]
        if outcomes:
            await self.jobs._record(outcomes)

    async def ask(
        self, path: str, body: object, *, key: str | None = None, if_match: str | None = "*"
    ) -> httpx.Response:
        """A command on a fulfillment order; a new key unless one is given."""
        self._keys += 1
        headers = {"Idempotency-Key": key or f"key-{self._keys}"}
        if if_match is not None:
            headers["If-Match"] = if_match
        return await self.client.post(f"/v1/fulfillment-orders/{path}", json=body, headers=headers)

    async def read(self, id_: str = FFO) -> Any:
        answer = await self.client.get(f"/v1/fulfillment-orders/{id_}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def bring_to_packed(self, id_: str = FFO) -> None:
        lines = [
            {"line_id": line["line_id"], "quantity": line["quantity"]}
            for line in (await self.read(id_))["lines"]
        ]
        for path, body in (
            ("accept", {}),
            ("pick", {"lines": lines}),
            ("pack", {"packages": [{"weight_g": 900, "lines": lines}]}),
        ):
            answer = await self.ask(f"{id_}/{path}", body)
            assert answer.status_code == 200, answer.text

    async def call_back(
        self, shipment_id: str = SHP, *, id_: str = "ccb_1", secret: str = SECRET, age_s: int = 0
    ) -> httpx.Response:
        body = json.dumps({"type": "tracking.updated", "reference": shipment_id}).encode()
        timestamp = str(int(self.clock.now().timestamp()) - age_s)
        headers = {
            "Webhook-Id": id_,
            "Webhook-Timestamp": timestamp,
            "Webhook-Signature": signatures.sign(secret, id_, timestamp, body),
            "Content-Type": "application/json",
        }
        return await self.client.post("/v1/callbacks/carrier", content=body, headers=headers)


@asynccontextmanager
async def running(
    scopes: Sequence[str] = ROLES["warehouse"], **more: Any
) -> AsyncIterator[Running]:
    clock = SteppedClock()
    ids = RandomIds(clock, 7)
    on = Infrastructure(
        MemoryStore(MemoryDatabase(clock)),
        MemoryBus(MemoryBroker(clock), "node"),
        clock,
        ids,
        Stopping(),
    )
    carrier, recipients = MemoryCarrier(clock.now), MemoryRecipients({RECIPIENT: BUYER})
    blueprint = bootstrap.assemble(settings(**more), on, carrier, recipients)
    service = Service(blueprint, on)
    ring = KeyRing(on.store, clock, "pepper")
    await ring.add(KEY, name="warehouse", scopes=scopes)
    jobs = JobRunner(
        service="fulfillment",
        timers=blueprint.timers,
        effects=blueprint.effects,
        store=on.store,
        ids=ids,
        stopping=on.stopping,
    )
    transport = httpx.ASGITransport(service.app(ring), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://fulfillment",
        headers={"Authorization": f"Bearer {KEY}"},
    ) as client:
        yield Running(client, service, on, clock, carrier, recipients, jobs)
