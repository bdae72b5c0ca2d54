"""What is said of simulated days: to people, and as evidence."""

import shlex
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from waybill import proof, show
from waybill.audit.evidence import Finding
from waybill.failure import USAGE, Failure
from waybill.simulation import runs, shrink, sittings
from waybill.simulation.day import Result, simulate
from waybill_runtime.clock import SystemClock

CLOCK = SystemClock()
S_FOR_300_SEEDS = 60
"""The aim: so that they run with the tests."""
TOLD_MAX = 10
"""Violations told of one day."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where evidence goes: into a file of its own, or `of` given, beside what is there already."""

    path: Path
    of: int | None = None
    """How many seeds all sittings are to add up to."""


def many(asked: runs.Asked, *, processes: int, shrinking: int, kept: Kept | None) -> bool:
    """Days as they come, and their sum; whether all passed, and their evidence where it is kept."""
    is_added = kept is not None and kept.of is not None
    run = sittings.earlier(kept.path, asked) if kept and is_added else sittings.Run()
    begun_at, begun_s = CLOCK.now(), CLOCK.monotonic_s()
    total = runs.Sum()
    with show.err.status("simulating") as status:
        for day in runs.run(asked, processes=processes):
            total.add(day)
            if not day.passes:
                show.out.print(f"seed {day.seed}: {day.violations[0][:300]}", markup=False)
            if show.err.is_terminal:
                status.update(f"{total.days:,} of {asked.seeds:,} days, {total.faults:,} faults")
    took_s = CLOCK.monotonic_s() - begun_s
    _show(total, took_s)
    _tell_unchecked(total.findings.values())
    stands = True
    if kept is not None:
        run.add(asked, total, begun_at, took_s)
        stands = _stands(keep(asked, run, kept, begun_at), run, kept)
    if total.failed:
        _tell(total.failed[0], asked.orders, asked.faults, shrinking)
    return stands and not total.failed


def one(
    seed: int, orders: int, faults: int | None, only: Collection[int] | None, shrinking: int
) -> bool:
    """One day, told in full; whether it passed. `only`: the numbers of the faults to keep.

    Raises:
        Failure: the day has no fault of such a number.
    """
    day = simulate(seed, orders=orders, faults=faults, only=only)
    if only is not None and (unknown := sorted(set(only) - set(day.numbers))):
        raise Failure(
            f"The plan of seed {seed} has no fault of number {unknown[0]}.",
            "Say --orders and --faults as they were, or other numbers.",
            code=USAGE,
        )
    for line in day.log:
        show.out.print(line, markup=False, highlight=False)
    show.out.print(
        f"{day.orders} orders, {day.faults} faults, {day.virtual_s:.0f} s of virtual time, "
        f"trace {day.trace[:16]}",
        markup=False,
    )
    _tell_unchecked(day.findings)
    if not day.passes:
        _tell(day, orders, faults, 0 if only is not None else shrinking)
    return day.passes


def _tell_unchecked(findings: Iterable[Finding]) -> None:
    """What was not there to look at, as in days of few orders."""
    for finding in findings:
        if finding.verdict == "not checked":
            why = "; ".join(finding.unchecked[:TOLD_MAX])
            show.err.print(f"{finding.guarantee} was not checked: {why}", markup=False)


def _stands(whole: proof.Proof, run: sittings.Run, kept: Kept) -> bool:
    """Whether the evidence passes; with sittings to come, whether it still may."""
    seeds = sum(sitting.seeds for sitting in run.sittings)
    if kept.of is not None and seeds < kept.of:
        show.err.print(f"{kept.path} has {seeds:,} of {kept.of:,} seeds", markup=False)
        return not any(sitting.violations for sitting in run.sittings)
    for why in (*whole.shortfalls, *whole.unproved):
        show.err.print(f"{kept.path} does not pass: {why}", markup=False)
    return whole.passes


