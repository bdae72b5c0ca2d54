"""What a chaos home has been through: its segments, kept beside its stores, and their sum.

A run may be cut into segments on the same stores, which are never wiped; the evidence is of all.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from waybill import ledger
from waybill.chaos.conduct import Struck
from waybill.chaos.recovery import Recovered, p99
from waybill.home import Home, write_whole

FILE = "chaos.json"
ON_THEIR_WAY_MAX = 1_000
"""More orders than customers can have posted without an answer when a run is cut off."""


class Segment(BaseModel):
    """One run of `waybill chaos`."""

    seed: int
    bus: str
    command: str
    commit: str
    started_at: datetime
    duration_s: float
    first_order: int
    next_order: int
    first_fault: int
    next_fault: int
    asked_faults: int
    acknowledged: int
    unknown: int
    refused: dict[str, int]
    """Orders that were refused, by the kind of problem: all were valid."""
    gave_up: int
    """Customers who were not answered for as long as they had patience."""
    looks: int
    ended: dict[str, int]
    kinds: dict[str, int]
    faults: list[dict[str, object]]
    recovered: list[dict[str, object]]
    told: list[dict[str, Any]]
    planted: list[dict[str, object]]
    quiet_s: float
    restarted_quiet_s: float
    still_waiting: dict[str, object]
    rebalances: int
    violations: list[str]
    unchecked: list[str]
    """What its audits could not look at, by guarantee."""
    judged: bool = True
    """Whether its audits came to an end. Else those of the next segment judge its orders: an audit
    reads all that ever was on the stores."""


class History(BaseModel):
    """All segments of one home, in their order."""

    segments: list[Segment] = []

    @property
    def next_order(self) -> int:
        return self.segments[-1].next_order if self.segments else 1

    @property
    def next_fault(self) -> int:
        return self.segments[-1].next_fault if self.segments else 1

    @property
    def planted(self) -> list[Mapping[str, object]]:
        return [one for segment in self.segments for one in segment.planted]

    @property
    def struck(self) -> list[Struck]:
        return [
            found
            for segment in self.segments
            for found in (Struck(**one) for one in segment.faults)  # type: ignore[arg-type]  # as asdict wrote it
            if found.struck
        ]

    def by_kind(self) -> Mapping[str, int]:
        return dict(sorted(Counter(one.kind for one in self.struck).items()))

    def recovery(self, what: str, *, alone: bool = False) -> list[float]:
        """Seconds from kill to useful work, in order of their length."""
        found = [
            Recovered(**one)  # type: ignore[arg-type]  # as asdict wrote it
            for segment in self.segments
            for one in segment.recovered
        ]
        return sorted(r.took_s for r in found if r.what.startswith(what) and r.alone >= alone)

    def rebuilds(self) -> Sequence[Mapping[str, Any]]:
        return [t for s in self.segments for t in s.told if t.get("what") == "rebuild"]

    def reached(self) -> Mapping[str, float]:
        """What a proof asks for, over all segments."""
        tried = self.rebuilds()
        rebuilds = [one for one in tried if one["verdict"] != "broken off"]
        segments = self.segments
        by_kind = self.by_kind()
        return {
            "minutes": round(sum(s.duration_s for s in segments) / 60, 1),
            "orders": sum(s.acknowledged for s in segments),
            "refused": sum(sum(s.refused.values()) for s in segments),
            "gave_up": sum(s.gave_up for s in segments),
            "faults": len(self.struck),
            "kinds": len(by_kind),
            "violations": sum(len(s.violations) for s in segments),
            "unchecked": sum(len(s.unchecked) for s in segments),
            "quiet_s": max((max(s.quiet_s, s.restarted_quiet_s) for s in segments), default=0.0),
            "service_kills": len(self.recovery("service")),
            "service_recovery_p99_s": p99(self.recovery("service")),
            "service_kills_alone": len(self.recovery("service", alone=True)),
            "service_recovery_alone_p99_s": p99(self.recovery("service", alone=True)),
            "postgres_kills": len(self.recovery("postgres")),
            "postgres_recovery_p99_s": p99(self.recovery("postgres")),
            "postgres_kills_alone": len(self.recovery("postgres", alone=True)),
            "postgres_recovery_alone_p99_s": p99(self.recovery("postgres", alone=True)),
            "rebuilds": len(rebuilds),
            "rebuilds_equal": sum(one["verdict"] == "equal" for one in rebuilds),
            "rebuilds_broken_off": len(tried) - len(rebuilds),
            "rebuild_reads": sum(int(one["reads"]["answered"]) for one in tried),
            "rebuild_reads_refused": sum(int(one["reads"]["refused"]) for one in tried),
            "broker_restarts": by_kind.get("broker-stop", 0) + by_kind.get("broker-kill", 0),
            "rebalances": sum(s.rebalances for s in segments),
        }


def first_order(home: Home, past: History, seed: int) -> int:
    """The next number that no order of this home has, that of a run cut off before its end
    included: the ledgers know it, but for those that were on their way.
    """
    keys = (
        line.key.removeprefix(f"chaos-{seed}-")
        for line in ledger.read(home.path / ledger.FOLDER)
        if isinstance(line, ledger.Posted)
    )
    last = max((int(number) for number in keys if number.isdigit()), default=0)
    return past.next_order if last < past.next_order else last + 1 + ON_THEIR_WAY_MAX


def read(home: Home) -> History:
    """The history of a home; an empty one when it has none."""
    path = home.path / FILE
    return History.model_validate_json(path.read_text()) if path.exists() else History()


def write(home: Home, history: History) -> Path:
    path = home.path / FILE
    write_whole(path, history.model_dump_json(indent=1) + "\n")
    return path
