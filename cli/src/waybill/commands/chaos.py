"""`waybill chaos`: load and faults on a real system, then the audit, twice."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from waybill import room, show
from waybill.commands.options import AnewFlag, EvidenceOption
from waybill.failure import FAILED, USAGE, Failure
from waybill_runtime.clock import SystemClock

if TYPE_CHECKING:
    from waybill.proof import Proof

HOME = Path(".waybill-chaos")
FAULTS_A_MINUTE = 16.7
ORDERS_A_MINUTE = 60
KINDS = 14


BusOption = Annotated[
    Literal["postgres", "kafka"], typer.Option(help="What carries events between services.")
]
OrdersOption = Annotated[
    int | None, typer.Option(min=0, help="Acknowledged orders below which the run fails, in all.")
]
FaultsOption = Annotated[
    int | None, typer.Option(min=0, help="Faults that have to strike in this run; fewer fail it.")
]
LeastOption = Annotated[
    list[str] | None,
    typer.Option(help="NAME=N: a figure of the evidence, and what it has to come to."),
]
KindsOption = Annotated[
    str, typer.Option(help="Only these kinds of faults, comma separated; else all.")
]
ResumeFlag = Annotated[
    bool, typer.Option("--resume", help="Go on upon the same stores; figures are of all runs.")
]
DiskOption = Annotated[
    int,
    typer.Option(min=0, help="As root: a file system of so many MiB for Postgres, to be filled."),
]


def chaos(  # noqa: PLR0913, PLR0917 - the options of a command line
    minutes: Annotated[float, typer.Option(min=0.2, max=600, help="How long the storm lasts.")] = 5,
    seed: Annotated[int, typer.Option(help="What faults and orders are drawn from.")] = 1,
    bus: BusOption = "postgres",
    orders: OrdersOption = None,
    faults: FaultsOption = None,
    at_least: LeastOption = None,
    customers: Annotated[int, typer.Option(min=1, max=500, help="Orders under way at once.")] = 24,
    kinds: KindsOption = "",
    resume: ResumeFlag = False,  # noqa: FBT002  a flag of the command line
    anew: AnewFlag = False,  # noqa: FBT002  a flag of the command line
    disk: DiskOption = 0,
    evidence: EvidenceOption = None,
    home: Annotated[
        Path, typer.Option(help="The system's own folder; new, or one of these.")
    ] = HOME,
) -> None:
    """Strike a real system with faults under load, heal it, and audit it; restart, audit again.

    The system is started here, in a folder of its own. Exit 1 when an audit finds a violation, when
    fewer faults or acknowledged orders than planned happened, or when quiet did not come in time.
    """
    from waybill import proof
    from waybill.chaos import kinds as kinds_of_faults
    from waybill.chaos import run, verdict
    from waybill.chaos.faults import disks
    from waybill.chaos.plan import Asked

    strikes = round(minutes * FAULTS_A_MINUTE) if faults is None else faults
    least = _least(at_least or [])
    only = [name.strip() for name in kinds.split(",") if name.strip()]
    small = bool(disk) or (resume and disks.postgres_room(home).is_mount())
    kinds_of_faults.chosen(bus, only, disk=small)
    command = (
        f"waybill chaos --minutes {minutes:g} --seed {seed} --bus {bus} --faults {strikes}"
        f" --customers {customers}" + (f" --kinds {','.join(only)}" if only else "")
    )
    room.take(home, "chaos", bus, resume=resume, anew=anew, disk=disk)
    wish = run.Wish(
        bus=bus,
        seed=seed,
        minutes=minutes,
        faults=strikes,
        at_once=customers,
        command=command,
        kinds=only,
    )
    with show.err.status("chaos") as status:
        tell = status.update if show.err.is_terminal else show.note
        outcome = asyncio.run(run.segment(home, wish, SystemClock(), tell))
    segments = outcome.history.segments
    asked = Asked(
        minutes=minutes * len(segments),
        orders=round(minutes * ORDERS_A_MINUTE) if orders is None else orders,
        faults=sum(segment.asked_faults for segment in segments),
        kinds=min(KINDS, strikes, len(only) or KINDS),
        at_least=least,
    )
    what = "chaos-of-some-kinds" if only else "chaos"
    found = verdict.proof(outcome, asked, bus=bus, command=command, what=what)
    told(found)
    if evidence is not None:
        proof.write(found, evidence)
    if not found.passes:
        raise typer.Exit(FAILED)


def _least(given: Sequence[str]) -> Mapping[str, int]:
    """The figures that were named, and what they have to come to."""
    from waybill.chaos.history import History

    known = History().reached()
    found = {}
    for text in given:
        name, _, number = text.partition("=")
        if name not in known or not number.isdigit():
            raise Failure(
                f"--at-least {text} is not NAME=N.",
                f"Names are: {', '.join(known)}.",
                code=USAGE,
            )
        found[name] = int(number)
    return found


def told(found: "Proof") -> None:
    """The findings, each figure beside what was asked, and what fell short or was not shown."""
    from waybill.audit import report

    show.out.print(report.as_table(found.findings))
    for name, figure in found.reached.items():
        wanted = found.asked.get(name)
        show.out.print(
            f"{name:<32} {figure:g}" + ("" if wanted is None else f" (asked {wanted:g})")
        )
    for finding in found.findings:
        if finding.verdict == "not checked" and finding.guarantee in found.left_out:
            why = found.left_out[finding.guarantee]
            show.out.print(f"{finding.guarantee} need not be checked: {why}", markup=False)
    for line in (*found.shortfalls, *found.unproved):
        show.note(f"short: {line}")
    show.out.print("passed" if found.passes else "fell short")
