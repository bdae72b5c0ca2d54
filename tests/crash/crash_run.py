"""Runs cases on a system of its own; the long form, in pieces, for `make crash-points`.

Each case's result is one line of a file, with the commit that ran it: what another one came to
says nothing of this one. A piece runs what is not in it yet, for as long as it is given, and ends
with the whole system quiet and audited. When nothing is left, the evidence is written.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import crash_system
from crash_audit import Auditor
from crash_cases import Cases, Result, quiet
from crash_table import ROWS, VARIANTS, Case, cases
from waybill import proof
from waybill.audit.evidence import Finding, add_up
from waybill.audit.oracles import judge
from waybill.embedded import server
from waybill.embedded.postgres import EmbeddedPostgres
from waybill.programs import SERVICES
from waybill_runtime.clock import SystemClock

QUIET_S = 60.0
POINTS = 60
CASES = 480
MINUTES = 30.0
NAMES = (*SERVICES, "bus")

Tell = Callable[[Result], None]


@dataclass(slots=True)
class Piece:
    """One run of a system: its cases, and what the oracles said of the whole at the end."""

    started_at: datetime
    duration_s: float = 0.0
    results: list[Result] = field(default_factory=list)
    findings: Sequence[Finding] = ()
    left: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of results, seen by one commit: what others came to is not shown."""

    path: Path
    commit: str

    def add(self, line: Mapping[str, object]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"commit": self.commit, **line}) + "\n")

    def lines(self) -> list[dict[str, object]]:
        if not self.path.exists():
            return []
        lines = map(json.loads, self.path.read_text().splitlines())
        return [line for line in lines if line.pop("commit", None) == self.commit]


async def run(
    databases: Mapping[str, str],
    superuser: str,
    scratch: Path,
    wanted: Sequence[Case],
    *,
    tell: Tell,
    seconds: float = 3600.0,
) -> Piece:
    """Run cases until they or the seconds are over; then audit all.

    One lane per service, so that only one of its processes is about to die; all lanes at once.
    """
    clock = SystemClock()
    begun_s = clock.monotonic_s()
    piece = Piece(datetime.now(UTC))
    system = crash_system.make(databases, superuser, scratch)
    auditor = Auditor(system)
    runner = Cases(system, auditor)

    async def lane(mine: Sequence[Case]) -> None:
        for case in mine:
            if clock.monotonic_s() - begun_s < seconds:
                result = await runner.run(case)
                piece.results.append(result)
                tell(result)

    try:
        await system.begin()
        await auditor.open()
        # First: they go through everything that there is, and that is little now.
        await lane([case for case in wanted if case.row.alone])
        async with asyncio.TaskGroup() as group:
            for service in SERVICES:
                beside = [c for c in wanted if c.row.service == service and not c.row.alone]
                group.create_task(lane(beside))

        async def look() -> Sequence[Finding]:
            clients = [posted for shop in runner.shops for posted in shop.clients]
            piece.findings = judge(await auditor.of_everything(clients))
            return piece.findings

        piece.left = await quiet(look, QUIET_S)
    finally:
        await auditor.close()
        await system.end()
    piece.duration_s = clock.monotonic_s() - begun_s
    return piece


def main() -> int:
    parser = argparse.ArgumentParser(description="Crash at every point, and audit.")
    parser.add_argument("--results", type=Path, required=True, help="a line for each case")
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin no case after this")
    parser.add_argument("--only", default="", help="cases whose name matches this expression")
    parser.add_argument("--every", type=int, default=1, help="each so many-th case")
    parser.add_argument("--evidence", type=Path, help="write the evidence of all pieces here")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupted)
    asked.results.parent.mkdir(parents=True, exist_ok=True)
    kept = Kept(asked.results, proof.commit())
    done = {line["id"] for line in kept.lines() if "id" in line}
    chosen = [case for case in cases() if re.search(asked.only, case.id)][:: asked.every]
    wanted = [case for case in chosen if case.id not in done]
    if wanted:
        _piece(kept, wanted, asked.seconds)
    lines = kept.lines()
    left = {case.id for case in chosen} - {line.get("id") for line in lines}
    bad = [line for line in lines if line.get("problem") or line.get("violations")]
    sys.stdout.write(f"{len(chosen) - len(left)} done, {len(left)} left, {len(bad)} bad\n")
    if asked.evidence:
        evidence = as_proof(lines, left)
        proof.write(evidence, asked.evidence)
        return 0 if evidence.passes else 1
    return 1 if bad else 0


