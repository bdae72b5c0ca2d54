"""`waybill parked list | show | retry | repair | discard`: deliveries that wait for a person."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waybill import record, registry, show, system
from waybill.commands.options import HomeOption, JsonFlag, ServiceOption
from waybill.failure import CONFLICT, FAILED, NOT_FOUND, USAGE, Failure
from waybill_events.catalogue import TOPICS
from waybill_runtime.stored import Parked

if TYPE_CHECKING:
    from waybill_events.envelope import Recorded
    from waybill_runtime.infrastructure import Infrastructure
    from waybill_runtime.unpark import Retried, Unparking

app = typer.Typer(name="parked", help="Deliveries that wait for a person.", no_args_is_help=True)
PAGE = 500
NO_KEY = "(none)"
HOW_TO_NAME_IT = "a message without a key; name it with an empty key: waybill parked retry ''"
KeyArgument = Annotated[
    str, typer.Argument(help="A key, as `parked list` names it; '' is the one shown as (none).")
]


@dataclass(slots=True)
class Waiting:
    """One parked key of one service; `first` is what it began with."""

    service: str
    first: Parked
    count: int = 1


@app.command("list")
def list_(
    service: ServiceOption = None,
    as_json: JsonFlag = False,  # noqa: FBT002  a flag of the command line
    home: HomeOption = None,
) -> None:
    """Show every parked key: since when, how many deliveries, why the first was not applied."""
    waiting = system.run(_waiting(system.find(home), registry.services(service)))
    if as_json:
        typer.echo(json.dumps([_row(one) for one in waiting], indent=2))
        return
    if not waiting:
        show.note("nothing is parked")
        return
    for line in _lines(waiting):
        show.out.print(line, markup=False)
    if any(not one.first.key for one in waiting):
        show.out.print(f"{NO_KEY}: {HOW_TO_NAME_IT}", markup=False)


@app.command("show")
def show_(
    position: Annotated[int, typer.Argument(min=1, help="As `parked list` names it.")],
    service: ServiceOption = None,
    home: HomeOption = None,
) -> None:
    """Print one parked delivery: where it came from, its headers, its value."""
    at = system.find(home)
    found = system.run(_at(at, registry.services(service), position))
    if not found:
        raise Failure(
            f"Nothing is parked at {position}.", "See `waybill parked list`.", code=NOT_FOUND
        )
    for owner, parked in found:
        said = system.run(_in_store(at, parked))
        typer.echo(json.dumps(_whole(owner, parked) | {"in_store": said}, indent=2))
        if not said:
            show.note(f"no store has said what is parked in {owner} at {position}: see the how-to")


@app.command()
def retry(key: KeyArgument, service: ServiceOption = None, home: HomeOption = None) -> None:
    """Apply what is parked of a key, in order, through the service's own rules.

    Stops at the first that fails again and says why (exit 1); what was applied stays applied.
    """
    record.who()
    _tell(system.run(_retry(system.find(home), registry.services(service), key)), key)


def _tell(answers: "list[tuple[str, Retried]]", key: str) -> None:
    for owner, told in answers:
        done = f"{told.applied} applied, {told.known} known already, {told.left} left"
        typer.echo(f"{owner} {_shown(key)}: {done}")
        if told.failed is not None:
            show.note(f"{owner} stopped at position {told.failed.position}: {told.reason}")
    if any(told.left for _, told in answers):
        raise typer.Exit(FAILED)


@app.command()
def repair(
    position: Annotated[int, typer.Argument(min=1, help="As `parked list` names it.")],
    data: Annotated[
        Path, typer.Option("--data", exists=True, dir_okay=False, help="The whole body, as JSON.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept for ever.")],
    service: ServiceOption = None,
    home: HomeOption = None,
) -> None:
    """Take this body for the one that a parked event has, then retry its key in order.

    The event keeps its id and its place; the log keeps what was said. Who repaired it, why and
    what stood there before are kept in the service's store and in the log.
    """
    if not reason.strip():
        raise Failure("A repair needs a reason.", "Say it with --reason.", code=USAGE)
    actor = f"staff:{record.who()}"
    found = system.find(home)
    names = registry.services(service)
    owner, key = system.run(_repair(found, names, position, data.read_text(), reason, actor))
    typer.echo(f"{owner} {_shown(key)}: repaired")
    _tell(system.run(_retry(found, [owner], key)), key)


@app.command()
def discard(
    key: KeyArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept for ever.")],
    whole_key: Annotated[  # noqa: FBT002  a flag of the command line
        bool, typer.Option("--all", help="Every parked delivery of the key, not that one alone.")
    ] = False,
    service: Annotated[
        str | None,
        typer.Option("--service", help="Where; needed when the key is parked in several services."),
    ] = None,
    all_services: Annotated[  # noqa: FBT002  a flag of the command line
        bool, typer.Option("--all-services", help="In every service that has parked the key.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Give up the parked delivery that a retry of the key stops at, for good.

    Its service will never act on that event. What stands behind it stays parked; `waybill parked
    retry` applies it. The reason, who said so and which event it was are kept in the service's
    store and in the log.
    """
    if not reason.strip():
        raise Failure("A discard needs a reason.", "Say it with --reason.", code=USAGE)
    if service and all_services:
        raise Failure("--service and --all-services contradict.", "Give one of them.", code=USAGE)
    actor = f"staff:{record.who()}"
    names, found = registry.services(service), system.find(home)
    system.run(
        _discard(found, names, key, reason, actor, whole_key=whole_key, everywhere=all_services)
    )


