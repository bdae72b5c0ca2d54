"""A plan of faults as it unfolds: which are due, which have struck, which windows are open."""

from collections import Counter, deque
from collections.abc import Callable, Sequence

from waybill.simulation.faults import KINDS, Fault
from waybill_runtime.bus import Partition
from waybill_runtime.testing.seeded_loop import SeededLoop

OPERATOR = "operator"
ANYWHERE = "anywhere"


class Weather:
    """One day's faults. Nothing strikes before it `begins` and after it `heals`."""

    def __init__(self, loop: SeededLoop, plan: Sequence[Fault]) -> None:
        self._loop = loop
        self._waiting: dict[tuple[str, str], deque[Fault]] = {}
        self._away: dict[str, float] = {}
        self._opened_s = 0.0
        self._is_on = False
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
        """What still waits for one service may now strike at whichever comes to its moment."""
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
        return sorted(
            (fault for queue in self._waiting.values() for fault in queue),
            key=lambda fault: fault.number,
        )

    def waited_for(self, moment: str) -> Sequence[str]:
        """Where something is still to strike at such a moment."""
        return [
            target for (when, target), queue in self._waiting.items() if when == moment and queue
        ]

    def for_operator(self) -> Sequence[Fault]:
        """What strikes at its time, in order."""
        found = [f for (moment, _), q in self._waiting.items() if moment == OPERATOR for f in q]
        return sorted(found, key=lambda fault: (fault.at_s, fault.number))

    def take(self, moment: str, target: str) -> Fault | None:
        """The fault that strikes at this moment, if one is due there or anywhere."""
        if not self._is_on:
            return None
        for where in (target, ANYWHERE):
            queue = self._waiting.get((moment, where))
            if queue and queue[0].at_s <= self.at_s:
                fault = queue.popleft()
                self._note(fault, target)
                return fault
        return None

    def strike(self, fault: Fault) -> None:
        """An operator's fault strikes now."""
        self._waiting[OPERATOR, fault.target].remove(fault)
        self._note(fault, fault.target)

    def _note(self, fault: Fault, target: str) -> None:
        self.struck[fault.kind] += 1
        line = f"{self.at_s:9.3f} s  {fault.kind} · {target} ({fault.number})"
        self.log.append(line)
        self._loop.note(line)

    def close(self, what: str, seconds: float) -> None:
        """`what` is away for so long from now."""
        self._away[what] = max(self._away.get(what, 0.0), self._loop.time() + seconds)

    def is_away(self, what: str) -> bool:
        return bool(self._away) and self._loop.time() < self._away.get(what, 0.0)


def _nobody(node: str, seconds: float) -> None:
    raise AssertionError(f"nobody kills {node}")
