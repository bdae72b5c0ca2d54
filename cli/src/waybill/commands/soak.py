"""`waybill soak`: load without faults, and whether anything grows."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from waybill import home as homes
from waybill import room, show
from waybill.commands.chaos import told
from waybill.commands.options import AnewFlag, EvidenceOption
from waybill.failure import FAILED
from waybill_runtime.clock import SystemClock

HOME = Path(".waybill-soak")


def soak(
    minutes: Annotated[float, typer.Option(min=0.2, max=6000, help="How long.")] = 60,
    rate: Annotated[
        float, typer.Option(min=0, help="Orders a second below which the run fails.")
    ] = 20,
    customers: Annotated[
        int, typer.Option(min=1, max=500, help="Orders under way at once; they make the rate.")
    ] = 40,
    seed: Annotated[int, typer.Option(help="What orders are drawn from.")] = 1,
    bus: Annotated[
        Literal["postgres", "kafka"], typer.Option(help="What carries events between services.")
    ] = "postgres",
    evidence: EvidenceOption = None,
    anew: AnewFlag = False,  # noqa: FBT002  a flag of the command line
    home: Annotated[Path, typer.Option(help="The system's own folder; new, or --anew.")] = HOME,
) -> None:
    """Put a system of its own under load and watch memory, files, connections and tasks.

    Each customer waits for the end of one order before the next: the rate is the highest that the
    machine sustains with so many at once. Exit 1 when a figure grows after the first quarter, when
    the rate was lower than asked, or when the audit at the end finds a violation.
    """
    from waybill import proof
    from waybill.chaos import soak as soaking

    room.take(home, "soak", bus, anew=anew)
    with show.err.status("soak") as status:
        tell = status.update if show.err.is_terminal else show.note
        found = asyncio.run(
            soaking.soak(
                home,
                soaking.Wish(
                    bus=bus, seed=seed, minutes=minutes, orders_per_s=rate, at_once=customers
                ),
                SystemClock(),
                tell,
            )
        )
    told(found)
    if evidence is not None:
        proof.write(found, evidence)
    if not found.passes:
        raise typer.Exit(FAILED)
    room.drop(homes.Home(home))
