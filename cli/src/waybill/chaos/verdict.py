"""What a chaos home came to against what was asked of it, as evidence."""

from collections.abc import Mapping, Sequence

from waybill.chaos.plan import Asked
from waybill.chaos.run import Outcome
from waybill.chaos.settling import QUIET_S
from waybill.proof import Proof

SERVICE_S = {"postgres": 5.0, "kafka": 30.0}
POSTGRES_S = 10.0
ROUNDED_MIN = 0.05
"""Minutes are told to a tenth."""
ENOUGH = 50
"""So many kills that no other fault overlapped make a p99 that is held against its limit."""


def proof(outcome: Outcome, asked: Asked, *, bus: str, command: str, what: str = "chaos") -> Proof:
    """The evidence of all segments; a figure that was not reached is a shortfall."""
    past = outcome.history
    reached = past.reached()
    first = past.segments[0]
    return Proof(
        name=f"{what}-{bus}",
        command=command,
        seed=first.seed,
        started_at=first.started_at,
        duration_s=sum(segment.duration_s for segment in past.segments),
        asked=_asked(asked, bus),
        reached=reached,
        shortfalls=shortfalls(reached, asked, bus),
        left_out={},
        findings=outcome.findings,
        details=_details(outcome),
    )


def shortfalls(reached: Mapping[str, float], asked: Asked, bus: str) -> Sequence[str]:
    """Every figure that fell short, in words."""
    found = []
    if reached["minutes"] < asked.minutes - ROUNDED_MIN:
        found.append(f"minutes: {reached['minutes']:g} of {asked.minutes:g}")
    for name in ("orders", "faults", "kinds"):
        wanted = getattr(asked, name)
        if reached[name] < wanted:
            found.append(f"{name}: {reached[name]:g} of {wanted}")
    found += [
        f"{name}: {reached[name]:g} of {wanted}"
        for name, wanted in asked.at_least.items()
        if reached[name] < wanted
    ]
    if reached["refused"]:
        found.append(f"{reached['refused']:g} valid orders refused")
    if reached["gave_up"]:
        found.append(f"{reached['gave_up']:g} customers gave up waiting for an answer")
    if reached["violations"]:
        found.append(f"{reached['violations']:g} violations")
    if reached["unchecked"]:
        found.append(f"{reached['unchecked']:g} things that an audit could not look at")
    if reached["quiet_s"] > QUIET_S:
        found.append(f"quiet only after {reached['quiet_s']:g} s, not within {QUIET_S:g} s")
    if reached["rebuilds_equal"] < reached["rebuilds"]:
        found.append(f"rebuilds equal: {reached['rebuilds_equal']:g} of {reached['rebuilds']:g}")
    if reached["rebuild_reads_refused"]:
        found.append(f"{reached['rebuild_reads_refused']:g} reads refused during rebuilds")
    for what, limit_s in (("service", SERVICE_S[bus]), ("postgres", POSTGRES_S)):
        took_s = reached[f"{what}_recovery_alone_p99_s"]
        if reached[f"{what}_kills_alone"] >= ENOUGH and took_s > limit_s:
            found.append(f"{what} recovered within {took_s:g} s (p99), not {limit_s:g} s")
    return found


def _asked(asked: Asked, bus: str) -> Mapping[str, float]:
    return {
        "minutes": asked.minutes,
        "orders": asked.orders,
        "faults": asked.faults,
        "kinds": asked.kinds,
        **asked.at_least,
        "refused": 0,
        "gave_up": 0,
        "violations": 0,
        "unchecked": 0,
        "quiet_s": QUIET_S,
        "rebuild_reads_refused": 0,
        "service_recovery_alone_p99_s": SERVICE_S[bus],
        "postgres_recovery_alone_p99_s": POSTGRES_S,
    }


def _details(outcome: Outcome) -> Mapping[str, object]:
    past = outcome.history
    return {
        "faults_by_kind": past.by_kind(),
        "overlapped": sum(one.overlapped for one in past.struck),
        "not_struck": [
            {name: one[name] for name in ("number", "kind", "target", "note")}
            for segment in past.segments
            for one in segment.faults
            if not one["struck"]
        ],
        "segments": [
            segment.model_dump(mode="json", exclude={"faults", "recovered", "planted"})
            for segment in past.segments
        ],
        "slowest_recoveries": sorted(
            (one for segment in past.segments for one in segment.recovered),
            key=lambda one: -float(str(one["took_s"])),
        )[:20],
        "planted_set_aside": list(outcome.planted),
    }
