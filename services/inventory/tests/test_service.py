"""Reservations on the memory store: batches, races between topics, deadlines."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta

from inventory import due, timers
from inventory.decider import stock
from inventory.service import STOCK, Reservations
from waybill_events import capture, codec, fulfillment, inventory
from waybill_events.envelope import Recorded
from waybill_events.event import Allocation, Event, LineQuantity
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.testing import orders
from waybill_runtime.testing.working import decide, hand, run_jobs
from waybill_runtime.testing.world import EPOCH, World, recorded, simulate
from waybill_runtime.work import Work

TTL = timedelta(seconds=900)


def placed(
    order: str, *quantities: int, sku: str = "A", allow_partial: bool = False
) -> capture.OrderPlaced:
    lines = [orders.line(number, each, 100, sku=sku) for number, each in enumerate(quantities, 1)]
    return orders.placed(*lines, order_id=order, allow_partial=allow_partial)


def confirmed(order: capture.OrderPlaced, location: str = "main") -> capture.OrderConfirmed:
    held = [
        Allocation(line_id=x.line_id, sku=x.sku, location=location, quantity=x.quantity)
        for x in order.lines
    ]
    return orders.confirmed(order, *held)


def parts(order: capture.OrderPlaced, quantity: int | None = None) -> tuple[LineQuantity, ...]:
    return tuple(
        LineQuantity(line_id=x.line_id, sku=x.sku, quantity=quantity or x.quantity)
        for x in order.lines
    )


def dispatched(order: capture.OrderPlaced, location: str = "main") -> Event:
    return fulfillment.ShipmentDispatched(
        fulfillment_order_id="ffo_x-1",
        order_id=order.order_id,
        shipment_id="shp_x-1",
        location=location,
        carrier="post",
        service="standard",
        packages=(),
        lines=parts(order),
    )


def rejected(order: capture.OrderPlaced, location: str = "main") -> Event:
    return fulfillment.FulfillmentRejected(
        fulfillment_order_id="ffo_x-1",
        order_id=order.order_id,
        location=location,
        reason="closed",
        lines=parts(order),
    )


def short(order: capture.OrderPlaced, missing: int) -> Event:
    return fulfillment.ShortPicked(
        fulfillment_order_id="ffo_x-1",
        order_id=order.order_id,
        location="main",
        missing=parts(order, missing),
    )


def cancelled(order: capture.OrderPlaced) -> Event:
    return fulfillment.FulfillmentCancelled(
        fulfillment_order_id="ffo_x-1",
        order_id=order.order_id,
        location="main",
        reason="customer_request",
        lines=parts(order),
    )


class Books:
    """Inventory on one memory store, told events and asked what it made of them."""

    def __init__(self) -> None:
        self.on: Infrastructure = World().infrastructure("inventory")
        self.reservations = Reservations(
            self.on, priorities={"main": 1, "north": 2}, hold_grace_s=60
        )
        self._seen: list[str] = []

    async def receive(self, quantity: int, location: str = "main", sku: str = "A") -> None:
        await self._run(
            stock.Receive(sku=sku, location=location, quantity=quantity, reference="PO-1")
        )

    async def _run(self, command: stock.Command) -> None:
        await decide(self.on, STOCK, command.sku, command)

    async def tell(self, *events: Event) -> Sequence[Event]:
        """One batch; answers what was recorded because of it, in the order it was committed."""
        batch = [self._recorded(event) for event in events]
        await hand(self.on, self.reservations.on_events, *batch)
        return await self.news()

    @staticmethod
    def _recorded(event: Event) -> Recorded:
        topic = "orders" if event.TYPE.startswith("capture.") else "fulfillment"
        return recorded(event, stream="default/order/x", version=1, topic=topic)

    async def news(self) -> Sequence[Event]:
        """What was recorded since the last time."""
        async with self.on.store.reading() as reading:
            rows = await reading.streams.unpublished(100_000)
        fresh = [row.event for row in rows if row.event.event_id not in self._seen]
        self._seen += [event.event_id for event in fresh]
        return [codec.decode(event) for event in fresh]

    async def level(self, location: str = "main", sku: str = "A") -> tuple[int, int, int]:
        async with self.on.store.reading() as reading:
            work = Work(reading, now=EPOCH, ids=self.on.ids)
            await work.load(STOCK, [sku], lock=False)
        at = work.state(STOCK, sku).at(location)
        return at.on_hand, at.held, at.allocated

    async def run_jobs(self, seconds: float) -> None:
        await run_jobs(self.on, seconds, timers={due.EXPIRE: timers.expiring(self.reservations)})


def told(story: Callable[[Books], Coroutine[None, None, None]]) -> Callable[[], None]:
    """A test that runs this story on fresh books, under virtual time."""

    async def main() -> None:
        await story(Books())

    return lambda: simulate(1, main())


def kinds(events: Sequence[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


@told
async def test_an_order_goes_from_held_to_consumed(books: Books) -> None:
    order = placed("ord_x", 6)
    await books.receive(10)
    await books.tell(order)
    assert await books.level() == (10, 6, 0)
    await books.tell(confirmed(order))
    assert await books.level() == (10, 0, 6)
    await books.tell(dispatched(order))
    assert await books.level() == (4, 0, 0)


@told
async def test_a_batch_of_orders_for_one_sku_writes_to_it_once(books: Books) -> None:
    await books.receive(10)
    await books.news()
    events = await books.tell(*[placed(f"ord_{n:03}", 1) for n in range(200)])
    names = kinds(events)
    assert names.count("StockHeld") == 1
    assert names.count("StockReserved") == 10
    assert names.count("StockReservationRejected") == 190
    (held,) = [event for event in events if isinstance(event, inventory.StockHeld)]
    assert [move.reservation_id for move in held.moves] == [f"res_{n:03}" for n in range(10)]
    assert await books.level() == (10, 10, 0)


@told
async def test_a_mixed_batch_writes_one_event_of_each_kind_to_a_hot_sku(books: Books) -> None:
    old = [placed(f"ord_old{n}", 1) for n in range(20)]
    await books.receive(50)
    await books.tell(*old)
    mixed: list[Event] = []
    for number, order in enumerate(old):
        mixed += [confirmed(order), placed(f"ord_new{number}", 1)]
    names = kinds(await books.tell(*mixed))
    assert names.count("StockHeld") == 1
    assert names.count("StockAllocated") == 1
    assert await books.level() == (50, 20, 20)


@told
async def test_units_released_in_a_batch_can_be_held_by_a_later_order_in_it(books: Books) -> None:
    first, second = placed("ord_a", 1), placed("ord_b", 1)
    await books.receive(1)
    await books.tell(first)
    events = await books.tell(
        capture.OrderCancelled(order_id="ord_a", reason="customer_request"), second
    )
    assert kinds(events) == [
        "ReservationReleased",
        "StockReserved",
        "StockReleased",
        "StockHeld",
    ]
    assert await books.level() == (1, 1, 0)


@told
async def test_the_same_batch_again_adds_nothing(books: Books) -> None:
    order = placed("ord_x", 6)
    await books.receive(10)
    batch = [order, confirmed(order), short(order, 2), dispatched(placed("ord_x", 4))]
    assert await books.tell(*batch)
    assert await books.level() == (4, 0, 0)
    assert await books.tell(*batch) == []


@told
async def test_lines_of_one_sku_count_together(books: Books) -> None:
    await books.receive(5)
    await books.news()
    assert kinds(await books.tell(placed("ord_x", 3, 3))) == ["StockReservationRejected"]
    assert kinds(await books.tell(placed("ord_y", 3, 2))) == ["StockReserved", "StockHeld"]


@told
async def test_a_refused_location_is_replaced_and_what_is_missing_is_said(books: Books) -> None:
    order = placed("ord_x", 6)
    await books.receive(6, "main")
    await books.receive(4, "north")
    await books.tell(order, confirmed(order))
    events = await books.tell(rejected(order))
    (said,) = [e for e in events if isinstance(e, inventory.ReservationResourced)]
    assert [(a.location, a.quantity) for a in said.allocations] == [("north", 4)]
    assert [(s.requested, s.available) for s in said.shortages] == [(6, 4)]
    assert [(c.location, c.excluded) for c in said.sourcing.candidates] == [
        ("main", "refused"),
        ("north", None),
    ]
    assert await books.level("main") == (6, 0, 0)
    assert await books.level("north") == (4, 0, 4)


@told
async def test_a_short_pick_takes_the_missing_units_off_the_books(books: Books) -> None:
    order = placed("ord_x", 6)
    await books.receive(10)
    await books.tell(order, confirmed(order))
    events = await books.tell(short(order, 2))
    assert kinds(events) == ["ReservationReleased", "StockReleased", "StockAdjusted"]
    assert await books.level() == (8, 0, 4)


@told
async def test_a_cancelled_fulfillment_order_gives_its_units_back(books: Books) -> None:
    order = placed("ord_x", 6)
    await books.receive(10)
    await books.tell(order, confirmed(order))
    await books.tell(cancelled(order))
    assert await books.level() == (10, 0, 0)


@told
async def test_a_shipment_told_before_the_confirmation_confirms_and_consumes(books: Books) -> None:
    order = placed("ord_x", 6)
    await books.receive(10)
    await books.tell(order)
    events = await books.tell(dispatched(order))
    assert kinds(events)[:2] == ["ReservationConfirmed", "ReservationConsumed"]
    assert await books.tell(confirmed(order)) == []
    assert await books.level() == (4, 0, 0)


@told
async def test_within_a_batch_the_orders_own_facts_go_first(books: Books) -> None:
    order = placed("ord_x", 6)
    await books.receive(6)
    await books.tell(dispatched(order), order, confirmed(order))
    assert await books.level() == (0, 0, 0)


@told
async def test_a_hold_expires_a_grace_after_its_order_and_not_before(books: Books) -> None:
    await books.receive(6)
    await books.tell(placed("ord_x", 6))
    async with asyncio.TaskGroup() as group:
        group.create_task(books.run_jobs(965))
        await asyncio.sleep(955)
        assert await books.level() == (6, 6, 0)
    assert kinds(await books.news()) == ["ReservationExpired", "StockReleased"]
    assert await books.level() == (6, 0, 0)


@told
async def test_a_confirmed_hold_never_expires(books: Books) -> None:
    order = placed("ord_x", 6)
    await books.receive(6)
    await books.tell(order, confirmed(order))
    await books.run_jobs(2_000)
    assert await books.news() == []
    assert await books.level() == (6, 0, 6)


@told
async def test_a_late_confirmation_takes_the_same_units_again(books: Books) -> None:
    order = placed("ord_x", 6)
    await books.receive(6)
    await books.tell(order)
    await books.run_jobs(1_000)
    await books.news()
    assert kinds(await books.tell(confirmed(order))) == [
        "StockReserved",
        "ReservationConfirmed",
        "StockHeld",
        "StockAllocated",
    ]
    assert await books.level() == (6, 0, 6)


@told
async def test_a_late_confirmation_of_units_that_were_sold_is_rejected(books: Books) -> None:
    order, other = placed("ord_x", 6), placed("ord_y", 1)
    await books.receive(6)
    await books.receive(9, "north")
    await books.tell(order)
    await books.run_jobs(1_000)
    await books.tell(other)
    (said,) = await books.tell(confirmed(order))
    assert isinstance(said, inventory.StockReservationRejected)
    assert [(s.requested, s.available) for s in said.shortages] == [(6, 5)]
    assert said.sourcing.rule == "same_locations"
    assert await books.level() == (6, 1, 0)
