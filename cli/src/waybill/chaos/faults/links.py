"""Connections through our proxies cut, slowed, and deaf in one direction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from waybill.chaos.ground import Ground, dice
from waybill.chaos.plan import Fault

DELAY_S = (0.02, 0.4)


@asynccontextmanager
async def cut(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """Every connection is reset, and new ones are refused until it heals."""
    link = ground.house.links[fault.target]
    link.refuses = True
    try:
        yield f"{link.cut()} connections reset"
    finally:
        link.refuses = False


@asynccontextmanager
async def slow(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """Each chunk comes later, both ways."""
    link = ground.house.links[fault.target]
    link.delay_s = round(dice(fault).uniform(*DELAY_S), 3)
    try:
        yield f"{link.delay_s} s each way"
    finally:
        link.delay_s = 0.0


@asynccontextmanager
async def black_hole(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """One direction carries nothing; connections stay open, half of them in vain."""
    link = ground.house.links[fault.target]
    drawn = dice(fault)
    direction = drawn.choice(("out", "back"))
    link.hear(frozenset({"out" if direction == "out" else "back"}))
    try:
        yield f"{direction} of {link.connections} connections"
    finally:
        link.hear(frozenset())
        if drawn.random() < 0.5:
            link.cut()
