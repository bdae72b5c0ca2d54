"""Keeps the books of stock: decides a batch of orders at once, and what people tell of shelves.

Every path locks reservations first and stock after them, each in sorted order and one statement,
so that no two replicas wait for each other. Under those locks nothing is promised twice (I3).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import TypeAdapter

from inventory import bodies, due, reactor
from inventory.decider import commands, holding, reservation, stock
from inventory.decider.commands import Considered
from inventory.decider.ledger import Ledger
from inventory.decider.sourcing import Shelf
from waybill_events.envelope import StreamId
from waybill_runtime.consumer import Incoming
from waybill_runtime.decider import Decider, Intent
from waybill_runtime.http.problem import FieldError, Refused
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.store import Transaction
from waybill_runtime.work import Asked, Cause, Work, caused_by

SPINE = "orders"

RESERVATION: Decider[Considered, holding.State] = Decider(
    category="reservation",
    topic="inventory",
    initial=holding.INITIAL,
    decide=reservation.decide,
    evolve=holding.evolve,
    key=lambda event: event.order_id,
    follow=due.follow,
)

STOCK: Decider[stock.Command, stock.Stock] = Decider(
    category="stock",
    topic="stock",
    initial=stock.INITIAL,
    decide=stock.decide,
    evolve=stock.evolve,
    key=lambda event: event.sku,
    snapshot=TypeAdapter(stock.Stock),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command for one order's reservation, and why it is asked."""

    order_id: str
    command: commands.Command
    cause: Cause


class Reservations:
    """What orders and warehouses want of stock."""

    def __init__(
        self, on: Infrastructure, *, priorities: Mapping[str, int], hold_grace_s: int
    ) -> None:
        self._on = on
        self._priorities = priorities
        self._grace = timedelta(seconds=hold_grace_s)

    async def on_events(self, work: Work, batch: Sequence[Incoming]) -> None:
        """Decide what a batch means, with two reads however many orders there are in it."""
        # The order's own stream is the spine: what it says goes before what others say of it.
        ordered = sorted(batch, key=lambda incoming: incoming.recorded.topic != SPINE)
        requests = [
            Request(
                order_id=order_id,
                command=command,
                cause=caused_by(incoming.recorded, "inventory"),
            )
            for incoming in ordered
            for order_id, command in reactor.react(incoming.event)
        ]
        await self.decide(work, requests, work.now)

    async def decide(self, work: Work, requests: Sequence[Request], now: datetime) -> None:
        """Decide these in order against one ledger, then move each SKU's units at once."""
        await work.load(RESERVATION, [request.order_id for request in requests])
        asked = [(request, self._considered(request, now, Shelf({}))) for request in requests]
        skus = {
            sku
            for request, considered in asked
            for sku in reservation.skus(considered, work.state(RESERVATION, request.order_id))
        }
        await work.load(STOCK, skus)
        ledger: Ledger[Cause] = Ledger(
            {sku: work.state(STOCK, sku) for sku in sorted(skus)}, self._priorities
        )
        for request in requests:
            self._reserve(work, request, self._considered(request, now, ledger.shelf), ledger)
        for command, cause in ledger.commands():
            work.execute(Intent(STOCK, command.sku, command), cause)

    def _considered(self, request: Request, now: datetime, shelf: Shelf) -> Considered:
        return Considered(command=request.command, now=now, shelf=shelf, hold_grace=self._grace)

    @staticmethod
    def _reserve(
        work: Work, request: Request, considered: Considered, ledger: Ledger[Cause]
    ) -> None:
        state = work.state(RESERVATION, request.order_id)
        intent = Intent(RESERVATION, request.order_id, considered)
        for event in work.execute(intent, request.cause):
            ledger.note(holding.movements(state, event), request.cause)
            state = RESERVATION.evolve(state, event)


