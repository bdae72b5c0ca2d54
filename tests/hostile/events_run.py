"""`python events_run.py --events N`: hostile events into all six consumers, with the evidence.

Days of one shop each on memory, under virtual time, by two processes; the seed of a day is its
number. After so many minutes no day is begun, and the evidence tells what is missing; the same
command then goes on where it was.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

import bending
import events_day
from waybill.proof import Proof, all_left_out, commit, write

EVIDENCE = Path("docs/evidence/hostile-events.json")
EVENTS_A_DAY = 1_120
PROCESSES = 2
ASKED = 200_000
"""What the promise is worth: a smaller run is a shortfall."""


def one_day(seed: int) -> dict[str, Any]:
    """What came of one day, as JSON."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    at, started_s = datetime.now(UTC).isoformat(), monotonic()
    day = events_day.play(seed, EVENTS_A_DAY)
    return {
        "seed": seed,
        "at": at,
        "seconds": round(monotonic() - started_s, 1),
        "events": day.events,
        "deliveries": day.deliveries,
        "orders": day.orders,
        "ways": day.ways,
        "fates": day.fates,
        "violations": day.violations,
    }


def play_until(events: int, kept: Path, ends_s: float) -> list[dict[str, Any]]:
    """Days until so many events were sent, or the time is over; each is kept."""
    done = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    known = {one["seed"] for one in done}
    todo = iter(seed for seed in range(1, 1 + events) if seed not in known)
    sent = sum(one["events"] for one in done)
    begun = sent
    with ProcessPoolExecutor(PROCESSES) as pool, kept.open("a") as file:
        under_way: set[Future[dict[str, Any]]] = set()
        while True:
            while len(under_way) < PROCESSES and begun < events and monotonic() < ends_s:
                under_way.add(pool.submit(one_day, next(todo)))
                begun += EVENTS_A_DAY
            if not under_way:
                return done
            ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in ended:
                one = future.result()
                file.write(json.dumps(one) + "\n")
                file.flush()
                done.append(one)
                sent += one["events"]
                say(f"day {one['seed']}: {sent} of {events} events")
                for violation in one["violations"]:
                    say(f"  {violation}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def proof(done: list[dict[str, Any]], events: int) -> Proof:
    """What the days came to."""
    ways: Counter[str] = Counter()
    fates: Counter[str] = Counter()
    for one in done:
        ways.update(one["ways"])
        fates.update(one["fates"])
    reached = {
        "events": sum(one["events"] for one in done),
        "deliveries": sum(one["deliveries"] for one in done),
        "kinds": len(ways),
        "violations": sum(len(one["violations"]) for one in done),
    }
    wanted = max(ASKED, events)
    asked = {"events": wanted, "deliveries": wanted, "kinds": len(bending.WAYS), "violations": 0}
    shortfalls = [
        f"{name}: {reached[name]} of {asked[name]}"
        for name in ("events", "deliveries", "kinds")
        if reached[name] < asked[name]
    ]
    if reached["violations"]:
        shortfalls.append(f"violations: {reached['violations']}")
    return Proof(
        name="hostile events",
        command=f"make hostile-events EVENTS={events}",
        seed=1,
        started_at=datetime.fromisoformat(min(one["at"] for one in done)),
        duration_s=sum(one["seconds"] for one in done) / PROCESSES,
        asked=asked,
        reached=reached,
        shortfalls=shortfalls,
        left_out=all_left_out("a hostile run: each event is judged by what became of it"),
        details={
            "bus": "memory",
            "days": len(done),
            "orders_completed_beside": sum(one["orders"] for one in done),
            "deliveries_by_fate": dict(fates),
            "events_by_kind": dict(sorted(ways.items())),
            "violations": [text for one in done for text in one["violations"]][:100],
        },
    )


def main() -> int:
    """The exit status: 0 when everything asked for was reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=ASKED)
    parser.add_argument("--minutes", type=float, default=20.0, help="begin no day after this")
    options = parser.parse_args()
    kept = Path(tempfile.gettempdir()) / f"waybill-hostile-events-{commit()[:12]}.jsonl"
    done = play_until(options.events, kept, monotonic() + options.minutes * 60)
    found = proof(done, options.events)
    write(found, EVIDENCE)
    say(f"{EVIDENCE}: {dict(found.reached)}")
    for shortfall in found.shortfalls:
        say(f"  {shortfall}")
    if found.reached["events"] < options.events:
        say("The time is over: the same command goes on")
    else:
        kept.unlink()
    return 0 if found.passes else 1


if __name__ == "__main__":
    raise SystemExit(main())
