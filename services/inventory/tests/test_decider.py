"""The rules of stock, reservations, sourcing and the ledger, told as given, when, then."""

from datetime import UTC, datetime, timedelta

import pytest

from inventory.decider import commands, holding, reservation, sourcing, stock
from inventory.decider.commands import Considered
from inventory.decider.holding import Movement, MovementKind
from inventory.decider.ledger import MOVES_MAX, Ledger
from inventory.decider.sourcing import Shelf
from inventory.decider.stock import Level, Reorder
from waybill_events import inventory
from waybill_events.event import Allocation, LineQuantity
from waybill_events.inventory import StockLevel, StockMove
from waybill_runtime.testing.spec import Spec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STOCK = Spec(stock.decide, stock.evolve, stock.INITIAL)
RESERVATION = Spec(reservation.decide, holding.evolve, holding.INITIAL)
NO_REASON = inventory.SourcingDecision(rule="r", candidates=(), chosen=())


def on_hand(quantity: int) -> inventory.StockReceived:
    level = StockLevel(location="main", on_hand=quantity, held=0, allocated=0)
    return inventory.StockReceived(
        sku="A", location="main", quantity=quantity, reference="PO", levels=(level,)
    )


def hold(quantity: int) -> stock.Move:
    move = StockMove(reservation_id="res_1", line_id="ln_1", location="main", quantity=quantity)
    return stock.Move(sku="A", kind="hold", moves=(move,))


def point(at: int) -> stock.SetReorderPoint:
    return stock.SetReorderPoint(sku="A", location="main", point=at, quantity=50)


def suggested(available: int) -> inventory.ReorderSuggested:
    return inventory.ReorderSuggested(
        sku="A", location="main", available=available, reorder_point=5, quantity=50
    )


def test_more_than_is_available_is_never_held() -> None:
    STOCK.given(on_hand(5)).when(hold(6)).then_raises(stock.BooksBroken)


def test_promised_units_cannot_be_adjusted_away() -> None:
    adjust = stock.Adjust(sku="A", location="main", delta=-2, reason="lost")
    STOCK.given(on_hand(5)).after(hold(4)).when(adjust).then_raises(stock.UnitsPromised)


def test_a_breach_is_suggested_once_until_available_rises_above_the_point() -> None:
    low = STOCK.given(on_hand(7)).after(point(5)).after(hold(2))
    assert low.history[-1] == suggested(5)
    lower = low.after(hold(1))
    assert not isinstance(lower.history[-1], inventory.ReorderSuggested)
    risen = lower.after(stock.Receive(sku="A", location="main", quantity=2, reference="PO"))
    assert risen.state.at("main").reorder == Reorder(point=5, quantity=50)
    assert risen.after(hold(2)).history[-1] == suggested(4)


def test_a_point_set_twice_says_nothing_new() -> None:
    expected = inventory.ReorderPointSet(
        sku="A", location="main", reorder_point=5, reorder_quantity=50
    )
    STOCK.given(on_hand(7)).when(point(5)).then(expected)
    STOCK.given(on_hand(5)).when(point(5)).then(expected, suggested(5))


def ask(command: commands.Command, *, now: datetime = NOW, **available: int) -> Considered:
    shelf = Shelf({"A": available}, {"main": 1, "north": 2})
    return Considered(command=command, now=now, shelf=shelf, hold_grace=timedelta(seconds=60))


def line(quantity: int, line_id: str = "ln_1") -> LineQuantity:
    return LineQuantity(line_id=line_id, sku="A", quantity=quantity)


def units(quantity: int, location: str = "main") -> tuple[Allocation, ...]:
    return (Allocation(line_id="ln_1", sku="A", location=location, quantity=quantity),)


def reserved(quantity: int) -> inventory.StockReserved:
    return inventory.StockReserved(
        reservation_id="res_1",
        order_id="ord_1",
        allocations=units(quantity),
        shortages=(),
        expires_at=NOW + timedelta(seconds=60),
        sourcing=NO_REASON,
    )


