"""How every command speaks: data to stdout, progress and trouble to stderr."""

from rich.console import Console
from rich.markup import escape

from waybill.failure import Failure

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    err.print(escape(text), style="dim")


def done(text: str) -> None:
    err.print(f"[green]✓[/] {escape(text)}")


def failure(found: Failure) -> None:
    """What happened, the last log lines, and the way out."""
    for line in found.lines:
        err.print(f"  {escape(line)}", style="dim")
    err.print(f"[red]✗[/] {escape(found.what)}")
    if found.remedy:
        err.print(f"  {escape(found.remedy)}")
