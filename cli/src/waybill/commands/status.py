"""`waybill status` and `waybill logs`: what runs, what it takes, what it says."""

import asyncio
import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

import psutil
import typer
from rich.table import Table

from waybill import afar, children, logfiles, show, state
from waybill import home as homes
from waybill.commands.options import HomeOption
from waybill.embedded import server
from waybill.embedded.postgres import EmbeddedPostgres
from waybill.failure import NOT_FOUND, UNAVAILABLE, Failure

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One program now. Memory is of its whole process tree; `pss` counts shared pages once."""

    name: str
    pid: int | None
    port: int | None
    ready: bool
    stopped: bool
    """On purpose, by `waybill stop`."""
    restarts: int
    rss_mib: float
    pss_mib: float | None
    why: str | None
    """What it says, or we find, where it is not ready."""


def status(
    as_json: Annotated[  # noqa: FBT002  a flag of the command line
        bool, typer.Option("--json", help="The same for machines.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Show each process: pid, port, readiness, restarts, resident memory.

    Where there is no home, ask each service that `<SERVICE>_URL` names whether it is ready.
    """
    found = homes.Home.named(home)
    if not found.exists() and (urls := afar.urls()):
        _ask(urls, as_json=as_json)
        return
    running = state.is_supervised(found)
    last = state.read(found)
    if not running and not last.orphans():
        raise Failure(
            f"Waybill does not run in {found.path}.", "Run `waybill up`.", code=UNAVAILABLE
        )
    rows = asyncio.run(_rows(found, last))
    if as_json:
        total = {"rss_mib": _sum(rows), "pss_mib": _sum_pss(rows)}
        about = {"phase": last.phase, "bus": last.bus, "warehouse": last.warehouse}
        about |= {"home": str(found.path)}
        told = {**about, "programs": [asdict(row) for row in rows], "total": total}
        show.out.print(json.dumps(told, indent=2), markup=False)
    else:
        show.out.print(_table(rows))
        for row in rows:
            if row.why is not None:
                show.out.print(show.callable_here(f"{row.name}: {row.why}"), markup=False)
        show.note(f"bus {last.bus}, warehouse {last.warehouse}, data in {found.path}")
    if not running:
        raise Failure(
            "The supervisor is gone; these programs run without it.",
            "Run `waybill up` to start anew, or `waybill down`.",
        )
    if not all(row.ready for row in rows):
        raise typer.Exit(UNAVAILABLE)


def _ask(urls: Mapping[str, str], *, as_json: bool) -> None:
    answers = asyncio.run(afar.ask(urls))
    if as_json:
        told = {"programs": [asdict(one) for one in answers]}
        show.out.print(json.dumps(told, indent=2), markup=False)
    else:
        for one in answers:
            show.out.print(f"{one.name}: {one.why or 'ready'} ({one.url})", markup=False)
    if not all(one.ready for one in answers):
        raise typer.Exit(UNAVAILABLE)


def logs(
    name: Annotated[str, typer.Argument(help="A program, as `waybill status` names it.")],
    lines: Annotated[int, typer.Option("-n", min=1, max=100_000, help="How many lines.")] = 100,
    follow: Annotated[  # noqa: FBT002  a flag of the command line
        bool, typer.Option("-f", help="Go on as lines are written.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Print the end of one program's log."""
    logs_at = homes.Home.named(home).logs
    log = logs_at / f"{name}.log"
    if "/" in name or not log.exists():
        known = sorted(found.stem for found in logs_at.glob("*.log"))
        raise Failure(
            f"There is no log of {name}.",
            f"There is: {', '.join(known)}." if known else "Run `waybill up`.",
            code=NOT_FOUND,
        )
    if follow:
        command = ["tail", "-n", str(lines), "-F", str(log)]
        raise typer.Exit(subprocess.run(command, check=False).returncode)  # noqa: S603  a path of ours
    for line in logfiles.tail(log, lines):
        show.out.print(line, markup=False)


async def _rows(home: homes.Home, last: state.State) -> list[Row]:
    me = {"supervisor": last.supervisor} if last.supervisor.pid else {}
    shown = {**me, **last.programs}
    return list(await asyncio.gather(*(_row(home, name, one) for name, one in shown.items())))


async def _row(home: homes.Home, name: str, one: state.Running) -> Row:
    process = one.process()
    why = await _refusal(home, name, one, is_there=process is not None)
    rss, pss = (0.0, 0.0) if process is None else memory_mib(process, tree=name != "supervisor")
    return Row(
        name=name,
        pid=one.pid,
        port=one.port,
        ready=why is None,
        stopped=one.stopped,
        restarts=one.restarts,
        rss_mib=round(rss, 1),
        pss_mib=None if pss is None else round(pss, 1),
        why=why,
    )


async def _refusal(
    home: homes.Home, name: str, one: state.Running, *, is_there: bool
) -> str | None:
    """Why a program is not ready now; None when it is."""
    if one.stopped:
        return f"it was stopped; `waybill start {name}` starts it"
    if not is_there:
        return "it does not run"
    if name != "supervisor" and not one.ready:
        said = None if one.port is None else await children.refusal(one.port, one.ready_path)
        since = "it has not been ready since it was started"
        return f"{since}: {said or 'it is now'}; see `waybill logs {name}`"
    if name == "postgres":
        # A server that hangs goes on taking connections: only an answer to a query is one.
        return await server.refusal(EmbeddedPostgres(home.path).dsn(), children.PROBE_TIMEOUT_S)
    return None if one.port is None else await children.refusal(one.port, one.ready_path)


def memory_mib(process: psutil.Process, *, tree: bool) -> tuple[float, float | None]:
    """Resident memory of a process, or its tree; and where the system tells, the proportional."""
    rss, pss = 0.0, 0.0
    told = True
    for one in [process, *(process.children(recursive=True) if tree else [])]:
        try:
            rss += one.memory_info().rss
            pss += getattr(one.memory_full_info(), "pss", 0)
        except psutil.AccessDenied:
            told = False
        except psutil.NoSuchProcess:
            continue
    return rss / MIB, pss / MIB if told else None


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, header_style="bold", footer_style="bold", show_footer=True)
    table.add_column("process", footer="total")
    for heading in ("pid", "port"):
        table.add_column(heading, justify="right")
    table.add_column("ready")
    table.add_column("restarts", justify="right")
    table.add_column("RSS MiB", justify="right", footer=f"{_sum(rows):.1f}")
    pss = _sum_pss(rows)
    table.add_column("PSS MiB", justify="right", footer="" if pss is None else f"{pss:.1f}")
    for row in rows:
        table.add_row(
            row.name,
            str(row.pid or "-"),
            str(row.port or "-"),
            "[yellow]stopped[/]" if row.stopped else "[green]yes[/]" if row.ready else "[red]no[/]",
            str(row.restarts),
            f"{row.rss_mib:.1f}",
            "-" if row.pss_mib is None else f"{row.pss_mib:.1f}",
        )
    return table


def _sum(rows: list[Row]) -> float:
    return round(sum(row.rss_mib for row in rows), 1)


def _sum_pss(rows: list[Row]) -> float | None:
    told = [row.pss_mib for row in rows if row.pss_mib is not None]
    return round(sum(told), 1) if len(told) == len(rows) else None
