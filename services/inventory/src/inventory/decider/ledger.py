"""A batch's books: reservations are decided against it one by one, each SKU is written to once.

Moves of one kind are gathered into one run per SKU, so that a hot SKU costs one event and not one
for each order. A move joins an earlier run only where no counter can tell the difference.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from inventory.decider import stock
from inventory.decider.holding import Movement, MovementKind
from inventory.decider.sourcing import Shelf
from waybill_events.inventory import SHORT_PICK, StockMove

MOVES_MAX = 1_000
"""Most moves in one event, so that it stays far below what a bus takes as one message."""

_AVAILABLE = {"hold": -1, "release_held": 1, "release_allocated": 1, "write_off": -1}

W = TypeVar("W")


@dataclass(slots=True)
class _Run(Generic[W]):
    kind: MovementKind
    why: W
    moves: list[StockMove] = field(default_factory=list)
    reservations: set[str] = field(default_factory=set)


class Ledger(Generic[W]):
    """What is available while a batch is decided, and the moves it has made. `W` is a cause."""

    def __init__(
        self, stocks: Mapping[str, stock.Stock], priorities: Mapping[str, int] | None = None
    ) -> None:
        self._available = {
            sku: {location: level.available for location, level in known.locations.items()}
            for sku, known in stocks.items()
        }
        self._runs: dict[str, list[_Run[W]]] = {}
        self.shelf = Shelf(self._available, priorities or {})
        """Shows every movement noted so far."""

    def note(self, movements: Iterable[Movement], why: W) -> None:
        """Book movements that were decided against `shelf`, in order."""
        for movement in movements:
            move, kind = movement.move, movement.kind
            if change := _AVAILABLE.get(kind, 0) * move.quantity:
                places = self._available[movement.sku]
                places[move.location] = places.get(move.location, 0) + change
            run = self._run_for(movement, why)
            run.moves.append(move)
            run.reservations.add(move.reservation_id)

    def _run_for(self, movement: Movement, why: W) -> _Run[W]:
        runs = self._runs.setdefault(movement.sku, [])
        for run in reversed(runs):
            if run.kind == movement.kind and len(run.moves) < MOVES_MAX:
                return run
            if not _may_pass(movement, run):
                break
        runs.append(_Run(movement.kind, why))
        return runs[-1]

    def commands(self) -> Iterator[tuple[stock.Command, W]]:
        """The runs as commands, each SKU's in the order they must be decided in.

        A run's cause is the first one's; its moves name every reservation.
        """
        for sku, runs in self._runs.items():
            for run in runs:
                for command in _commands(sku, run.kind, run.moves):
                    yield command, run.why


def _may_pass(movement: Movement, run: _Run[W]) -> bool:
    """Whether the movement may be booked before this run instead of after it.

    Not before its own reservation's earlier moves, and no hold before a release, whose units it
    may need. Nothing else takes from what another one needs.
    """
    return movement.move.reservation_id not in run.reservations and not (
        movement.kind == "hold" and run.kind.startswith("release")
    )


def _commands(sku: str, kind: MovementKind, moves: Sequence[StockMove]) -> Iterator[stock.Command]:
    if kind == "write_off":
        missing: dict[str, int] = {}
        for move in moves:
            missing[move.location] = missing.get(move.location, 0) + move.quantity
        for location, quantity in missing.items():
            yield stock.Adjust(sku=sku, location=location, delta=-quantity, reason=SHORT_PICK)
        return
    yield stock.Move(sku=sku, kind=kind, moves=tuple(moves))