CONFIRMED = inventory.ReservationConfirmed(
    reservation_id="res_1", order_id="ord_1", allocations=units(3)
)
EXPIRED = inventory.ReservationExpired(reservation_id="res_1", order_id="ord_1", released=units(3))


def place(quantity: int, *, allow_partial: bool = False) -> commands.Hold:
    return commands.Hold(
        order_id="ord_1", lines=(line(quantity),), allow_partial=allow_partial, order_expires_at=NOW
    )


def test_a_hold_that_cannot_be_whole_is_rejected_unless_part_is_allowed() -> None:
    (rejected,) = RESERVATION.when(ask(place(3), main=2)).events
    assert isinstance(rejected, inventory.StockReservationRejected)
    (partial,) = RESERVATION.when(ask(place(3, allow_partial=True), main=2)).events
    assert isinstance(partial, inventory.StockReserved)
    assert [(s.requested, s.available) for s in partial.shortages] == [(3, 2)]
    (nothing,) = RESERVATION.when(ask(place(3, allow_partial=True), main=0)).events
    assert isinstance(nothing, inventory.StockReservationRejected)


def test_a_hold_expires_at_its_deadline_and_not_before() -> None:
    held = RESERVATION.given(reserved(3))
    held.when(ask(commands.Expire(), now=NOW + timedelta(seconds=59))).then_nothing()
    held.when(ask(commands.Expire(), now=NOW + timedelta(seconds=60))).then(EXPIRED)
    held.given(CONFIRMED).when(ask(commands.Expire(), now=NOW + timedelta(days=9))).then_nothing()


def test_what_is_still_held_or_allocated_is_released_with_the_order() -> None:
    released = inventory.ReservationReleased(
        reservation_id="res_1", order_id="ord_1", reason="payment_declined", released=units(3)
    )
    release = ask(commands.Release(reason="payment_declined"))
    RESERVATION.given(reserved(3)).when(release).then(released)
    RESERVATION.given(reserved(3), CONFIRMED).when(release).then(released)
    RESERVATION.given(reserved(3), EXPIRED).when(release).then_nothing()


def test_a_shipment_of_more_than_is_allocated_is_refused_loudly() -> None:
    ship = commands.Consume(shipment_id="shp_1", location="main", lines=(line(4),))
    allocated = RESERVATION.given(reserved(3), CONFIRMED)
    allocated.when(ask(ship, main=9)).then_raises(reservation.ShippedUnheld)
    RESERVATION.when(ask(ship, main=9)).then_raises(reservation.ShippedUnheld)


def test_a_refused_location_is_never_chosen_again() -> None:
    def refuse(number: int, location: str) -> commands.Resource:
        return commands.Resource(
            fulfillment_order_id=f"ffo_1-{number}", location=location, lines=(line(3),)
        )

    moved = RESERVATION.given(reserved(3), CONFIRMED).after(ask(refuse(1, "main"), north=3))
    assert isinstance(moved.state, holding.Allocated)
    assert moved.state.units == units(3, "north")
    (again,) = moved.when(ask(refuse(2, "north"), main=9, north=0)).events
    assert isinstance(again, inventory.ReservationResourced)
    assert again.allocations == ()
    assert [(s.requested, s.available) for s in again.shortages] == [(3, 0)]


def test_a_refusal_is_answered_though_the_stock_was_lost_before() -> None:
    """Else fulfillment would wait for ever for where the refused units come from instead."""
    refuse = commands.Resource(fulfillment_order_id="ffo_1-1", location="main", lines=(line(3),))
    late = ask(commands.Confirm(), main=0)
    gone = RESERVATION.given(reserved(3), EXPIRED).after(late)
    (answer,) = gone.when(ask(refuse, main=9, north=9)).events
    assert isinstance(answer, inventory.ReservationResourced)
    assert answer.allocations == ()
    assert [(s.requested, s.available) for s in answer.shortages] == [(3, 0)]
    assert holding.movements(gone.state, answer) == ()
    gone.after(ask(refuse)).when(ask(refuse)).then_nothing()


