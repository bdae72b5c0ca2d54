"""Options that several operators' commands share."""

from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the system; else WAYBILL_HOME, else .waybill here."),
]
ServiceOption = Annotated[
    str | None, typer.Option("--service", help="One service alone; else all of them.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="The same for machines.")]
AnewFlag = Annotated[bool, typer.Option("--anew", help="Drop what an earlier run left there.")]
