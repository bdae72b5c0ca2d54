"""`waybill replay`: a file of real invoices, played through the public APIs, every row told."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from waybill import home as homes
from waybill import shop, show, state, system
from waybill.audit import gather, oracles
from waybill.audit import report as audits
from waybill.failure import FAILED, UNAVAILABLE, Failure
from waybill.ledger import FOLDER, Ledger
from waybill.replay import plan as plans
from waybill.replay import play, reading, report
from waybill.replay.checkpoint import Checkpoint
from waybill_runtime.clock import SystemClock

CLOCK = SystemClock()


def replay(
    file: Annotated[Path, typer.Argument(help="A CSV file, gzipped or not.")],
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Orders posted at a time.")] = 8,
    audited: Annotated[  # noqa: FBT002  a flag of the command line
        bool, typer.Option("--audit/--no-audit", help="Audit at the end.")
    ] = True,
) -> None:
    """Play a file of the UCI Online Retail layout as stock and orders, and account for each row.

    Needs a running system. Interrupted and called again, it goes on where it was. Exit 0 only if
    every order ended, the numbers add up to the file's, and the audit holds. The account is
    `replay.json` in the home.
    """
    home = homes.Home.from_environment()
    values = system.find(None).values
    if not state.is_supervised(home) and "CAPTURE_URL" not in values:
        raise Failure(f"No Waybill runs in {home.path}.", "Run `make up` first.", code=UNAVAILABLE)
    rows, sha256 = reading.load(file)
    found = reading.sort(rows)
    plan = plans.make(found, sha256)
    show.note(
        f"{found.rows:,} rows: {found.taken_rows:,} on {len(plan.orders):,} invoices to be "
        f"ordered, {sum(found.refused_rows.values()):,} refused"
    )
    begun = CLOCK.now()
    played, counts = system.run(_play(home, values, plan, sha256, at_once))
    told: dict[str, Any] = {
        "file": {"name": file.name, "sha256": sha256, "source": report.SOURCE},
        **report.write(found, plan, played),
        "run": {
            "begun_at": begun.isoformat(),
            "bus": values.get("BUS", ""),
            "at_once": at_once,
            "orders_made_by_earlier_runs": played.made_before,
            "requests": counts.requests,
            "asked_again": counts.asked_again,
            "tracking_views_looked_at": played.looked,
            "stock_s": round(played.stock_s, 1),
            "posting_s": round(played.orders_s, 1),
            "until_all_ended_s": round(played.settled_s, 1),
        },
    }
    faults = report.faults(told, plan)
    told["adds_up"] = not faults
    told["faults"] = list(faults)
    told["audit"] = _audit() if audited else None
    homes.write_json(home.path / "replay.json", told)
    _show(told)
    show.note(f"the whole account: {home.path / 'replay.json'}")
    if faults or (audited and not told["audit"]["passes"]):
        raise typer.Exit(FAILED)


async def _play(
    home: homes.Home, values: Mapping[str, str], plan: plans.Plan, sha256: str, at_once: int
) -> tuple[play.Played, shop.Counts]:
    kept = Checkpoint(home.path / "replay" / f"{sha256[:12]}.jsonl", sha256)
    ledger = Ledger(home.path / FOLDER / f"replay-{sha256[:12]}.jsonl")
    try:
        async with shop.opened(values, ledger, CLOCK) as client:
            played = await play.Player(client, kept, CLOCK, at_once=at_once).play(plan)
            return played, client.counts
    finally:
        ledger.close()
        kept.close()


def _audit() -> dict[str, Any]:
    """Everything recomputed from outside; what was looked at and found, by guarantee."""
    with show.err.status("auditing"):
        gathered = system.run(gather.gather(system.find(None), settled=True, tell=lambda _: None))
        findings = oracles.judge(gathered.evidence)
    show.out.print(audits.as_table(findings))
    whole = audits.as_json(gathered.evidence.at, findings, gathered.notes, settled=True)
    return dict(json.loads(json.dumps(whole)))


def _show(told: Mapping[str, Any]) -> None:
    rows, orders = told["rows"], told["orders"]
    refused = ", ".join(f"{n:,} {why}" for why, n in rows["refused_by_reason"].items())
    show.out.print(
        f"rows     {rows['total']:,} = {rows['taken']:,} taken + {rows['refused']:,} refused "
        f"({refused})",
        markup=False,
    )
    ends = ", ".join(f"{n:,} {status}" for status, n in orders["by_status"].items())
    show.out.print(f"orders   {orders['made']:,}: {ends}", markup=False)
    lines, run = told["lines"], told["run"]
    show.out.print(f"lines    {lines['ordered']:,}, short {lines['short']:,}", markup=False)
    show.out.print(
        f"time     {run['posting_s']} s to post, {run['until_all_ended_s']} s until all had ended",
        markup=False,
    )
    for fault in told["faults"]:
        show.out.print(f"does not add up: {fault}", style="red", markup=False)
