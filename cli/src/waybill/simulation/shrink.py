"""The smallest set of faults that still fails a day: delta debugging (Zeller, Hildebrandt 2002)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

from waybill.simulation.day import Result, simulate

T = TypeVar("T")

RUNS_MAX = 80


@dataclass(frozen=True, slots=True)
class Shrunk(Generic[T]):
    """What is left, and how many runs it took; `is_minimal`: leaving out any one no longer fails.

    Not minimal, the runs ran out.
    """

    left: Sequence[T]
    runs: int
    is_minimal: bool


def ddmin(
    items: Sequence[T], fails: Callable[[Sequence[T]], bool], *, runs_max: int = RUNS_MAX
) -> Shrunk[T]:
    """Cut `items`, which fail together, down to a part that fails; `fails` is asked so often."""
    left: Sequence[T] = items
    parts, runs = 1, 0
    while left:
        for candidate, parts_then in _candidates(left, parts):
            if runs == runs_max:
                return Shrunk(left, runs, is_minimal=False)
            runs += 1
            if fails(candidate):
                left, parts = candidate, parts_then
                break
        else:
            if parts >= len(left):
                break
            parts = min(parts * 2, len(left))
    return Shrunk(left, runs, is_minimal=True)


def _candidates(items: Sequence[T], parts: int) -> Iterator[tuple[Sequence[T], int]]:
    """Each part alone, then all without each part; and how many parts to make of one that fails.

    One part is the whole: what is tried then is nothing at all.
    """
    bounds = [len(items) * at // parts for at in range(parts + 1)]
    places = list(pairwise(bounds))
    if parts > 1:
        yield from ((items[a:b], min(2, b - a)) for a, b in places)
    if parts != 2:  # of two parts, each is what is left without the other
        yield from (([*items[:a], *items[b:]], max(parts - 1, 1)) for a, b in places)


def headlines(result: Result) -> set[str]:
    """What kinds of violations a day had; faults that found no moment are none of the system's."""
    return {text.partition(":")[0] for text in result.violations} - {UNSTRUCK}


UNSTRUCK = "unstruck"


def shrink(
    failed: Result, *, orders: int, faults: int | None, runs_max: int = RUNS_MAX
) -> Shrunk[int]:
    """The numbers of the fewest faults with which this seed's day is violated in the same way."""
    wanted = headlines(failed)

    def fails(numbers: Sequence[int]) -> bool:
        again = simulate(failed.seed, orders=orders, faults=faults, only=numbers)
        return bool(headlines(again) & wanted)

    return ddmin(failed.numbers, fails, runs_max=runs_max)
