"""`waybill republish`: give a bus that was lost its events again, from the stores."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from waybill import registry, show, system
from waybill.commands.options import HomeOption, ServiceOption
from waybill.failure import CONFLICT, FAILED, USAGE, Failure
from waybill_events.catalogue import TOPICS

if TYPE_CHECKING:
    from waybill.republishing import Compared

LOOK_EVERY_S = 1.0
SEND_S = 3_600.0
STUCK_S = 120.0


def republish(
    service: ServiceOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else only say what.")] = False,  # noqa: FBT002
    force: Annotated[  # noqa: FBT002  a flag of the command line
        bool, typer.Option("--force", help="Even if the bus has lost nothing.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Send every event of the stores to the bus again, after the bus was lost.

    Consumers begin where the bus ends now and drop what they have applied; what stood on the bus
    before is cut off. Services may run. Killed at any point, it is run again.
    """
    system.run(_republish(system.find(home), registry.services(service), yes=yes, force=force))


async def _republish(found: system.System, names: Sequence[str], *, yes: bool, force: bool) -> None:
    from waybill import republishing
    from waybill_runtime.republish import unsent

    async with AsyncExitStack() as stack:
        on = {
            name: await stack.enter_async_context(found.connect(name)) for name in registry.SERVICES
        }
        await on["capture"].bus.ensure_topics(sorted(TOPICS))
        show.note("comparing the bus with the stores")
        compared = await republishing.compare(on, names)
        _allow(compared, yes=yes, force=force)
        named = await republishing.republish(on, names)
        stores = [on[name].store for name in named]
        total = sum(named.values())
        left, patience_s, waited_s = total, STUCK_S, 0.0
        while (now := await unsent(stores)) and waited_s < SEND_S and patience_s > 0:
            patience_s = STUCK_S if now < left else patience_s - LOOK_EVERY_S
            left = now
            show.note(f"{left:,} events wait for their relays")
            await asyncio.sleep(LOOK_EVERY_S)
            waited_s += LOOK_EVERY_S
    for name, count in named.items():
        typer.echo(f"{name}: {count:,} events")
    if now:
        raise Failure(
            f"{now:,} events still wait for their relays.",
            "They are sent as soon as the services run: see `waybill status`.",
            code=FAILED,
        )
    show.done(f"{total:,} events are on the bus again; now `waybill parked list`, `waybill audit`")


def _allow(compared: "Compared", *, yes: bool, force: bool) -> None:
    """End here unless everything is as it must be.

    Raises:
        Failure: the bus holds what a store lacks, or has lost nothing, or nobody said yes.
    """
    if compared.unknown:
        behind = ", ".join(f"{name} ({n:,} events)" for name, n in compared.unknown.items())
        raise Failure(
            f"The bus holds what the store lacks: {behind}. To republish would destroy it.",
            "That store was set back: `waybill restore-from-bus --service NAME` first.",
            code=CONFLICT,
        )
    if not compared.is_lost and not force:
        raise Failure(
            f"The bus has lost nothing: all {compared.events:,} events are there.",
            "Nothing to do; --force sends them again all the same.",
            code=CONFLICT,
        )
    if not yes:
        plan = (
            f"All {compared.events:,} events will be sent again, consumers will begin before them,",
            "and what stands on the bus now will be cut off. Services may run meanwhile.",
        )
        raise Failure(
            "Nothing was done yet.",
            "Say the same with --yes.",
            code=USAGE,
            lines=(*compared.lines(), *plan),
        )
