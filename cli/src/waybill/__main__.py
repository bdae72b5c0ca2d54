"""The waybill command."""

import sys

import typer

from waybill import show
from waybill.commands import events, keys, parked, projections
from waybill.commands.audit import audit
from waybill.commands.chaos import chaos
from waybill.commands.demo import demo
from waybill.commands.doctor import doctor
from waybill.commands.down import clean, down
from waybill.commands.prove import prove
from waybill.commands.replay import replay
from waybill.commands.republish import republish
from waybill.commands.restore import restore_from_bus
from waybill.commands.simulate import simulate
from waybill.commands.soak import soak
from waybill.commands.status import logs, status
from waybill.commands.stop import start, stop
from waybill.commands.up import up
from waybill.failure import INTERRUPTED, Failure

app = typer.Typer(
    name="waybill",
    help="Runs, shows and audits a whole Waybill on one machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (up, down, stop, start, clean, status, logs, doctor):
    app.command()(command)
app.command()(audit)
app.command()(chaos)
app.command()(soak)
app.command()(replay)
app.command()(demo)
app.command()(simulate)
app.command()(prove)
app.command()(republish)
app.command()(restore_from_bus)
for group in (events, keys, projections, parked):
    app.add_typer(group.app)


def main() -> None:
    """Run one command; a Failure is told with its remedy and ends with its own exit code."""
    try:
        app()
    except Failure as failure:
        show.failure(failure)
        sys.exit(failure.code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
