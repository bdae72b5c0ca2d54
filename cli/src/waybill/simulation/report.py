"""What is said of simulated days: to people, and as evidence."""

import shlex
from datetime import datetime
from pathlib import Path

from waybill import proof, show
from waybill.simulation import runs, shrink
from waybill.simulation.day import FAULTS_PER_ORDER, Result, simulate
from waybill_runtime.clock import SystemClock

CLOCK = SystemClock()
S_FOR_300_SEEDS = 60
"""The aim: so that they run with the tests."""
TOLD_MAX = 10
"""Violations told of one day."""


def many(asked: runs.Asked, *, processes: int, shrinking: int, evidence: Path | None) -> bool:
    """Days as they come, and their sum; whether all passed."""
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
    if evidence is not None:
        proof.write(_proof(asked, total, begun_at, took_s), evidence)
    if total.failed:
        _tell(total.failed[0], asked.orders, asked.faults, shrinking)
    return not total.failed


def one(seed: int, orders: int, faults: int | None, only: str, shrinking: int) -> bool:
    """One day, told in full; whether it passed."""
    numbers = [int(text) for text in only.split(",") if text.isdigit()] if only else None
    day = simulate(seed, orders=orders, faults=faults, only=numbers)
    for line in day.log:
        show.out.print(line, markup=False, highlight=False)
    show.out.print(
        f"{day.orders} orders, {day.faults} faults, {day.virtual_s:.0f} s of virtual time, "
        f"trace {day.trace[:16]}",
        markup=False,
    )
    if not day.passes:
        _tell(day, orders, faults, 0 if numbers is not None else shrinking)
    return day.passes


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
        f"{len(total.struck)} kinds, {total.virtual_s:,.0f} s of virtual time in {took_s:.0f} s: "
        f"{total.violations} violations in {len(total.failed)} days, trace {total.trace[:16]}",
        markup=False,
        soft_wrap=True,
    )


def _proof(asked: runs.Asked, total: runs.Sum, begun_at: datetime, took_s: float) -> proof.Proof:
    per_day = FAULTS_PER_ORDER * asked.orders if asked.faults is None else asked.faults
    wanted = {
        "seeds": asked.seeds,
        "orders": asked.seeds * asked.orders,
        "faults": asked.seeds * per_day,
        "s_for_300_seeds": S_FOR_300_SEEDS,
        "violations": 0,
    }
    reached = {
        "seeds": total.days,
        "orders": total.orders,
        "faults": total.faults,
        "s_for_300_seeds": round(300 * took_s / max(total.days, 1), 1),
        "violations": total.violations,
    }
    shortfalls = [
        f"{what}: {reached[what]:,} of {wanted[what]:,}"
        for what in ("seeds", "orders", "faults")
        if reached[what] < wanted[what]
    ]
    if reached["s_for_300_seeds"] > S_FOR_300_SEEDS:
        shortfalls.append(f"{reached['s_for_300_seeds']} s for 300 seeds, not {S_FOR_300_SEEDS}")
    shortfalls += [f"seed {day.seed}: {said}" for day in total.failed for said in day.violations]
    return proof.Proof(
        name="simulator",
        command=_command(asked),
        seed=asked.first,
        started_at=begun_at,
        duration_s=took_s,
        asked=wanted,
        reached=reached,
        shortfalls=shortfalls,
        findings=list(total.findings.values()),
        details={
            "faults_by_kind": dict(total.struck.most_common()),
            "steps": total.steps,
            "trace": total.trace,
            "virtual_s": round(total.virtual_s),
        },
    )


def _command(asked: runs.Asked) -> str:
    seeds = f"--seeds {asked.seeds} --from {asked.first} --orders {asked.orders}"
    return f"waybill simulate {seeds}" + (
        "" if asked.faults is None else f" --faults {asked.faults}"
    )
