"""`waybill restore-from-bus`: give a store that was set back what it said since its backup."""

from collections import Counter
from typing import Annotated

import typer

from waybill import registry, show, system
from waybill.commands.options import HomeOption
from waybill.failure import CONFLICT, NOT_FOUND, USAGE, Failure
from waybill_events.envelope import StreamId


def restore_from_bus(
    service: Annotated[str, typer.Option("--service", help="Whose store was set back.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else only say what.")] = False,  # noqa: FBT002
    home: HomeOption = None,
) -> None:
    """Append what the bus holds and the store lost, under its own ids and versions.

    For a service whose database was restored from a backup, and which is halted since. Timers and
    effects follow from the events; the service starts by itself afterwards.
    """
    (name,) = registry.services(service)
    system.run(_restore(system.find(home), name, yes=yes))


async def _restore(found: system.System, name: str, *, yes: bool) -> None:
    from waybill import republishing
    from waybill_runtime import setback

    topics = republishing.topics_of(name)
    async with found.connect(name) as on:
        show.note(f"comparing the store of {name} with the bus")
        gone = await setback.lost(on.store, on.bus, topics) if topics else ()
        if not gone:
            what = f"The store of {name} lacks nothing that the bus holds."
            raise Failure(what, "There is nothing to do.", code=NOT_FOUND)
        kinds = Counter(StreamId.parse(event.stream).category for event in gone)
        told = ", ".join(f"{count:,} of {kind}" for kind, count in sorted(kinds.items()))
        if not yes:
            raise Failure(
                "Nothing was done yet.",
                "Say the same with --yes.",
                code=USAGE,
                lines=(f"{len(gone):,} events will be appended to the store of {name}: {told}.",),
            )
        async with on.store.leadership("relay", insist_s=10.0) as alone:
            if not alone:
                what = f"{name} is at work, though its store was set back; nothing was done."
                raise Failure(what, "Stop it, then say it again.", code=CONFLICT)
            blueprint = registry.compose(name, found, on)
            try:
                given = await setback.give_back(on.store, on.ids, blueprint.deciders, gone)
            finally:
                await blueprint.close()
    typer.echo(f"{name}: {given:,} events are back ({told})")
    if name == "capture":
        show.note("addresses, stored answers and keys of that time are on no bus: see the how-to")
    show.done(f"{name} starts by itself within ten seconds; then `waybill audit`")