class Shelves:
    """What people tell and ask of stock."""

    def __init__(self, on: Infrastructure) -> None:
        self._on = on

    async def receive(
        self, transaction: Transaction, asked: Asked, body: bodies.Receipt
    ) -> bodies.Booked:
        """Book a delivery.

        Raises:
            Refused: 409, more than a shelf is counted to.
        """
        told: list[stock.Command] = [
            stock.Receive(
                sku=line.sku,
                location=body.location,
                quantity=line.quantity,
                reference=body.reference,
            )
            for line in body.lines
        ]
        return await self._book(transaction, asked, body.location, told, "quantity")

    async def adjust(
        self, transaction: Transaction, asked: Asked, body: bodies.Adjustment
    ) -> bodies.Booked:
        """Correct what is on hand.

        Raises:
            Refused: 409, it would leave less than is held or allocated.
        """
        told: list[stock.Command] = [
            stock.Adjust(sku=line.sku, location=body.location, delta=line.delta, reason=body.reason)
            for line in body.lines
        ]
        return await self._book(transaction, asked, body.location, told, "delta")

    async def count(
        self, transaction: Transaction, asked: Asked, body: bodies.Counting
    ) -> bodies.Booked:
        """Set what is on hand to what was counted.

        Raises:
            Refused: 409, less was counted than is held or allocated.
        """
        told: list[stock.Command] = [
            stock.Count(
                sku=line.sku,
                location=body.location,
                counted=line.counted,
                reference=body.reference,
            )
            for line in body.lines
        ]
        return await self._book(transaction, asked, body.location, told, "counted")

    async def _book(
        self,
        transaction: Transaction,
        asked: Asked,
        location: str,
        told: Sequence[stock.Command],
        field: str,
    ) -> bodies.Booked:
        """All of the lines or none; SKUs are locked in one statement, in sorted order."""
        work = self._work(transaction, asked)
        skus = {command.sku for command in told}
        await work.load(STOCK, skus)
        for number, command in enumerate(told):
            with _refusing(f"/lines/{number}/{field}"):
                work.execute(Intent(STOCK, command.sku, command), asked.cause)
        await work.flush()
        return bodies.Booked(
            location=location,
            lines=[
                bodies.BookedLine.of(
                    sku, work.state(STOCK, sku).at(location), work.version(STOCK, sku)
                )
                for sku in sorted(skus)
            ],
        )

    async def version(self, transaction: Transaction, tenant: str, sku: str) -> int:
        """The version of a SKU's stock; 0 for one never heard of. Locks it until the end."""
        name = str(StreamId(tenant, STOCK.category, sku))
        return (await transaction.streams.load([name], lock=True))[name].version

    async def set_reorder_point(
        self,
        transaction: Transaction,
        asked: Asked,
        sku: str,
        location: str,
        body: bodies.SetReorderPoint,
    ) -> bodies.ReorderPoint:
        """From which availability down to suggest buying, and how much."""
        work = self._work(transaction, asked)
        await work.load(STOCK, [sku])
        command = stock.SetReorderPoint(
            sku=sku, location=location, point=body.reorder_point, quantity=body.reorder_quantity
        )
        work.execute(Intent(STOCK, sku, command), asked.cause)
        await work.flush()
        reorder = work.state(STOCK, sku).at(location).reorder
        return bodies.ReorderPoint.of(sku, location, reorder, work.version(STOCK, sku))

    async def read(self, tenant: str, sku: str) -> tuple[bodies.StockView, int]:
        """A SKU's counters as they stand, with their version.

        Raises:
            Refused: 404, nothing was ever told of it.
        """
        state, version = await self._state(tenant, sku)
        if not version:
            raise Refused(
                404, "not-found", f"There is no stock of {sku!r}. Book a receipt of it first."
            )
        return bodies.StockView.of(sku, state, version), version

    async def availability(self, tenant: str, sku: str, quantity: int) -> bodies.Availability:
        """Whether so many are available now; a promise only once an order holds them."""
        state, _ = await self._state(tenant, sku)
        return bodies.Availability.of(sku, quantity, state)

    async def _state(self, tenant: str, sku: str) -> tuple[stock.Stock, int]:
        async with self._on.store.reading() as reading:
            work = Work(reading, now=self._on.store.now(), ids=self._on.ids, tenant=tenant)
            await work.load(STOCK, [sku], lock=False)
            state: stock.Stock = work.state(STOCK, sku)
            return state, work.version(STOCK, sku)

    def _work(self, transaction: Transaction, asked: Asked) -> Work:
        return Work(transaction, now=self._on.store.now(), ids=self._on.ids, tenant=asked.tenant)


@contextmanager
def _refusing(pointer: str) -> Iterator[None]:
    """Turn what the rules will not book into a 409 that names the field and the remedy."""
    try:
        yield
    except stock.UnitsPromised as error:
        detail = (
            f"{error.sku} at {error.location}: so many are held or allocated: {error.promised}, "
            f"and only {error.on_hand} would be on hand. Cancel orders or wait for them to ship, "
            f"then book the rest; now at least {error.promised} must stay."
        )
        raise Refused(
            409, "units-promised", detail, errors=[FieldError(pointer=pointer, detail=detail)]
        ) from error
    except stock.TooManyUnits as error:
        detail = f"{error}. Book fewer."
        raise Refused(
            409, "too-many-units", detail, errors=[FieldError(pointer=pointer, detail=detail)]
        ) from error