def _shown(key: str) -> str:
    """A key as people read it; control characters of a poison message do nothing here."""
    return (key if key.isprintable() else ascii(key)) or NO_KEY


def _lines(waiting: Sequence[Waiting]) -> Iterator[str]:
    """A row for each, and its reason below: side by side they would not fit a terminal."""
    rows = [("service", "key", "count", "oldest", "position")]
    rows += [
        (
            one.service,
            _shown(one.first.key),
            str(one.count),
            one.first.parked_at.strftime("%Y-%m-%d %H:%M:%SZ"),
            str(one.first.position),
        )
        for one in waiting
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    reasons = ["", *(one.first.reason for one in waiting)]
    for row, reason in zip(rows, reasons, strict=True):
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        if reason:
            yield "  " + " ".join(reason.split())


def _row(one: Waiting) -> dict[str, object]:
    return {
        "service": one.service,
        "tenant": one.first.tenant,
        "key": one.first.key,
        "reason": one.first.reason,
        "count": one.count,
        "oldest": one.first.parked_at.isoformat(timespec="seconds"),
        "position": one.first.position,
    }


def _whole(service: str, parked: Parked) -> dict[str, object]:
    """The delivery as it came. Events hold no personal data, so an operator may see it whole."""
    text = parked.value.decode(errors="backslashreplace")
    try:
        value: object = json.loads(text)
    except ValueError:
        value = text
    return {
        "service": service,
        "position": parked.position,
        "tenant": parked.tenant,
        "key": parked.key,
        "reason": parked.reason,
        "parked_at": parked.parked_at.isoformat(),
        "topic": parked.partition.topic,
        "partition": parked.partition.number,
        "offset": parked.offset,
        "headers": {name: raw.decode(errors="backslashreplace") for name, raw in parked.headers},
        "value": value,
    }


async def all_parked(on: "Infrastructure", service: str) -> AsyncIterator[Parked]:
    """Everything that a service has parked, oldest first."""
    after = 0
    async with on.store.reading() as reading:
        while page := await reading.parking.parked(service, after=after, limit=PAGE):
            for parked in page:
                yield parked
            after = page[-1].position


async def _waiting(found: system.System, names: Sequence[str]) -> list[Waiting]:
    waiting: dict[tuple[str, str], Waiting] = {}
    for name in names:
        async with found.connect(name) as on:
            async for parked in all_parked(on, name):
                if (name, parked.key) in waiting:
                    waiting[name, parked.key].count += 1
                else:
                    waiting[name, parked.key] = Waiting(name, parked)
    return list(waiting.values())


async def _at(
    found: system.System, names: Sequence[str], position: int
) -> list[tuple[str, Parked]]:
    answers = []
    for name in names:
        async with found.connect(name) as on, on.store.reading() as reading:
            page = await reading.parking.parked(name, after=position - 1, limit=1)
        answers += [(name, parked) for parked in page if parked.position == position]
    return answers


def _event(parked: Parked) -> "Recorded | None":
    from waybill_runtime.intake import Poison
    from waybill_runtime.unpark import opened

    try:
        return opened(parked)
    except Poison:
        return None


async def _in_store(found: system.System, parked: Parked) -> bool:
    """Whether the store of the service that publishes the topic has said just this event."""
    event, publisher = _event(parked), TOPICS.get(parked.partition.topic)
    if event is None or publisher is None:
        return False
    async with found.connect(publisher) as on, on.store.reading() as reading:
        known = await reading.streams.known([event.event_id])
    return known.get(event.event_id) == (event.stream, event.version)


async def _owners(found: system.System, names: Sequence[str], key: str) -> list[str]:
    """The services in which a key is parked; a Failure when there is none."""
    owners = []
    for name in names:
        async with found.connect(name) as on, on.store.reading() as reading:
            if await reading.parking.parked_keys(name, [key]):
                owners.append(name)
    if not owners:
        raise Failure(
            f"Nothing is parked of {_shown(key)}.", "See `waybill parked list`.", code=NOT_FOUND
        )
    return owners


@asynccontextmanager
async def _unparking(found: system.System, name: str) -> "AsyncIterator[Unparking]":
    """The parked deliveries of a service; what keeps us from them told as a Failure."""
    from waybill.unparking import unparking
    from waybill_runtime.unpark import Busy, NotParked

    async with found.connect(name) as on:
        try:
            async with unparking(found, name, on) as parked:
                yield parked
        except Busy as busy:
            raise Failure(f"{busy}.", "Try again when that has ended.", code=CONFLICT) from busy
        except NotParked as gone:
            what = f"Somebody else has just taken up {gone}."
            raise Failure(what, "See `waybill parked list`.", code=NOT_FOUND) from gone


async def _retry(
    found: system.System, names: Sequence[str], key: str
) -> "list[tuple[str, Retried]]":
    answers = []
    for name in await _owners(found, names, key):
        async with _unparking(found, name) as parked:
            told = await parked.retry(key)
        record.note("parked retried", service=name, key=key, applied=told.applied, left=told.left)
        answers.append((name, told))
    return answers


async def _repair(
    found: system.System,
    names: Sequence[str],
    position: int,
    data: str,
    reason: str,
    actor: str,
) -> tuple[str, str]:
    """The service that repaired it, and the key."""
    from waybill_runtime.intake import Poison
    from waybill_runtime.unpark import Unfit

    at = await _at(found, names, position)
    owners = [name for name, _ in at]
    if not owners:
        raise Failure(
            f"Nothing is parked at {position}.", "See `waybill parked list`.", code=NOT_FOUND
        )
    if len(owners) > 1:
        both = ", ".join(owners)
        raise Failure(f"{both} have a position {position}.", "Name one: --service.", code=USAGE)
    delivery = at[0][1]
    if _event(delivery) and not await _in_store(found, delivery):
        raise Failure(
            "No store has said this event: repaired, it would stand for what never was.",
            "Discard it: `waybill parked discard`. A store that was set back is made whole first.",
            code=CONFLICT,
        )
    async with _unparking(found, owners[0]) as parked:
        try:
            done = await parked.repair(position, data, reason=reason, actor=actor)
        except (Unfit, Poison) as refused:
            raise Failure(
                f"It cannot be repaired so: {refused}.",
                "Look with `waybill parked show`, mend the file; or discard it.",
                code=USAGE,
            ) from refused
    return owners[0], done.key


async def _discard(
    found: system.System,
    names: Sequence[str],
    key: str,
    reason: str,
    actor: str,
    *,
    whole_key: bool,
    everywhere: bool,
) -> None:
    """Told as it is done: what a service gave up stays given up if the next one cannot."""
    owners = await _owners(found, names, key)
    if len(owners) > 1 and not everywhere:
        raise Failure(
            f"{_shown(key)} is parked in {', '.join(owners)}.",
            "Name one with --service, or say --all-services.",
            code=USAGE,
        )
    for owner in owners:
        async with _unparking(found, owner) as parked:
            gone = await parked.discard(key, reason=reason, actor=actor, whole_key=whole_key)
        for one in gone:
            where = f"{one.partition.topic}/{one.partition.number} offset {one.offset}"
            typer.echo(f"{owner} {_shown(key)}: discarded {where}")