def _tell(day: Result, orders: int, faults: int | None, shrinking: int) -> None:
    """What was violated, the command that shows it again, and the fewest faults that do."""
    for violation in day.violations[:TOLD_MAX]:
        show.out.print(f"seed {day.seed}: {violation}", style="red", markup=False)
    again = ["waybill", "simulate", "--seeds", "1", "--from", str(day.seed)]
    again += ["--orders", str(orders)]
    again += [] if faults is None else ["--faults", str(faults)]
    show.out.print(f"again: {shlex.join(again)}", markup=False, soft_wrap=True)
    if not shrinking or not shrink.headlines(day):
        return
    found = shrink.shrink(day, orders=orders, faults=faults, runs_max=shrinking)
    fewest = ",".join(str(number) for number in found.left)
    how = "the fewest" if found.is_minimal else "not yet the fewest"
    show.out.print(
        f"{len(found.left)} of {day.planned} faults still fail ({how}, {found.runs} days run): "
        + shlex.join([*again, "--only", fewest or "none"]),
        markup=False,
        soft_wrap=True,
    )


def _show(total: runs.Sum, took_s: float) -> None:
    for line in runs.describe(total.struck):
        show.out.print(line, markup=False, highlight=False)
    show.out.print(
        f"{total.days:,} days, {total.orders:,} orders, {total.faults:,} faults of "
        f"{len(total.struck)} kinds, {total.virtual_s:,.0f} s of virtual time in {took_s:.0f} s "
        f"({1000 * total.cpu_s / max(total.orders, 1):.1f} ms of CPU an order): "
        f"{total.violations} violations in {len(total.failed)} days, trace {total.trace[:16]}",
        markup=False,
        soft_wrap=True,
    )


def keep(asked: runs.Asked, run: sittings.Run, kept: Kept, begun_at: datetime) -> proof.Proof:
    """Write all sittings as one run's evidence, in the place of what was there."""
    whole = _proof(asked, run, kept.of, begun_at)
    proof.write(whole, kept.path)
    return whole


def _proof(asked: runs.Asked, run: sittings.Run, of: int | None, begun_at: datetime) -> proof.Proof:
    """All sittings as one. How long 300 seeds take is asked of days in one sitting, as of tests."""
    of_all = run.sittings
    asked_seeds = of or sum(sitting.seeds for sitting in of_all)
    took_s = sum(sitting.duration_s for sitting in of_all)
    days = sum(sitting.seeds for sitting in of_all)
    wanted: dict[str, float] = {
        "seeds": asked_seeds,
        "orders": asked_seeds * asked.orders,
        "faults": asked_seeds * sittings.faults_per_day(asked),
        "violations": 0,
    }
    reached: dict[str, float] = {
        "seeds": days,
        "orders": sum(sitting.orders for sitting in of_all),
        "faults": sum(sitting.faults for sitting in of_all),
        "violations": sum(sitting.violations for sitting in of_all),
    }
    shortfalls = [
        f"{what}: {reached[what]:,} of {wanted[what]:,}"
        for what in ("seeds", "orders", "faults")
        if reached[what] < wanted[what]
    ]
    if of is None:
        wanted["s_for_300_seeds"] = S_FOR_300_SEEDS
        reached["s_for_300_seeds"] = round(300 * took_s / max(days, 1), 1)
        if reached["s_for_300_seeds"] > S_FOR_300_SEEDS:
            took = f"{reached['s_for_300_seeds']} s for 300 seeds, not {S_FOR_300_SEEDS}"
            shortfalls.append(took)
    return proof.Proof(
        name=sittings.NAME,
        command=_command(asked, of),
        seed=of_all[0].first,
        started_at=begun_at,
        duration_s=took_s,
        asked=wanted,
        reached=reached,
        shortfalls=[*shortfalls, *(said for sitting in of_all for said in sitting.failures)],
        left_out={},
        findings=list(run.findings.values()),
        details=run.details(asked),
    )


def _command(asked: runs.Asked, of: int | None) -> str:
    seeds = f"--seeds {asked.seeds} --from {asked.first} --orders {asked.orders}"
    seeds += "" if asked.faults is None else f" --faults {asked.faults}"
    return f"waybill simulate {seeds}" + ("" if of is None else f" --of {of}")