def source(quantity: int, **available: int) -> list[tuple[str, int]]:
    shelf = Shelf({"A": available}, {"main": 1, "north": 2})
    found = sourcing.source([line(quantity)], shelf)
    return [(part.location, part.quantity) for part in found.allocations]


def test_the_fewest_locations_win_over_a_better_priority() -> None:
    assert source(5, main=3, north=2, zoo=5) == [("zoo", 5)]


def test_among_as_few_the_best_priority_wins_then_the_name() -> None:
    assert source(5, north=5, main=5) == [("main", 5)]
    assert source(5, zoo=5, abbey=5) == [("abbey", 5)]
    assert source(5, zoo=5, north=5) == [("north", 5)]


def test_beyond_the_exact_search_all_that_is_there_is_still_found() -> None:
    many = {f"place{n:02}": 1 for n in range(sourcing.EXACT_MAX + 5)}
    assert sum(quantity for _, quantity in source(13, **many)) == 13
    assert source(3, **many, big=3) == [("big", 3)]


def note(*steps: tuple[str, MovementKind], available: int) -> list[tuple[str, list[str]]]:
    """The runs a ledger makes of these, each as its kind and its reservations."""
    level = Level(on_hand=available + 100, held=50, allocated=50)
    ledger: Ledger[None] = Ledger({"A": stock.Stock(locations={"main": level})})
    for reservation_id, kind in steps:
        move = StockMove(reservation_id=reservation_id, line_id="ln_1", location="main", quantity=1)
        ledger.note([Movement("A", kind, move)], None)
    return [
        (command.kind, [move.reservation_id for move in command.moves])
        for command, _ in ledger.commands()
        if isinstance(command, stock.Move)
    ]


def test_moves_of_one_kind_are_one_run_whatever_lies_between() -> None:
    steps: list[tuple[str, MovementKind]] = [
        ("old1", "allocate"),
        ("new1", "hold"),
        ("old2", "allocate"),
        ("new2", "hold"),
    ]
    assert note(*steps, available=2) == [
        ("allocate", ["old1", "old2"]),
        ("hold", ["new1", "new2"]),
    ]


def test_a_hold_never_goes_before_the_release_it_may_need() -> None:
    steps: list[tuple[str, MovementKind]] = [
        ("new1", "hold"),
        ("old1", "release_held"),
        ("new2", "hold"),
    ]
    assert note(*steps, available=1) == [
        ("hold", ["new1"]),
        ("release_held", ["old1"]),
        ("hold", ["new2"]),
    ]


def test_a_reservations_own_moves_keep_their_order() -> None:
    steps: list[tuple[str, MovementKind]] = [
        ("old1", "allocate"),
        ("new1", "hold"),
        ("new1", "allocate"),
    ]
    assert note(*steps, available=1) == [
        ("allocate", ["old1"]),
        ("hold", ["new1"]),
        ("allocate", ["new1"]),
    ]


def test_a_run_has_an_end() -> None:
    steps: list[tuple[str, MovementKind]] = [(f"r{n}", "hold") for n in range(MOVES_MAX + 1)]
    assert [len(names) for _, names in note(*steps, available=MOVES_MAX + 1)] == [MOVES_MAX, 1]


@pytest.mark.parametrize("event", [CONFIRMED, EXPIRED])
def test_a_fact_without_a_reservation_changes_nothing(
    event: inventory.ReservationConfirmed | inventory.ReservationExpired,
) -> None:
    assert holding.evolve(holding.INITIAL, event) == holding.INITIAL
    assert holding.movements(holding.INITIAL, event) == ()
