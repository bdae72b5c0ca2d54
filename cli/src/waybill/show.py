"""How every command speaks: data to stdout, progress and trouble to stderr."""

import shutil
import sys
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from waybill.failure import Failure

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    err.print(escape(callable_here(text)), style="dim")


def done(text: str) -> None:
    err.print(f"[green]✓[/] {escape(callable_here(text))}")


def callable_here(text: str) -> str:
    """The same advice with each `waybill …` as it can be said in this shell."""
    return text.replace("`waybill ", f"`{_called()} ")


@cache
def _called() -> str:
    if shutil.which("waybill") is not None:
        return "waybill"
    started = sys.argv[0]
    return started if Path(started).name == "waybill" else f"{sys.executable} -m waybill"


def failure(found: Failure) -> None:
    """What happened, the last log lines, and the way out."""
    for line in found.lines:
        err.print(f"  {escape(line)}", style="dim")
    err.print(f"[red]✗[/] {escape(callable_here(found.what))}")
    if found.remedy:
        err.print(f"  {escape(callable_here(found.remedy))}")
