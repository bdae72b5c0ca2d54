"""Options that several operators' commands share."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated

import typer

from waybill.failure import USAGE, Failure


def _can_be_written(path: Path | None) -> Path | None:
    """Refuse a file that could not be written at the end, before a run of an hour begins."""
    if path is None:
        return None
    if path.is_dir():
        raise Failure(f"--evidence {path} is a folder.", "Name a file in it.", code=USAGE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        raise Failure(
            f"--evidence {path} cannot be written: {error.strerror}.",
            "Name a file in a folder that you may write to.",
            code=USAGE,
        ) from error


EvidenceOption = Annotated[
    Path | None,
    typer.Option(help="Write the evidence there, as JSON.", callback=_can_be_written),
]

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the system; else WAYBILL_HOME, else .waybill here."),
]
ServiceOption = Annotated[
    str | None, typer.Option("--service", help="One service alone; else all of them.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="The same for machines.")]
AnewFlag = Annotated[bool, typer.Option("--anew", help="Drop what an earlier run left there.")]
