"""`waybill prove`: one promise in numbers, on a system of its own."""

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

HOME = Path(".waybill-prove")


def prove(
    name: Annotated[
        Literal["oversell", "double-submit", "gateway"], typer.Argument(help="What to prove.")
    ],
    full: Annotated[  # noqa: FBT002  a flag of the command line
        bool, typer.Option("--full", help="The size that is promised; else a short form.")
    ] = False,
    bus: Annotated[
        Literal["postgres", "kafka"], typer.Option(help="What carries events between services.")
    ] = "postgres",
    evidence: EvidenceOption = None,
    anew: AnewFlag = False,  # noqa: FBT002  a flag of the command line
    home: Annotated[Path, typer.Option(help="The system's own folder; new, or --anew.")] = HOME,
) -> None:
    """Sell what there is and no more; take each key once; be lied to by the gateway.

    Exit 1 when a figure is not what was asked, or when the audit at the end finds a violation.
    """
    from waybill import proof
    from waybill.prove import run

    room.take(home, "prove", bus, anew=anew)
    with show.err.status(name) as status:
        tell = status.update if show.err.is_terminal else show.note
        found = asyncio.run(run.prove(name, home, bus, SystemClock(), tell, full=full))
    told(found)
    if evidence is not None:
        proof.write(found, evidence)
    if not found.passes:
        raise typer.Exit(FAILED)
    room.drop(homes.Home(home))
