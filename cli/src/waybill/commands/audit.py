"""`waybill audit`: the guarantees, recomputed from outside the services that make them."""

import json
from typing import Annotated

import typer

from waybill import show, system
from waybill.commands.options import HomeOption, JsonFlag
from waybill.failure import FAILED


def audit(
    as_json: JsonFlag = False,  # noqa: FBT002  a flag of the command line
    settled: Annotated[  # noqa: FBT002  a flag of the command line
        bool,
        typer.Option("--settled", help="Nothing flows any more: every order must have ended."),
    ] = False,
    home: HomeOption = None,
) -> None:
    """Check every guarantee against logs, bus, views, ledgers and what clients saw.

    Exit 0 only when every guarantee holds, as far as there is anything of its kind. A guarantee
    about things of which there is none yet (no shipment, no client's ledger) is `not checked` and
    fails nothing; one that could not be checked because a ledger, the bus or the logs could not
    be had is `not checked` and fails the audit. On an empty system all is `not checked`: exit 1.

    Reads only, but for a second generation of each view, which is built, compared and dropped.
    Orders may flow meanwhile. Clients' ledgers are `ledger/*.jsonl` in the home.
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
    unchecked = [one.guarantee for one in findings if one.verdict == "not checked"]
    if unchecked:
        show.note(f"not checked: {', '.join(unchecked)}")
    if not report.passes(findings):
        raise typer.Exit(FAILED)


def _quiet(_: str) -> None:
    """Progress is for terminals."""
