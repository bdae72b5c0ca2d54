"""Faults struck as planned, each logged with its times and target, some over one another."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from waybill.chaos.ground import Ground, NotStruck
from waybill.chaos.kinds import Striking
from waybill.chaos.plan import Fault
from waybill_runtime.clock import Clock

STRIKE_S = 300.0
"""The longest strike is a rebuild; whatever takes longer has not struck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """What became of one fault. Times are seconds since the segment began; `struck` says whether
    it counts.
    """

    number: int
    kind: str
    target: str
    planned_s: float
    struck_s: float
    healed_s: float
    struck: bool
    overlapped: bool
    note: str


class Conductor:
    """Carries out one plan."""

    def __init__(
        self, ground: Ground, kinds: Mapping[str, Striking], clock: Clock, log: Path
    ) -> None:
        self.done: list[Struck] = []
        self._overlapped: set[int] = set()
        self._ground = ground
        self._kinds = kinds
        self._clock = clock
        self._log = log
        self._begun_s = 0.0

    async def run(self, plan: Sequence[Fault], tell: Callable[[str], None]) -> None:
        """Strike each at its time; returns when all have healed."""
        self._begun_s = self._clock.monotonic_s()
        async with asyncio.TaskGroup() as group:
            for fault in plan:
                await asyncio.sleep(max(0.0, fault.at_s - self._now_s()))
                tell(f"fault {fault.number}: {fault.kind} {fault.target}")
                group.create_task(self._carry_out(fault))

    async def _carry_out(self, fault: Fault) -> None:
        begun_s = struck_s = self._now_s()
        note, struck = "", False
        self._begin(fault)
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(STRIKE_S):
                    strike = self._kinds[fault.kind].strike(self._ground, fault)
                    note = await stack.enter_async_context(strike)
                struck, struck_s = True, self._now_s()
                await asyncio.sleep(fault.lasts_s)
        except NotStruck as reason:
            # Found nothing to strike, or was found on leaving to have had no effect.
            note, struck = f"not struck: {reason}", False
        except TimeoutError:
            note = f"not struck within {STRIKE_S:.0f} s"
        finally:
            self._ground.end(fault)
        self._note(
            Struck(
                number=fault.number,
                kind=fault.kind,
                target=fault.target,
                planned_s=fault.at_s,
                struck_s=round(struck_s if struck else begun_s, 3),
                healed_s=round(self._now_s(), 3),
                struck=struck,
                overlapped=fault.number in self._overlapped,
                note=note,
            )
        )

    def _begin(self, fault: Fault) -> None:
        if self._ground.under_way:
            self._overlapped |= {fault.number, *self._ground.under_way}
        self._ground.begin(fault)

    def _note(self, struck: Struck) -> None:
        self.done.append(struck)
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(struck)) + "\n")

    def _now_s(self) -> float:
        return self._clock.monotonic_s() - self._begun_s
