"""What the audience sees: orders by state, the pace, and the last events in plain words."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

LAST = 12
STATES: Mapping[str, str] = {
    "placed": "placed, waiting for stock and payment",
    "confirmed": "confirmed, in the warehouse",
    "shipped": "on the way",
    "completed": "delivered, paid and closed",
    "rejected": "refused",
    "cancelled": "cancelled",
    "expired": "expired",
}
ENDED = frozenset({"completed", "rejected", "cancelled", "expired"})
_STYLE = {"completed": "green", "rejected": "red", "cancelled": "yellow", "expired": "red"}


class Board:
    """Holds what is known of each order, by its number."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._said: dict[int, str] = {}
        self._last: deque[Text] = deque(maxlen=LAST)
        self.states: dict[int, str] = {}

    @property
    def ended(self) -> int:
        return sum(state in ENDED for state in self.states.values())

    def placed(self, number: int, story: str) -> str:
        """A buyer came."""
        self.states[number] = "placed"
        return self._say(number, story, "dim")

    def seen(self, number: int, view: Mapping[str, Any]) -> str | None:
        """What the customer sees now; the words, if they are new."""
        order = view["order"]
        state = order["status"]
        if state == "confirmed" and view["shipments"]:
            state = "shipped"
        self.states[number] = state
        words = f"{order['headline']} · {order['payment']}"
        if self._said.get(number) == words:
            return None
        self._said[number] = words
        return self._say(number, words, _STYLE.get(state, ""))

    def _say(self, number: int, words: str, style: str) -> str:
        line = f"order {number:>2}  {words}"
        self._last.append(Text(line, style=style, no_wrap=True, overflow="ellipsis"))
        return line

    def render(self, elapsed_s: float) -> RenderableType:
        """The whole of it at one moment."""
        counts = Counter(self.states.values())
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(justify="right", style="bold")
        table.add_column()
        for state, words in STATES.items():
            if counts[state]:
                table.add_row(str(counts[state]), Text(words, style=_STYLE.get(state, "")))
        rate = self.ended / elapsed_s if elapsed_s else 0.0
        head = Text(
            f"{len(self.states)} of {self._total} orders placed, {self.ended} ended, "
            f"{rate:.1f}/s, {elapsed_s:.0f} s",
            style="bold",
        )
        return Group(head, Text(), table, Text(), *self._last)
