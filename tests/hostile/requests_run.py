"""`python requests_run.py --requests N`: hostile requests until there are N, with the evidence.

Rounds of one seed each, by two processes: all six services of one shop with a past, in turn, each
seed beginning with another. Coverage is the same whatever the seed: it is asked in the first round
only. After so many minutes nothing more is begun, and the evidence tells what is missing; the same
command then goes on where it was.
"""

import argparse
import itertools
import json
import logging
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

import asking
import planting
import serving
from waybill import programs
from waybill.proof import Proof, all_left_out, commit, write

EVIDENCE = Path("docs/evidence/hostile-requests.json")
EXAMPLES = 100
PROCESSES = 2
ORDERS = 40
ASKED = 100_000
"""What the promise is worth: a smaller run is a shortfall."""
NEEDED = ("coverage", "fuzzing", "stateful")
"""Phases that every service must have answered in; only some have examples."""


def one_round(seed: int, past: Collection[str], ends_s: float) -> list[dict[str, Any]]:
    """Ask the services of one shop, but those of the past, in turn until the time is over.

    What came of each, as JSON; making the shop counts with the first.
    """
    quiet()
    at, started_s = datetime.now(UTC).isoformat(), monotonic()
    first = seed % len(programs.SERVICES)
    found: list[dict[str, Any]] = []
    with serving.serving(serving.on_memory()) as running:
        known = planting.plant(running, ORDERS)
        for service in (*programs.SERVICES[first:], *programs.SERVICES[:first]):
            if service in past:
                continue
            if found and monotonic() > ends_s:
                break
            one = _asked(running, service, seed, known)
            found.append({**one, "at": at, "seconds": round(monotonic() - started_s, 1)})
            at, started_s = datetime.now(UTC).isoformat(), monotonic()
    return found


def _asked(
    running: serving.Serving, service: str, seed: int, known: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    tally = asking.ask(
        service,
        running.document(service),
        running.urls[service],
        known,
        seed=seed,
        examples=EXAMPLES,
        phases=asking.PHASES if seed == 1 else ("fuzzing", "stateful"),
    )
    return {
        "service": service,
        "seed": seed,
        "statuses": {str(status): count for status, count in tally.statuses.items()},
        "phases": tally.phases,
        "operations": tally.operations,
        "failures": tally.failures,
    }


def quiet() -> None:
    """Say only what is an error of ours."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)


def ask_until(requests: int, kept: Path, ends_s: float) -> list[dict[str, Any]]:
    """Rounds until so many requests were answered, or the time is over; each is kept."""
    done = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    past: dict[int, set[str]] = defaultdict(set)
    for one in done:
        past[one["seed"]].add(one["service"])
    todo = (seed for seed in itertools.count(1) if len(past[seed]) < len(programs.SERVICES))
    sent = sum(sum(one["statuses"].values()) for one in done)
    with ProcessPoolExecutor(PROCESSES) as pool, kept.open("a") as file:
        under_way: set[Future[list[dict[str, Any]]]] = set()
        while True:
            while len(under_way) < PROCESSES and sent < requests and monotonic() < ends_s:
                seed = next(todo)
                under_way.add(pool.submit(one_round, seed, past[seed], ends_s))
            if not under_way:
                return done
            ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for one in itertools.chain.from_iterable(future.result() for future in ended):
                file.write(json.dumps(one) + "\n")
                file.flush()
                done.append(one)
                sent += sum(one["statuses"].values())
                say(f"{one['service']} {one['seed']}: {sent} of {requests} requests")
                for failure, how in one["failures"].items():
                    say(f"  {failure}\n    {how}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def proof(done: list[dict[str, Any]], requests: int) -> Proof:
    """What the rounds came to."""
    statuses: dict[str, Counter[str]] = {service: Counter() for service in programs.SERVICES}
    phases: dict[str, Counter[str]] = {service: Counter() for service in programs.SERVICES}
    operations: Counter[str] = Counter()
    for one in done:
        statuses[one["service"]].update(one["statuses"])
        phases[one["service"]].update(one["phases"])
        operations.update(one["operations"])
    classes = {service: _classes(found) for service, found in statuses.items()}
    reached = {
        "requests": sum(sum(found.values()) for found in statuses.values()),
        "server_errors": sum(found.get("5xx", 0) for found in classes.values()),
        "violations": sum(len(one["failures"]) for one in done),
    }
    asked = {"requests": max(ASKED, requests), "server_errors": 0, "violations": 0}
    shortfalls = []
    if reached["requests"] < asked["requests"]:
        shortfalls.append(f"requests: {reached['requests']} of {asked['requests']}")
    shortfalls += [
        f"{name}: {reached[name]}" for name in ("server_errors", "violations") if reached[name]
    ]
    shortfalls += [
        f"{service} answered nothing in {phase}"
        for service, found in phases.items()
        for phase in NEEDED
        if not found[phase]
    ]
    return Proof(
        name="hostile requests",
        command=f"make hostile-requests REQUESTS={requests}",
        seed=1,
        started_at=datetime.fromisoformat(min(one["at"] for one in done)),
        duration_s=sum(one["seconds"] for one in done) / PROCESSES,
        asked=asked,
        reached=reached,
        shortfalls=shortfalls,
        left_out=all_left_out("a hostile run: each answer is judged by its schema"),
        details={
            "by_service": classes,
            "by_service_and_phase": {service: dict(found) for service, found in phases.items()},
            "by_phase": dict(sum(phases.values(), Counter())),
            "by_operation": dict(sorted(operations.items())),
            "checks": asking.CHECKS,
            "rounds": len({one["seed"] for one in done}),
            "failures": sorted({name for one in done for name in one["failures"]}),
        },
    )


def _classes(statuses: Mapping[str, int]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for status, count in statuses.items():
        found[f"{status[0]}xx"] += count
    return dict(sorted(found.items()))


def main() -> int:
    """The exit status: 0 when everything asked for was reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=ASKED)
    parser.add_argument("--minutes", type=float, default=25.0, help="begin nothing after this")
    options = parser.parse_args()
    quiet()
    kept = Path(tempfile.gettempdir()) / f"waybill-hostile-{commit()[:12]}.jsonl"
    done = ask_until(options.requests, kept, monotonic() + options.minutes * 60)
    found = proof(done, options.requests)
    write(found, EVIDENCE)
    say(f"{EVIDENCE}: {dict(found.reached)}")
    for shortfall in found.shortfalls:
        say(f"  {shortfall}")
    if found.reached["requests"] < options.requests:
        say("The time is over: the same command goes on")
    else:
        kept.unlink()
    return 0 if found.passes else 1


if __name__ == "__main__":
    raise SystemExit(main())
