"""Laws over any sequence: the counters of a SKU, and reservations together with stock."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from inventory import service
from inventory.decider import commands, holding, reservation, stock
from inventory.decider.commands import Considered
from inventory.decider.ledger import Ledger
from inventory.decider.reservation import ShippedUnheld
from inventory.decider.stock import Level
from waybill_events import codec, inventory
from waybill_events.event import Event, LineQuantity
from waybill_events.inventory import GiveUpReason, StockMove

LOCATIONS = ("main", "north")
SKUS = ("A", "B")
START = datetime(2026, 1, 1, tzinfo=UTC)
locations = st.sampled_from(LOCATIONS)
quantities = st.integers(1, 6)
KINDS: Sequence[stock.Kind] = (
    "hold",
    "allocate",
    "release_held",
    "release_allocated",
    "consume",
)


def check(level: Level) -> None:
    assert min(level.on_hand, level.held, level.allocated, level.available) >= 0


class StockMachine(RuleBasedStateMachine):
    """Any commands on one SKU, sensible or not."""

    def __init__(self) -> None:
        super().__init__()
        self.state = stock.INITIAL
        self.on_hand: Counter[str] = Counter()
        self.armed: dict[str, bool] = {}

    def run(self, command: stock.Command) -> Sequence[Event]:
        try:
            events = stock.decide(command, self.state)
        except (stock.UnitsPromised, stock.BooksBroken):
            return ()
        for event in events:
            before = self.state
            self.state = stock.evolve(self.state, event)
            if isinstance(event, inventory.ReorderSuggested):
                assert self.armed[event.location], "a breach is suggested once"
                self.armed[event.location] = False
            for level in self.state.locations.values():
                check(level)
            assert codec.encode(event)
            assert before is not self.state
        for location, level in self.state.locations.items():
            if level.reorder is None or level.available > level.reorder.point:
                self.armed[location] = True
        return events

    @rule(location=locations, quantity=quantities)
    def receive(self, location: str, quantity: int) -> None:
        self.run(stock.Receive(sku="A", location=location, quantity=quantity, reference="r"))
        self.on_hand[location] += quantity

    @rule(location=locations, delta=st.integers(-6, 6))
    def adjust(self, location: str, delta: int) -> None:
        if self.run(stock.Adjust(sku="A", location=location, delta=delta, reason="r")):
            self.on_hand[location] += delta

    @rule(location=locations, counted=st.integers(0, 12))
    def count(self, location: str, counted: int) -> None:
        command = stock.Count(sku="A", location=location, counted=counted, reference="r")
        for event in self.run(command):
            if isinstance(event, inventory.StockCounted):
                self.on_hand[location] += event.counted - event.expected

    @rule(location=locations, point=st.integers(0, 4), quantity=quantities)
    def set_reorder_point(self, location: str, point: int, quantity: int) -> None:
        self.armed.setdefault(location, True)
        command = stock.SetReorderPoint(sku="A", location=location, point=point, quantity=quantity)
        self.run(command)
        assert not self.run(command)

    @rule(kind=st.sampled_from(KINDS), units=st.lists(st.tuples(locations, quantities), min_size=1))
    def move(self, kind: stock.Kind, units: list[tuple[str, int]]) -> None:
        moves = tuple(
            StockMove(reservation_id=f"res_{n}", line_id="ln_1", location=place, quantity=quantity)
            for n, (place, quantity) in enumerate(units)
        )
        if self.run(stock.Move(sku="A", kind=kind, moves=moves)) and kind == "consume":
            for place, quantity in units:
                self.on_hand[place] -= quantity

    @invariant()
    def what_came_less_what_went_is_on_hand(self) -> None:
        for location in LOCATIONS:
            assert self.state.at(location).on_hand == self.on_hand[location]

    @invariant()
    def the_snapshot_is_the_state(self) -> None:
        adapter = service.STOCK.snapshot
        assert adapter is not None
        assert adapter.validate_json(adapter.dump_json(self.state)) == self.state


class BooksMachine(RuleBasedStateMachine):
    """Orders interleaved in batches of any size, against the ledger that the service uses."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.stocks: dict[str, stock.Stock] = dict.fromkeys(SKUS, stock.INITIAL)
        self.orders: dict[str, holding.State] = {}
        self.batch: list[tuple[str, commands.Command]] = []
        self.on_hand: Counter[tuple[str, str]] = Counter()

    def write(self, sku: str, command: stock.Command) -> None:
        for event in stock.decide(command, self.stocks[sku]):
            self.stocks[sku] = stock.evolve(self.stocks[sku], event)
            for level in self.stocks[sku].locations.values():
                check(level)

    def decide(self, ledger: Ledger[None], order: str, command: commands.Command) -> int:
        considered = Considered(
            command=command, now=self.now, shelf=ledger.shelf, hold_grace=timedelta(seconds=60)
        )
        state = self.orders.get(order, holding.INITIAL)
        try:
            events = reservation.decide(considered, state)
        except ShippedUnheld:
            return 0
        for event in events:
            ledger.note(holding.movements(state, event), None)
            self._expect(event)
            after = holding.evolve(state, event)
            assert after != state, "every fact changes something"
            state = after
        self.orders[order] = state
        return len(events)

    def _expect(self, event: Event) -> None:
        if isinstance(event, inventory.ReservationConsumed):
            for part in event.consumed:
                self.on_hand[part.sku, part.location] -= part.quantity
        if isinstance(event, inventory.ReservationReleased) and event.reason == "short_pick":
            for part in event.released:
                self.on_hand[part.sku, part.location] -= part.quantity

    @rule(sku=st.sampled_from(SKUS), location=locations, quantity=quantities)
    def receive(self, sku: str, location: str, quantity: int) -> None:
        self.apply()
        self.write(sku, stock.Receive(sku=sku, location=location, quantity=quantity, reference="r"))
        self.on_hand[sku, location] += quantity

    @rule(
        order=st.integers(0, 5),
        lines=st.lists(st.tuples(st.sampled_from(SKUS), quantities), min_size=1, max_size=3),
        allow_partial=st.booleans(),
    )
    def place(self, order: int, lines: list[tuple[str, int]], allow_partial: bool) -> None:
        wanted = tuple(
            LineQuantity(line_id=f"ln_{n}", sku=sku, quantity=quantity)
            for n, (sku, quantity) in enumerate(lines)
        )
        command = commands.Hold(
            order_id=f"ord_{order}",
            lines=wanted,
            allow_partial=allow_partial,
            order_expires_at=self.now,
        )
        self.batch.append((f"ord_{order}", command))

    @rule(
        order=st.integers(0, 5),
        command=st.sampled_from(
            [commands.Confirm(), commands.Release(reason="cancelled"), commands.Expire()]
        ),
    )
    def settle(self, order: int, command: commands.Command) -> None:
        self.batch.append((f"ord_{order}", command))

    @rule(
        order=st.integers(0, 5),
        kind=st.sampled_from(["ship", "refuse", "short_pick", "fulfillment_cancelled"]),
        location=locations,
        number=st.integers(1, 3),
        parts=st.lists(
            st.tuples(st.integers(0, 2), st.sampled_from(SKUS), quantities), min_size=1, max_size=3
        ),
    )
    def fulfill(
        self,
        order: int,
        kind: GiveUpReason | Literal["ship", "refuse"],
        location: str,
        number: int,
        parts: list[tuple[int, str, int]],
    ) -> None:
        lines = tuple(
            LineQuantity(line_id=f"ln_{n}", sku=sku, quantity=quantity)
            for n, (sku, quantity) in {part[0]: part[1:] for part in parts}.items()
        )
        command: commands.Command
        if kind == "ship":
            command = commands.Consume(shipment_id=f"shp_{number}", location=location, lines=lines)
        elif kind == "refuse":
            command = commands.Resource(
                fulfillment_order_id=f"ffo_{number}", location=location, lines=lines
            )
        else:
            command = commands.GiveUp(
                fulfillment_order_id=f"ffo_{number}", location=location, reason=kind, lines=lines
            )
        self.batch.append((f"ord_{order}", command))

    @rule(seconds=st.sampled_from([1, 30, 61]))
    def pass_time(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def apply(self) -> None:
        """What `service.decide` does with a batch, each command told twice in a row."""
        ledger: Ledger[None] = Ledger(self.stocks, {"main": 1})
        for order, command in self.batch:
            self.decide(ledger, order, command)
            assert self.decide(ledger, order, command) == 0, "the same command adds nothing"
        for written, _ in ledger.commands():
            self.write(written.sku, written)
        for sku in SKUS:
            for location, units in ledger.shelf.available[sku].items():
                assert self.stocks[sku].at(location).available == units
        self.batch.clear()

    @invariant()
    def reservations_and_stock_agree(self) -> None:
        if self.batch:
            return
        held: Counter[tuple[str, str]] = Counter()
        allocated: Counter[tuple[str, str]] = Counter()
        for state in self.orders.values():
            if isinstance(state, holding.Held | holding.Allocated):
                sums = held if isinstance(state, holding.Held) else allocated
                for unit in state.units:
                    sums[unit.sku, unit.location] += unit.quantity
        for sku in SKUS:
            for location in LOCATIONS:
                level = self.stocks[sku].at(location)
                assert level.held == held[sku, location]
                assert level.allocated == allocated[sku, location]
                assert level.on_hand == self.on_hand[sku, location]


TestStock = StockMachine.TestCase
TestStock.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBooks = BooksMachine.TestCase
TestBooks.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
