"""A plan of faults as it unfolds: which are due, which have struck, which windows are open.

A fault has struck when it had its effect, and not before: whoever takes one holds a `Strike`, which
notes what in fact came of it, and puts it back for the next chance where nothing did.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NoReturn, Self, TypeVar

from waybill.simulation.faults import KINDS, Fault
from waybill_runtime.bus import Partition
from waybill_runtime.testing.seeded_loop import NODE, SeededLoop

OPERATOR = "operator"
ANYWHERE = "anywhere"

E = TypeVar("E", bound=Exception)


class Strike:
    """A fault in the hand of its site, for one try: as a context, it ends with the block."""

    def __init__(self, weather: "Weather", loop: SeededLoop, fault: Fault, where: str) -> None:
        self.fault = fault
        self.kind = fault.kind
        self.amount = fault.amount
        self.where = where
        self.node = NODE.get()
        """Which simulated process holds it: its death ends the try."""
        self.has_struck = False
        self._weather = weather
        self._loop = loop
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None and error is self._error:
            self.did(1, "refused")
        self._weather.put_back(self)

    def did(self, count: float, what: str) -> None:
        """So much came of it, as its site saw; nothing at all is no effect."""
        if count and not self.has_struck:
            self.has_struck = True
            self._weather.note(self, f"{count:g} {what}")

    def refusing(self, error: E) -> E:
        """Raise this, as what it does: its effect is that it leaves the block."""
        self._error = error
        return error

    async def late(self) -> None:
        """Hold the caller up for as long as it says."""
        begun_s = self._loop.time()
        try:
            await asyncio.sleep(self.amount)
        finally:  # whoever does not wait so long was late as well
            self.did(self._loop.time() - begun_s, "s late")

    async def dies(self, node: str) -> NoReturn:
        """Kill the node here: whoever of it awaits this never goes on."""
        self._weather.kill(node, self.amount)
        self.did(self._loop.is_dead(node), "dead")
        await self._loop.create_future()
        raise AssertionError("the dead do not go on")


class Weather:
    """One day's faults. Nothing strikes before it `begins` and after it `heals`."""

    def __init__(self, loop: SeededLoop, plan: Sequence[Fault]) -> None:
        self._loop = loop
        self._waiting: dict[tuple[str, str], deque[Fault]] = {}
        self._in_hand: dict[Strike, None] = {}
        self._away: dict[str, list[Strike]] = {}
        self._opened_s = 0.0
        self._is_on = False
        self._is_loose = False
        self.planned = len(plan)
        self.struck: Counter[str] = Counter()
        self.log: list[str] = []
        self.unreadable: dict[tuple[str, str], float] = {}
        self.foreign: set[tuple[Partition, int]] = set()
        """Where messages stand that no service wrote."""
        self.kill: Callable[[str, float], None] = _nobody
        for fault in plan:
            moment = KINDS[fault.kind].moment
            self._waiting.setdefault((moment, fault.target), deque()).append(fault)

    def begins(self) -> None:
        self._opened_s, self._is_on = self._loop.time(), True

    def heals(self) -> None:
        self._is_on = False
        self._away.clear()
        self.unreadable.clear()

    def loosen(self) -> None:
        """What still waits for one service may now strike at whichever comes to its moment.

        What the dead held waits again, too.
        """
        self._is_loose = True
        for strike in list(self._in_hand):
            if self._loop.is_dead(strike.node):
                self.put_back(strike)
        for (moment, target), queue in list(self._waiting.items()):
            if moment != OPERATOR and target != ANYWHERE and queue:
                self._waiting.setdefault((moment, ANYWHERE), deque()).extend(queue)
                queue.clear()

    @property
    def at_s(self) -> float:
        """Seconds since it began."""
        return self._loop.time() - self._opened_s

    @property
    def left(self) -> Sequence[Fault]:
        """What has not struck."""
        held = [strike.fault for strike in self._in_hand]
        waiting = [fault for queue in self._waiting.values() for fault in queue]
        return sorted([*held, *waiting], key=lambda fault: fault.number)

    @property
    def wants_more(self) -> bool:
        """Whether something is left that nothing under way may come to."""
        closed = (strike for strikes in self._away.values() for strike in strikes)
        return any(self._waiting.values()) or any(not strike.has_struck for strike in closed)

    def waited_for(self, moment: str) -> Sequence[str]:
        """Where something is still to strike at such a moment."""
        return [
            target for (when, target), queue in self._waiting.items() if when == moment and queue
        ]

    def for_operator(self) -> Sequence[Fault]:
        """What strikes at its time, in order."""
        found = [f for (moment, _), q in self._waiting.items() if moment == OPERATOR for f in q]
        return sorted(found, key=lambda fault: (fault.at_s, fault.number))

    def take(self, moment: str, target: str) -> Strike | None:
        """The fault that strikes at this moment, if one is due there or anywhere."""
        if not self._is_on:
            return None
        for where in (target, ANYWHERE):
            queue = self._waiting.get((moment, where))
            if queue and queue[0].at_s <= self.at_s:
                return self._hand_out(queue.popleft(), target)
        return None

    def seize(self, fault: Fault) -> Strike:
        """An operator's fault strikes now."""
        self._waiting[OPERATOR, fault.target].remove(fault)
        return self._hand_out(fault, fault.target)

    def _hand_out(self, fault: Fault, where: str) -> Strike:
        strike = Strike(self, self._loop, fault, where)
        self._in_hand[strike] = None
        return strike

    def note(self, strike: Strike, effect: str) -> None:
        """It had this effect: it has struck."""
        fault = strike.fault
        if strike not in self._in_hand:
            return
        del self._in_hand[strike]
        self.struck[fault.kind] += 1
        line = f"{self.at_s:9.3f} s  {fault.kind} · {strike.where} ({fault.number}): {effect}"
        self.log.append(line)
        self._loop.note(line)

    def put_back(self, strike: Strike) -> None:
        """The try is over; what had no effect strikes at the next chance."""
        if strike not in self._in_hand:
            return
        del self._in_hand[strike]
        fault, moment = strike.fault, KINDS[strike.kind].moment
        target = ANYWHERE if self._is_loose and moment != OPERATOR else fault.target
        self._waiting.setdefault((moment, target), deque()).appendleft(fault)
        self._loop.note(f"{self.at_s:9.3f} s  {fault.kind} ({fault.number}) missed")

    def close(self, what: str, strike: Strike) -> None:
        """`what` is away until it is opened."""
        self._away.setdefault(what, []).append(strike)

    def open(self, what: str, strike: Strike) -> None:
        """`what` is back, unless something else keeps it away."""
        if what in self._away:
            self._away[what].remove(strike)
            if not self._away[what]:
                del self._away[what]

    def is_away(self, what: str) -> bool:
        return what in self._away

    def refusal(self, what: str, error: E) -> E:
        """Raise this where `what` is asked for while it is away: that is the effect."""
        for strike in self._away[what]:
            strike.did(1, "refused")
        return error


def _nobody(node: str, seconds: float) -> None:
    raise AssertionError(f"nobody kills {node}")
