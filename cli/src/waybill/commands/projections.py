"""`waybill projections list | rebuild | verify`: read models, and the proof that they are right."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from waybill import record, registry, show, system
from waybill.commands.options import HomeOption, JsonFlag, ServiceOption
from waybill.failure import FAILED

if TYPE_CHECKING:
    from waybill import rebuilding
    from waybill_runtime import rebuild as runtime
    from waybill_runtime.projector import AnyView

app = typer.Typer(name="projections", help="Read models.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="A view, as `projections list` names it.")]
OptionalName = Annotated[str | None, typer.Argument(help="One view; else all of them.")]

Owned: TypeAlias = "tuple[str, AnyView]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One view now. `lag` is in messages; `hash` is over all its documents."""

    service: str
    view: str
    generation: int
    documents: int
    lag: int
    hash: str


@app.command("list")
def list_(
    service: ServiceOption = None,
    as_json: JsonFlag = False,  # noqa: FBT002  a flag of the command line
    home: HomeOption = None,
) -> None:
    """Show every view: generation, documents, how far behind the bus it is."""
    rows = system.run(_rows(system.find(home), registry.services(service)))
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    table = Table(box=None, header_style="bold")
    for heading in ("service", "view"):
        table.add_column(heading)
    for heading in ("generation", "documents", "lag"):
        table.add_column(heading, justify="right")
    table.add_column("hash")
    for row in rows:
        numbers = (str(row.generation), f"{row.documents:,}", f"{row.lag:,}")
        table.add_row(row.service, row.view, *numbers, row.hash[:12])
    show.out.print(table)


@app.command()
def rebuild(name: NameArgument, service: ServiceOption = None, home: HomeOption = None) -> None:
    """Build a view from offset 0 while orders flow, then make it live.

    Reads go on meanwhile and never go back. Interrupted, it goes on where it was when called
    again. The generation before stays until the next rebuild.
    """
    record.who()
    owned = registry.find_view(name, service)
    (compared,) = system.run(_build(system.find(home), [owned], switch=True))
    record.note("projection rebuilt", service=owned[0], view=name, generation=compared.generation)
    same = "equal to" if compared.equal else "DIFFERENT from"
    show.done(f"{name}: generation {compared.generation} is live, {same} the one before")
    typer.echo(_told(owned[0], compared))


@app.command()
def verify(
    name: OptionalName = None, service: ServiceOption = None, home: HomeOption = None
) -> None:
    """Build views from offset 0 beside the live ones and compare hashes; exit 1 when one differs.

    Changes nothing.
    """
    if name is not None:
        owned: Sequence[Owned] = [registry.find_view(name, service)]
    else:
        owned = [(s, view) for s in registry.services(service) for view in registry.views(s)]
    found = system.run(_build(system.find(home), owned, switch=False))
    for (owner, _), compared in zip(owned, found, strict=True):
        typer.echo(_told(owner, compared))
    if not all(compared.equal for compared in found):
        raise typer.Exit(FAILED)


def _told(service: str, compared: "runtime.Comparison") -> str:
    verdict = "equal" if compared.equal else "DIFFERS"
    hashes = f"live {compared.live_hash} rebuilt {compared.rebuilt_hash}"
    lacking = "".join(f"\n  cannot be taken: {each}" for each in compared.missing)
    return f"{service} {compared.view} {verdict} {compared.documents} documents {hashes}{lacking}"


async def _rows(found: system.System, names: Sequence[str]) -> list[Row]:
    from waybill import rebuilding

    rows = []
    for name in names:
        async with found.connect(name) as on:
            for view in registry.views(name):
                async with on.store.reading() as reading:
                    generation = await reading.documents.generation(view.name)
                    digest, count = await reading.documents.digest(view.name, generation)
                rows.append(
                    Row(
                        service=name,
                        view=view.name,
                        generation=generation,
                        documents=count,
                        lag=await rebuilding.lag(on, name, view),
                        hash=digest,
                    )
                )
    return rows


async def _build(
    found: system.System, owned: Sequence[Owned], *, switch: bool
) -> "list[runtime.Comparison]":
    from waybill import rebuilding

    compared = []
    for service, view in owned:
        async with found.connect(service) as on:
            with progress(f"{service} {view.name}") as tell:
                compared.append(
                    await rebuilding.rebuild(on, service, view, switch=switch, tell=tell)
                )
    return compared


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} events/s" if task.speed else "")


@contextmanager
def progress(what: str) -> "Iterator[rebuilding.Tell]":
    """A bar on stderr with rate and time left; elsewhere than in a terminal, one line per 10 %."""
    if not show.err.is_terminal:
        yield _lines(what)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
    )
    with Progress(*columns, _Rate(), TimeRemainingColumn(), console=show.err) as bars:
        task = bars.add_task(what, total=None)

        def tell(at: "runtime.Progress") -> None:
            bars.update(task, completed=at.done, total=max(at.total, 1))

        yield tell


def _lines(what: str) -> "rebuilding.Tell":
    told = -1

    def tell(at: "runtime.Progress") -> None:
        nonlocal told
        tenth = 10 if at.done >= at.total else at.done * 10 // at.total
        if tenth > told:
            told = tenth
            show.note(f"{what}: {tenth * 10} % of {at.total:,} events")

    return tell
