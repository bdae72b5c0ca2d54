"""Payments end to end on the memory store, under virtual time, against the memory gateway."""

import asyncio
import random
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from payment import due, service, timers
from payment.adapters.gateway_memory import Lie, MemoryGateway
from payment.effects import Caller
from waybill_events import capture, codec, fulfillment
from waybill_events.envelope import Recorded, StreamId
from waybill_events.event import Event, LineQuantity
from waybill_runtime.testing import orders, world
from waybill_runtime.testing.working import hand, run_jobs
from waybill_runtime.testing.world import World

ORDER_ID = "ord_x"
APPROVE = "tok_approve"


def placed(token: str = APPROVE, *, price_minor: int = 255) -> capture.OrderPlaced:
    return orders.placed(
        orders.line(1, 6, price_minor),
        shipping_minor=495,
        payment=capture.PaymentChoice(method="card", token=token),
    )


RESERVED = capture.OrderReserved(order_id=ORDER_ID, reservation_id="res_x", allocations=())
CANCELLED = capture.OrderCancelled(order_id=ORDER_ID, reason="customer_request")


def cancelled(quantity: int) -> capture.OrderLinesCancelled:
    parts = (LineQuantity(line_id="ln_1", sku="A", quantity=quantity),)
    return capture.OrderLinesCancelled(
        order_id=ORDER_ID, reason="short_pick", source="ffo_x-1", lines=parts
    )


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
            batch.append(
                world.recorded(event, stream="s", version=self._version, topic=topic, key=ORDER_ID)
            )
        await hand(self.on, service.on_events, *batch)

    async def run_for(self, seconds: float) -> None:
        caller = Caller(self.gateway, self.on.ids)
        await run_jobs(
            self.on,
            seconds,
            timers={due.EXPIRE: timers.expire},
            effects=dict.fromkeys(due.CALLS, caller.call),
        )

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


def test_an_order_refused_while_the_gateway_thinks_is_voided_when_it_approves() -> None:
    async def story() -> None:
        payments = Payments()
        await payments.hear(placed("tok_pending"), RESERVED, CANCELLED)
        await payments.run_for(5)

        assert payments.ledger() == [("authorize", "approved", 2025), ("void", "approved", 2025)]
        assert (await payments.types())[-3:] == [
            "PaymentAuthorized",
            "VoidRequested",
            "PaymentVoided",
        ]

    world.simulate(1, story())


@pytest.mark.parametrize(
    "token", ["tok_timeout_after_charge", "tok_timeout_before_charge", "tok_stored_error"]
)
def test_an_unknown_outcome_is_said_once_and_resolved_without_charging_twice(token: str) -> None:
    async def story() -> None:
        payments = Payments()
        await payments.hear(placed(token), RESERVED)
        await payments.run_for(5)

        assert payments.ledger() == [("authorize", "approved", 2025)]
        assert await payments.types() == [
            "PaymentInitiated",
            "AuthorizationRequested",
            "PaymentOutcomeUnknown",
            "PaymentAuthorized",
        ]

    with capture_logs() as lines:
        world.simulate(1, story())
    told = {(line["kind"], line["order_id"]) for line in lines if line["event"].endswith("back")}
    assert told == {("payment.authorize", ORDER_ID)}


def test_a_decline_for_good_is_said_at_once() -> None:
    async def story() -> None:
        payments = Payments()
        await payments.hear(placed("tok_decline"), RESERVED)
        await payments.run_for(1)

        assert (await payments.types())[1:] == ["AuthorizationRequested", "PaymentDeclined"]

    world.simulate(1, story())


def test_a_decline_that_may_turn_is_tried_again_under_new_keys_and_then_believed() -> None:
    async def story() -> None:
        payments = Payments()
        await payments.hear(placed("tok_try_again_later"), RESERVED)
        await payments.run_for(30)

        assert [entry.idempotency_key for entry in payments.gateway.ledger] == [
            "ord_x:authorize:1",
            "ord_x:authorize:2",
            "ord_x:authorize:3",
        ]
        assert (await payments.types())[-1] == "PaymentDeclined"

    world.simulate(1, story())


