"""The plan of a run: which fault when, on what, for how long. The same seed draws the same plan."""

# ruff: noqa: S311, TID251  what a proof draws, it draws from its seed
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

OVERLAPPING = 0.3
"""How many of the faults last into those after them, on purpose."""
QUIET_START_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What may be drawn: its targets, how long it lasts, how often it comes beside the others."""

    name: str
    targets: Sequence[str]
    lasts_s: tuple[float, float] = (0.0, 0.0)
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault as planned. `seed` is for what it has to draw itself."""

    number: int
    at_s: float
    kind: str
    target: str
    lasts_s: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a run has to come to; fewer is a failure, so that no run passes empty."""

    minutes: float
    orders: int
    faults: int
    kinds: int
    at_least: Mapping[str, int] = field(default_factory=dict)


def draw(
    seed: int, kinds: Sequence[Kind], *, duration_s: float, count: int, first: int = 1
) -> Sequence[Fault]:
    """`count` faults over the time given, numbered from `first`; every kind comes in turn.

    Each has a slot of the time, and ends within it unless it was drawn to overlap.
    """
    dice = random.Random(f"{seed}:{first}")
    slot_s = max(0.0, duration_s - QUIET_START_S) / max(1, count)
    deck: list[Kind] = []
    faults = []
    for place in range(count):
        if not deck:
            deck = _deck(dice, kinds)
        kind = deck.pop()
        low_s, high_s = kind.lasts_s
        overlaps = dice.random() < OVERLAPPING
        most_s = high_s if overlaps else max(low_s, min(high_s, slot_s * 0.7))
        faults.append(
            Fault(
                number=first + place,
                at_s=round(QUIET_START_S + slot_s * (place + 0.3 * dice.random()), 3),
                kind=kind.name,
                target=dice.choice(kind.targets),
                lasts_s=round(dice.uniform(low_s, max(low_s, most_s)), 3),
                seed=dice.getrandbits(32),
            )
        )
    return faults


def _deck(dice: random.Random, kinds: Sequence[Kind]) -> list[Kind]:
    """Every kind once, and the heavier ones as often as they weigh, shuffled."""
    deck = [kind for kind in kinds for _ in range(max(1, round(kind.weight)))]
    dice.shuffle(deck)
    # Dealt from the end: whatever the weights, a short run meets each kind before any twice.
    once = list({kind.name: kind for kind in deck}.values())
    rest = list(deck)
    for kind in once:
        rest.remove(kind)
    return rest + once
