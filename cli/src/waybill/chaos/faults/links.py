"""Connections through our proxies cut, slowed, and deaf in one direction.

What a fault did is what the proxy counted: one that cut, delayed or held back nothing has not
struck.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from waybill.chaos.ground import Ground, NotStruck, dice
from waybill.chaos.plan import Fault
from waybill.chaos.proxy import Direction

DELAY_S = (0.02, 0.4)


@asynccontextmanager
async def cut(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """Every connection is reset, and new ones are refused until it heals."""
    link = ground.house.links[fault.target]
    before = link.told.reset + link.told.refused
    with link.refusing():
        yield f"{link.cut()} connections reset"
    if link.told.reset + link.told.refused == before:
        raise NotStruck(f"{fault.target} had no connection, and none was asked for")


@asynccontextmanager
async def slow(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """Each chunk comes later, both ways."""
    link = ground.house.links[fault.target]
    delay_s = round(dice(fault).uniform(*DELAY_S), 3)
    before = link.told.late
    with link.slowed(delay_s):
        yield f"{delay_s} s each way"
    if link.told.late == before:
        raise NotStruck(f"nothing went over {fault.target}")


@asynccontextmanager
async def black_hole(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """One direction carries nothing; connections stay open, half of them in vain."""
    link = ground.house.links[fault.target]
    drawn = dice(fault)
    direction: Direction = "out" if drawn.choice(("out", "back")) == "out" else "back"
    before = link.told.held_back
    with link.deaf(direction):
        yield f"{direction} of {link.connections} connections"
    struck = link.told.held_back > before
    if drawn.random() < 0.5:
        link.cut()
    if not struck:
        raise NotStruck(f"nothing came {direction} of {fault.target}")