def test_an_expired_authorisation_is_asked_for_again_while_money_is_needed() -> None:
    async def story() -> None:
        payments = Payments()
        await payments.hear(placed("tok_expires_fast"), RESERVED)
        await payments.run_for(6)
        await payments.hear(shipped(1, 6))
        await payments.run_for(1)

        assert payments.ledger() == [
            ("authorize", "approved", 2025),
            ("authorize", "approved", 2025),
            ("capture", "approved", 2025),
        ]
        assert "AuthorizationExpired" in await payments.types()

    world.simulate(1, story())


def test_a_capture_that_comes_too_late_is_made_under_a_new_authorisation() -> None:
    async def story() -> None:
        payments = Payments()
        await payments.hear(placed("tok_expires_fast"), RESERVED)
        await payments.run_for(1)
        await asyncio.sleep(60)  # the worker was down
        await payments.hear(shipped(1, 6))
        await payments.run_for(5)

        assert payments.ledger()[-1] == ("capture", "approved", 2025)
        assert (await payments.types())[-1] == "PaymentCaptured"

    world.simulate(1, story())


def test_what_does_not_ship_is_let_go_after_a_part_was_captured() -> None:
    async def story() -> None:
        payments = Payments()
        await payments.hear(placed(), RESERVED)
        await payments.run_for(1)
        await payments.hear(shipped(1, 4), cancelled(2))
        await payments.run_for(1)

        assert payments.ledger()[1:] == [("capture", "approved", 1515), ("void", "approved", 510)]

    world.simulate(1, story())


def test_an_order_that_costs_nothing_is_authorised_without_the_gateway() -> None:
    async def story() -> None:
        payments = Payments()
        free = placed(price_minor=0)
        await payments.hear(
            free.model_copy(
                update={"shipping": capture.ShippingChoice(option="standard", price_minor=0)}
            ),
            RESERVED,
        )
        await payments.run_for(1)
        await payments.hear(shipped(1, 6))
        await payments.run_for(1)

        assert payments.ledger() == []
        assert await payments.types() == ["PaymentInitiated", "PaymentAuthorized", "CaptureDue"]

    world.simulate(1, story())


def test_a_call_older_than_its_key_is_looked_up_and_asked_anew_once_it_proved_undone() -> None:
    async def story() -> None:
        payments = Payments()
        await payments.hear(placed(), RESERVED)
        await asyncio.sleep(20 * 3600)  # the worker was down for most of a day
        await payments.run_for(60)
        assert payments.ledger() == []
        assert (await payments.types())[-1] == "AuthorizationRequested"
        await payments.run_for(3600 + 60)

        assert [entry.idempotency_key for entry in payments.gateway.ledger] == ["ord_x:authorize:2"]

    world.simulate(1, story())


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_gateway_lies_about_each_order_is_charged_once(seed: int) -> None:
    """The mix of reliability F13: 30 % lost answers, 10 % lost requests, 5 % stored errors."""
    dice = random.Random(seed)

    def lie(_: str, __: str) -> Lie:
        weights = {Lie.LOST_ANSWER: 30, Lie.LOST_REQUEST: 10, Lie.STORED_ERROR: 5, Lie.NONE: 55}
        return dice.choices(list(weights), list(weights.values()))[0]

    async def story() -> None:
        payments = Payments(lie)
        orders = [f"ord_{number}" for number in range(40)]
        for order_id in orders:
            await payments.hear(*(e.model_copy(update={"order_id": order_id}) for e in _PLACED))
        await payments.run_for(120)
        for number, order_id in enumerate(orders):
            ends = CANCELLED if number % 4 == 0 else shipped(number, 6)
            await payments.hear(ends.model_copy(update={"order_id": order_id}))
        await payments.run_for(120)

        net = {
            order_id: [
                (entry.operation, entry.amount_minor)
                for entry in payments.gateway.ledger
                if entry.idempotency_key.startswith(f"{order_id}:") and entry.outcome == "approved"
            ]
            for order_id in orders
        }
        for number, order_id in enumerate(orders):
            end = ("void", 2025) if number % 4 == 0 else ("capture", 2025)
            assert net[order_id] == [("authorize", 2025), end], order_id

    world.simulate(seed, story())


_PLACED = (placed(), RESERVED)
