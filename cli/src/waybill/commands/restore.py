"""`waybill restore-from-bus`: give a store that was set back what it said since its backup."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from waybill import record, registry, show, system
from waybill.commands.options import HomeOption
from waybill.failure import CONFLICT, NOT_FOUND, USAGE, Failure
from waybill_events.envelope import Recorded, StreamId

if TYPE_CHECKING:
    from waybill.restoring import Readers
    from waybill_runtime.setback import Lost


def restore_from_bus(
    service: Annotated[str, typer.Option("--service", help="Whose store was set back.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else only say what.")] = False,  # noqa: FBT002
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without", help="Id of an event that this service never said: leave it out, for good."
        ),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why --without; kept for ever.")] = "",
    home: HomeOption = None,
) -> None:
    """Append what the bus holds and the store lost, under its own ids and versions.

    For a service whose database was restored from a backup, and which is halted since. Lists the
    events first, one a line, with what the services that read them did. Timers and effects follow
    from the events; the service starts by itself afterwards.
    """
    (name,) = registry.services(service)
    forged = frozenset(without or ())
    if forged and not reason.strip():
        raise Failure("To leave an event out needs a reason.", "Say it with --reason.", code=USAGE)
    actor = f"staff:{record.who()}" if forged else ""
    system.run(_restore(system.find(home), name, forged, reason, actor, yes=yes))


async def _restore(
    found: system.System, name: str, forged: Collection[str], reason: str, actor: str, *, yes: bool
) -> None:
    from waybill import republishing, restoring
    from waybill_runtime import forked, setback
    from waybill_runtime.disowned import Disowned

    topics = republishing.topics_of(name)
    async with found.connect(name) as on:
        show.note(f"comparing the store of {name} with the bus")
        lost = await setback.look(on.store, on.bus, topics) if topics else setback.Lost()
        taken = await forked.instead(on.store, on.bus, topics)
        if not lost.events and not taken:
            what = f"The store of {name} lacks nothing that the bus holds."
            raise Failure(what, "There is nothing to do.", code=NOT_FOUND)
        every = [*lost.events, *lost.rivals, *taken]
        gone, kept = _named(every, forged), lost.without(forged)
        readers = await restoring.readers(found, name, every)
        taken = [event for event in taken if event.event_id not in forged]
        for line in _lines(lost, kept, forged, readers):
            typer.echo(line)
        for event in taken:
            typer.echo(f"! {readers.line(event)}, the store says another there")
        _refuse_a_fork(name, len(taken))
        _allow(name, kept, readers, yes=yes)
        async with on.store.leadership("relay", insist_s=10.0) as alone:
            if not alone:
                what = f"{name} is at work, though its store was set back; nothing was done."
                raise Failure(what, "Stop it, then say it again.", code=CONFLICT)
            blueprint = registry.compose(name, found, on)
            out = Disowned(events=gone, reason=reason, actor=actor)
            try:
                given = await setback.give_back(
                    on.store, on.ids, blueprint.deciders, kept.events, out
                )
            finally:
                await blueprint.close()
    typer.echo(f"{name}: {given:,} events are back ({_counts(kept.events)}), {len(gone)} left out")
    if name == "capture" and given:
        show.note("addresses, stored answers and keys of that time are on no bus: see the how-to")
    show.done(f"{name} starts by itself within ten seconds; then `waybill audit`")


def _named(events: Sequence[Recorded], ids: Collection[str]) -> Sequence[Recorded]:
    """The events of these ids.

    Raises:
        Failure: there is none of one of them.
    """
    found = [event for event in events if event.event_id in ids]
    if missing := set(ids) - {event.event_id for event in found}:
        raise Failure(
            f"The bus holds no {', '.join(sorted(missing))} that the store lacks.",
            "Say it without --without to see what there is.",
            code=NOT_FOUND,
        )
    return found


def _lines(
    lost: "Lost", kept: "Lost", forged: Collection[str], readers: "Readers"
) -> Sequence[str]:
    """Every event, one a line, by what will be done with it."""
    back = {event.event_id for event in kept.events}
    rest = [e for e in lost.events if e.event_id not in back and e.event_id not in forged]
    return [
        *(f"+ {readers.line(event)}" for event in kept.events),
        *(f"- {readers.line(e)}" for e in [*lost.events, *lost.rivals] if e.event_id in forged),
        *(f"? {readers.line(event)}, claims a place of another" for event in kept.rivals),
        *(f"- {readers.line(event)}, follows what is left out" for event in rest),
    ]


def _counts(events: Sequence[Recorded]) -> str:
    kinds = Counter(StreamId.parse(event.stream).category for event in events)
    return ", ".join(f"{count:,} of {kind}" for kind, count in sorted(kinds.items())) or "none"


def _refuse_a_fork(name: str, taken: int) -> None:
    """End here if the store has gone on: what it lost has no place in it any more.

    Raises:
        Failure: so many events stand where the store says others.
    """
    if taken:
        raise Failure(
            f"Nothing was done: the store of {name} has gone on since it was set back, and says "
            f"{taken:,} otherwise than the bus; that was sent to nobody.",
            "Stop the service, restore the same backup once more, and start it. If nothing set the "
            "store back, these are forged: leave them out with --without ID --reason WHY.",
            code=CONFLICT,
        )


def _allow(name: str, kept: "Lost", readers: "Readers", *, yes: bool) -> None:
    """End here unless everything is as it must be.

    Raises:
        Failure: two claim one place, a person gave one up where it is read, or nobody said yes.
    """
    given_up = [event for event in kept.events if event.event_id in readers.given_up]
    doubtful = f"{len(kept.rivals)} claim a place of another, {len(given_up)} were given up"
    if yes and (kept.rivals or given_up):
        raise Failure(
            f"Nothing was done: some were never said by {name}: {doubtful}.",
            "Find out which (`waybill audit`, I10), and leave them out: --without ID --reason WHY.",
            code=CONFLICT,
        )
    if yes:
        return
    untaken = sum(readers.is_taken_by_none(event) for event in kept.events)
    raise Failure(
        "Nothing was done yet.",
        "Was a backup restored, say the same with --yes. If nothing set the store back, these are "
        "forged: `waybill audit` first, then --without ID --reason WHY.",
        code=USAGE,
        lines=(
            f"{len(kept.events):,} events will be appended to the store of {name}: "
            f"{_counts(kept.events)}.",
            f"{untaken:,} of them were taken by no service that reads them: on their way when the "
            "store was lost, or not ours.",
            f"Not to be believed: {doubtful}.",
        ),
    )