def _interrupted(*_: object) -> NoReturn:
    """SIGTERM ends a run as ^C does: everything that it started is stopped."""
    raise KeyboardInterrupt


def _piece(kept: Kept, wanted: Sequence[Case], seconds: float) -> None:
    """Run a piece on an embedded Postgres of its own, and write down what came of it."""
    home = Path(tempfile.mkdtemp(prefix="waybill-crash-"))
    home.chmod(0o711)
    postgres = EmbeddedPostgres(home)

    def tell(result: Result) -> None:
        kept.add(asdict(result))
        sys.stdout.write(f"{'ok ' if result.passes else 'BAD'} {result.duration_s:6} {result.id}\n")
        if not result.passes:
            sys.stdout.write(f"    {result.problem} {result.violations[:4]}\n")
        sys.stdout.flush()

    try:
        postgres.start()
        databases = {}
        for name in NAMES:
            server.create_database(postgres.dsn(), name)
            databases[name] = server.into(postgres.dsn(), name)
        piece = asyncio.run(
            run(databases, postgres.dsn(), home / "run", wanted, tell=tell, seconds=seconds)
        )
        kept.add(_told(piece))
        for line in piece.left:
            sys.stdout.write(f"BAD the whole: {line}\n")
    finally:
        postgres.stop("immediate")
        if os.environ.get("CRASH_KEEP"):
            sys.stdout.write(f"kept {home}\n")
        else:
            shutil.rmtree(home, ignore_errors=True)


def _told(piece: Piece) -> Mapping[str, object]:
    return {
        "piece": piece.started_at.isoformat(),
        "duration_s": piece.duration_s,
        "left": list(piece.left),
        "findings": [asdict(finding) for finding in piece.findings],
    }


def as_proof(lines: Sequence[Mapping[str, object]], left: Collection[str]) -> proof.Proof:
    """All pieces together, against what is asked; `left` are cases that were not run."""
    results = [Result(**line) for line in lines if "id" in line]  # type: ignore[arg-type]
    pieces = [line for line in lines if "piece" in line]
    good = [result for result in results if result.passes]
    duration_s = sum(float(str(piece["duration_s"])) for piece in pieces)
    whole = [text for piece in pieces for text in piece["left"]]  # type: ignore[attr-defined]
    reached = {
        "points": len({result.label for result in good}),
        "cases": len(good),
        "violations": len(whole) + sum(len(result.violations) for result in results),
        "delivered_again": sum(sum(result.again.values()) for result in good),
        "minutes": round(duration_s / 60, 1),
    }
    shortfalls = [f"{result.id}: {result.problem}" for result in results if result.problem]
    shortfalls += [f"{result.id}: {text}" for result in results for text in result.violations]
    shortfalls += [f"at the end: {text}" for text in whole]
    if reached["points"] < POINTS or reached["cases"] < CASES:
        shortfalls.append(f"fewer points or cases than asked: {reached}")
    if reached["minutes"] > MINUTES:
        shortfalls.append(f"it took {reached['minutes']} minutes")
    return proof.Proof(
        name="crash-points",
        command="make crash-points",
        seed=None,
        started_at=datetime.fromisoformat(str(pieces[0]["piece"])),
        duration_s=timedelta(seconds=duration_s).total_seconds(),
        asked={"points": POINTS, "cases": CASES, "violations": 0, "minutes": MINUTES},
        reached=reached,
        shortfalls=shortfalls,
        left_out={},
        findings=_together(pieces),
        details={
            "points_in_the_table": len(ROWS),
            "cases_not_run": len(left),
            "variants": VARIANTS,
            "pieces": len(pieces),
            "cases_by_service": Counter(r.label.partition("/")[0] for r in good),
            "slowest_s": max((result.duration_s for result in results), default=0.0),
            "stories_until_reached_max": max((result.attempts for result in results), default=0),
        },
    )


def _together(pieces: Sequence[Mapping[str, object]]) -> Sequence[Finding]:
    """What each oracle said at the ends of all pieces, in one."""
    found: dict[str, Finding] = {}
    for piece in pieces:
        for told in piece["findings"]:  # type: ignore[attr-defined]
            add_up(found, Finding.read(told))
    return list(found.values())


if __name__ == "__main__":
    sys.exit(main())
