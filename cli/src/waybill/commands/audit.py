"""`waybill audit`: the guarantees, recomputed from outside the services that make them."""

import json
from typing import Annotated

import typer

from waybill import show, system
from waybill.commands.options import HomeOption, JsonFlag


def audit(
    as_json: JsonFlag = False,  # noqa: FBT002  a flag of the command line
    settled: Annotated[  # noqa: FBT002  a flag of the command line
        bool,
        typer.Option("--settled", help="Nothing flows any more: every order must have ended."),
    ] = False,
    home: HomeOption = None,
) -> None:
    """Check every guarantee against logs, bus, views, ledgers and what clients saw.

    Exit 0 when every guarantee holds, 1 when one is violated, 6 when none is violated but one
    was `not checked`: there is nothing of its kind yet (no shipment, no client's ledger), or what
    it looks at could not be had. What was not looked at is never counted as holding. `--json`
    says the same: `verdict`, `passes` (true only with exit 0) and `not_checked`, in the form of
    docs/reference/audit.schema.json.

    Reads only, but for a second generation of each view, which is built, compared and dropped.
    Orders may flow meanwhile. With `--settled` nothing may be left over either: charges, labels
    and messages of no order, stock kept for what has ended. Clients' ledgers are `ledger/*.jsonl`
    in the home: `waybill demo` and `waybill replay` keep one; where no client does, I15 is not
    checked.
    """
    from waybill.audit import gather, oracles, report

    found = system.find(home)
    with show.err.status("auditing") as status:
        tell = status.update if show.err.is_terminal else _quiet
        gathered = system.run(gather.gather(found, settled=settled, tell=tell))
        findings = oracles.judge(gathered.evidence)
    evidence = gathered.evidence
    if as_json:
        told = report.as_json(evidence.at, findings, gathered.notes, settled=settled)
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        show.out.print(report.as_table(findings))
    for note in gathered.notes:
        show.note(note)
    if not evidence.events:
        show.note("There is nothing to audit: no event in any store.")
    if unchecked := report.not_checked(findings):
        show.note(f"not checked: {', '.join(unchecked)}")
    if code := report.exit_code(findings):
        raise typer.Exit(code)


def _quiet(_: str) -> None:
    """Progress is for terminals."""
