"""The only place of the sandboxes that reads a clock or draws chance."""

import random  # noqa: TID251 - the sandboxes' one source of chance
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

T = TypeVar("T")


def now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this is the clock


def monotonic_s() -> float:
    """Seconds since some fixed moment; never goes back."""
    return time.monotonic()  # noqa: TID251 - this is the clock


def stamp(moment: datetime) -> str:
    """A moment as it stands in ledgers and bodies: ISO 8601 in UTC, microseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read(text: str) -> datetime:
    """The moment that `stamp` wrote.

    Raises:
        ValueError: the text is no ISO 8601 time.
    """
    return datetime.fromisoformat(text)


class Dice:
    """One seeded source of chance: the same seed and the same calls give the same numbers."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - lies, not secrets

    def roll(self) -> float:
        """The next number in [0, 1)."""
        return self._random.random()

    def draw(self, chances: Mapping[T, float]) -> T | None:
        """At most one of these by one roll, each as often as it says; what is left of 1 is none."""
        left = self.roll()
        for one, chance in chances.items():
            left -= chance
            if left < 0:
                return one
        return None
