"""`python aborted_run.py --requests N`: N requests aborted at any moment, with the evidence."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import aborting
from waybill.embedded.fixtures import TestPostgres
from waybill.embedded.postgres import EmbeddedPostgres
from waybill.proof import Proof, all_left_out, write

EVIDENCE = Path("docs/evidence/aborted-requests.json")
ASKED = 10_000
"""What the promise is worth: a smaller run is a shortfall."""


async def _strike(
    postgres: TestPostgres, requests: int, seed: int, ends_s: float
) -> aborting.Outcome:
    database, bus = postgres.create_database("capture"), postgres.create_database("bus")
    async with aborting.capture(database, bus) as url:
        return await aborting.strike(
            url, database, requests, seed, drippers=aborting.DRIPPING, ends_s=ends_s
        )


def strike(requests: int, seed: int, ends_s: float) -> aborting.Outcome:
    """Against a Postgres of its own."""
    home = Path(tempfile.mkdtemp(prefix="waybill-aborted-"))
    home.chmod(0o711)  # the account that runs Postgres walks through it
    embedded = EmbeddedPostgres(home)
    try:
        embedded.start()
        return asyncio.run(_strike(TestPostgres(embedded.dsn()), requests, seed, ends_s))
    finally:
        embedded.stop("immediate")
        embedded.drop()
        shutil.rmtree(home, ignore_errors=True)


def main() -> int:
    """The exit status: 0 when everything asked for was reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=ASKED)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=8.0, help="begin no request after this")
    options = parser.parse_args()
    started_at, started_s = datetime.now(UTC), monotonic()
    outcome = strike(options.requests, options.seed, started_s + options.minutes * 60)
    reached = {
        "requests": outcome.moments.total(),
        "orders": outcome.orders,
        "drippers_ended": outcome.drippers_ended,
        "violations": len(outcome.violations),
    }
    asked = {
        "requests": max(ASKED, options.requests),
        "orders": options.requests,
        "drippers_ended": aborting.DRIPPING,
        "violations": 0,
    }
    proof = Proof(
        name="aborted requests",
        command=f"make aborted-requests ABORTED={options.requests}",
        seed=options.seed,
        started_at=started_at,
        duration_s=monotonic() - started_s,
        asked=asked,
        reached=reached,
        left_out=all_left_out("no oracle looks on: what is left behind is counted"),
        shortfalls=[
            f"{name}: {reached[name]}, not {wanted}"
            for name, wanted in asked.items()
            if reached[name] != wanted
        ],
        details={
            "by_moment": dict(outcome.moments),
            "acknowledged_at_once": outcome.acknowledged,
            "at_once": aborting.AT_ONCE,
            "calm_within_s": aborting.CALM_S,
            "violations": outcome.violations[:100],
        },
    )
    write(proof, EVIDENCE)
    sys.stdout.write("\n  ".join([f"{EVIDENCE}: {reached}", *proof.shortfalls]) + "\n")
    return 0 if proof.passes else 1


if __name__ == "__main__":
    raise SystemExit(main())
