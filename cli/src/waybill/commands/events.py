"""`waybill events export`: every event of the log, one CloudEvent a line."""

import json
import os
import sys
from collections.abc import Sequence

import typer

from waybill import registry, system
from waybill.commands.options import HomeOption, ServiceOption
from waybill_events import envelope
from waybill_events.envelope import Recorded

app = typer.Typer(name="events", help="The log itself.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `export` a subcommand while it is the only one."""


@app.command()
def export(service: ServiceOption = None, home: HomeOption = None) -> None:
    """Write every event to stdout as JSON Lines.

    CloudEvents 1.0 in structured mode, plus `stream` and `streamversion`; each stream in its
    order. Needs little memory however long the log is.
    """
    names = registry.services(service)
    try:
        system.run(_export(system.find(home), names))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough. Nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _export(found: system.System, names: Sequence[str]) -> None:
    for name in names:
        async with found.connect(name) as on, on.store.reading() as reading:
            async for event in reading.streams.scan():
                sys.stdout.write(line(event) + "\n")


def line(event: Recorded) -> str:
    """One event as one line of JSON."""
    told = envelope.structured(event, json.loads(event.data))
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
