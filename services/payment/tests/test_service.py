"""Payments end to end on the memory store, under virtual time, against the memory gateway."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from payment import decider, reactor, service
from payment.adapters.gateway_memory import Lie, MemoryGateway
from payment.service import PAYMENT
from waybill_events import capture, codec, fulfillment
from waybill_events.envelope import Recorded, StreamId
from waybill_events.event import Event, LineQuantity
from waybill_runtime.consumer import Incoming
from waybill_runtime.jobs import JobRunner
from waybill_runtime.testing import world
from waybill_runtime.testing.world import EPOCH, World
from waybill_runtime.work import Work

ORDER_ID = "ord_x"


def placed(token: str = "tok_approve", *, price_minor: int = 255) -> capture.OrderPlaced:
    return capture.OrderPlaced(
        order_id=ORDER_ID,
        external_ref=None,
        channel="web",
        currency="GBP",
        customer_ref=None,
        recipient_ref="rcp_x",
        country_code="GB",
        locale="en",
        lines=(
            capture.OrderLine(
                line_id="ln_1", sku="A", name="A", quantity=6, unit_price_minor=price_minor
            ),
        ),
        shipping=capture.ShippingChoice(option="standard", price_minor=495),
        payment=capture.PaymentChoice(method="card", token=token),
        total_minor=6 * price_minor + 495,
        allow_partial=False,
        tracking_token_hash="h",
        expires_at=EPOCH + timedelta(minutes=15),
    )


RESERVED = capture.OrderReserved(order_id=ORDER_ID, reservation_id="res_x", allocations=())
CANCELLED = capture.OrderCancelled(order_id=ORDER_ID, reason="customer_request")


def cancelled(quantity: int) -> capture.OrderLinesCancelled:
    parts = (LineQuantity(line_id="ln_1", sku="A", quantity=quantity),)
    return capture.OrderLinesCancelled(order_id=ORDER_ID, reason="short_pick", lines=parts)


def shipped(number: int, quantity: int) -> fulfillment.ShipmentDispatched:
    return fulfillment.ShipmentDispatched(
        fulfillment_order_id=f"ffo_x-{number}",
        order_id=ORDER_ID,
        shipment_id=f"shp_x-{number}",
        location="main",
        carrier="c",
        service="standard",
        packages=(),
        lines=(LineQuantity(line_id="ln_1", sku="A", quantity=quantity),),
    )


class Payments:
    """One payment service: facts go in, the gateway is called, events come out."""

    def __init__(self, lie: Callable[[str, str], Lie] = lambda _, __: Lie.NONE) -> None:
        self.on = World().infrastructure("payment")
        self.gateway = MemoryGateway(self.on.clock, lie)
        self._version = 0

    async def hear(self, *events: Event) -> None:
        batch = []
        for event in events:
            self._version += 1
            topic = "fulfillment" if isinstance(event, fulfillment.ShipmentDispatched) else "orders"
            recorded = world.recorded(
                event, stream="s", version=self._version, topic=topic, key=ORDER_ID
            )
            batch.append(Incoming(recorded, event))
        async with self.on.store.transaction() as transaction:
            work = Work(transaction, now=self.on.store.now(), ids=self.on.ids)
            await service.on_events(work, batch)
            await work.flush()

    async def run_for(self, seconds: float) -> None:
        runner = JobRunner(
            service="payment",
            timers={service.EXPIRE: service.expire},
            effects=service.effects(self.gateway, self.on.ids),
            store=self.on.store,
            ids=self.on.ids,
            stopping=self.on.stopping,
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(runner.run())
            await asyncio.sleep(seconds)
            running.cancel()

    async def events(self) -> list[Recorded]:
        name = str(StreamId("default", "payment", ORDER_ID))
        async with self.on.store.reading() as reading:
            return list((await reading.streams.load([name], lock=False))[name].events)

    async def types(self) -> list[str]:
        return [type(codec.decode(recorded)).__name__ for recorded in await self.events()]

    def ledger(self) -> list[tuple[str, str, int]]:
        return [(e.operation, e.outcome, e.amount_minor) for e in self.gateway.ledger]


def test_an_order_is_authorised_then_captured_per_shipment() -> None:
    async def story() -> None:
        payments = Payments()
        await payments.hear(placed(), RESERVED)
        await payments.run_for(1)
        await payments.hear(shipped(1, 4))
        await payments.run_for(1)
        await payments.hear(shipped(2, 2))
        await payments.run_for(1)

        assert payments.ledger() == [
            ("authorize", "approved", 2025),
            ("capture", "approved", 1515),
            ("capture", "approved", 510),
        ]
        assert (await payments.types())[-3:] == [
            "CaptureDue",
            "CaptureRequested",
            "PaymentCaptured",
        ]

    world.simulate(1, story())


def test_a_cancelled_order_gets_its_money_back() -> None:
    async def story() -> None:
        payments = Payments()
        await payments.hear(placed(), RESERVED)
        await payments.run_for(1)
        await payments.hear(CANCELLED)
        await payments.run_for(1)

        assert payments.ledger() == [("authorize", "approved", 2025), ("void", "approved", 2025)]
        assert (await payments.types())[-1] == "PaymentVoided"

    world.simulate(1, story())
