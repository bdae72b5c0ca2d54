"""`waybill simulate`: whole days of all six services in one process, with faults from a seed."""

from collections.abc import Collection
from typing import Annotated

import typer

from waybill.commands.options import EvidenceOption
from waybill.failure import FAILED, USAGE, Failure

ORDERS = 8
SHRINKING = 80


def simulate(  # noqa: PLR0913, PLR0917 - the options of a command line
    seeds: Annotated[int, typer.Option(min=1, help="How many days.")] = 1,
    first: Annotated[int, typer.Option("--from", min=0, help="The first seed.")] = 0,
    orders: Annotated[int, typer.Option(min=1, help="Orders a day, at least.")] = ORDERS,
    faults: Annotated[
        int | None, typer.Option(min=0, help="Faults a day; ten to an order if not said.")
    ] = None,
    only: Annotated[
        str,
        typer.Option(
            help="The numbers of the faults to keep, such as 3,7, or none. One seed only."
        ),
    ] = "",
    processes: Annotated[int, typer.Option(min=1, max=64, help="Days at a time.")] = 2,
    shrinking: Annotated[
        int, typer.Option("--shrink", min=0, help="Most days run to shrink the first failure.")
    ] = SHRINKING,
    evidence: EvidenceOption = None,
    of: Annotated[
        int | None,
        typer.Option(min=1, help="Add to the evidence that is there, until it has so many seeds."),
    ] = None,
) -> None:
    """Run days of orders through all six services under virtual time, and judge each twice.

    Everything real runs but store, bus, gateway, carrier and mail; faults are drawn from the seed
    before the day begins. Exit 0 only when no guarantee was violated in any day, every planned
    fault struck, and the evidence, where it is asked for, passes once it is whole. What few orders
    do not show is named on stderr. One seed, or one that failed, is told in full, with the command
    that runs it again.
    """
    from waybill.simulation import report, runs

    if of is not None and evidence is None:
        raise Failure("--of needs --evidence.", "Name the file that is added to.", code=USAGE)
    if only and (seeds > 1 or evidence is not None):
        what = "--only keeps faults of one day, and makes no evidence."
        raise Failure(what, "Say it with --seeds 1, without --evidence.", code=USAGE)
    if only or (seeds == 1 and evidence is None):
        passed = report.one(first, orders, faults, _numbers(only), shrinking)
    else:
        asked = runs.Asked(first=first, seeds=seeds, orders=orders, faults=faults)
        kept = None if evidence is None else report.Kept(evidence, of)
        passed = report.many(asked, processes=processes, shrinking=shrinking, kept=kept)
    if not passed:
        raise typer.Exit(FAILED)


def _numbers(only: str) -> Collection[int] | None:
    """The faults to keep; `none` keeps none; all when nothing was said.

    Raises:
        Failure: something in it is no number.
    """
    if not only or only == "none":
        return () if only else None
    words = [word.strip() for word in only.split(",")]
    if wrong := [word for word in words if not (word.isascii() and word.isdigit())]:
        what = f"--only has {wrong[0]!r}, which is no number of a fault."
        raise Failure(what, "Say numbers with commas between, such as 3,7, or none.", code=USAGE)
    return [int(word) for word in words]
