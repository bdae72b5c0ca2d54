"""The hunt for one bug: seed after seed of the simulator, until an oracle names what it breaks."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import situations
from bugs import Bug
from waybill_runtime.clock import SystemClock

SEEDS = int(os.environ.get("PLANTED_SEEDS", "8"))
"""Days that a bug may take to be found."""
EVIDENCE = Path(__file__).parents[2] / "docs/evidence/planted-bugs.json"


@dataclass(frozen=True, slots=True)
class Caught:
    """How a bug was found: by which oracles or case, at which seed, after how long."""

    by: Sequence[str]
    first: str
    seed: int | None
    duration_s: float


def hunt(bug: Bug) -> Caught | None:
    """Days with the bug in them until an oracle that it must break names it; None if none does."""
    clock = SystemClock()
    begun_s = clock.monotonic_s()
    for seed in _seeds(bug.id):
        with bug.planted():
            found = situations.violated(situations.live(seed, bug.situation))
        if found.keys() & set(bug.breaks):
            first = next(found[guarantee][0] for guarantee in bug.breaks if guarantee in found)
            duration_s = clock.monotonic_s() - begun_s
            return Caught(sorted(found, key=_number), first, seed, duration_s)
    return None


@cache
def without(seed: int, situation: str) -> Sequence[str]:
    """What is wrong with the same day when nothing is planted: nothing, or the hunt is void."""
    quiet = situations.live(seed, situation)
    broken = [f"{g}: {said[0]}" for g, said in situations.violated(quiet).items()]
    unchecked = [f"{f.guarantee} is {f.verdict}" for f in quiet.findings if f.verdict != "holds"]
    return [*broken, *unchecked]


def _seeds(id_: str) -> Sequence[int]:
    """The seed that the last long hunt needed goes first, however high it is, then the others."""
    known: list[int] = []
    if EVIDENCE.exists():
        caught = json.loads(EVIDENCE.read_text())["details"].get(id_, {}).get("caught")
        known = [caught["seed"]] if caught and caught["seed"] is not None else []
    return [*known, *(seed for seed in range(SEEDS) if seed not in known)]


def _number(guarantee: str) -> int:
    return int(guarantee.removeprefix("I"))
