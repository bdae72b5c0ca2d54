"""`python requests_run.py --requests N`: hostile requests until there are N, with the evidence.

Rounds of one service and one seed each, by two processes; a run that was cut off goes on where it
was. Each round has services of its own, with a past. Coverage is the same whatever the seed: it is
asked in the first round of a service only.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
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
from waybill.proof import Proof, commit, write

EVIDENCE = Path("docs/evidence/hostile-requests.json")
EXAMPLES = 150
PROCESSES = 2
ORDERS = 40


def one_round(service: str, seed: int) -> dict[str, Any]:
    """Ask one service in one round; what came of it, as JSON."""
    quiet()
    at, started_s = datetime.now(UTC).isoformat(), monotonic()
    phases = ("examples", "coverage", "fuzzing", "stateful")
    with serving.serving(serving.on_memory()) as running:
        known = planting.plant(running, ORDERS)
        tally = asking.ask(
            service,
            running.document(service),
            running.urls[service],
            known,
            seed=seed,
            examples=EXAMPLES,
            phases=phases if seed == 1 else ("fuzzing", "stateful"),
        )
    return {
        "service": service,
        "seed": seed,
        "at": at,
        "seconds": round(monotonic() - started_s, 1),
        "statuses": {str(status): count for status, count in tally.statuses.items()},
        "phases": tally.phases,
        "operations": tally.operations,
        "failures": tally.failures,
    }


def quiet() -> None:
    """Say only what is an error of ours."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)


def rounds() -> Iterator[tuple[str, int]]:
    """Services in turn; those with more operations more often."""
    busy = ("capture", "inventory", "fulfillment")
    seed = 0
    while True:
        seed += 1
        yield from ((service, seed) for service in programs.SERVICES)
        yield from ((service, 10_000 + seed) for service in busy)


def ask_until(requests: int, kept: Path, ends_s: float) -> list[dict[str, Any]]:
    """Rounds until so many requests were answered, or the time is over; each is kept."""
    done = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    known = {(one["service"], one["seed"]) for one in done}
    todo = (pair for pair in rounds() if pair not in known)
    sent = sum(sum(one["statuses"].values()) for one in done)
    with ProcessPoolExecutor(PROCESSES) as pool, kept.open("a") as file:
        under_way: set[Future[dict[str, Any]]] = set()
        while True:
            while len(under_way) < PROCESSES and sent < requests and monotonic() < ends_s:
                under_way.add(pool.submit(one_round, *next(todo)))
            if not under_way:
                return done
            ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in ended:
                one = future.result()
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
    statuses: dict[str, Counter[str]] = {}
    for one in done:
        statuses.setdefault(one["service"], Counter()).update(one["statuses"])
    classes = {service: _classes(found) for service, found in statuses.items()}
    reached = {
        "requests": sum(sum(found.values()) for found in statuses.values()),
        "server_errors": sum(found.get("5xx", 0) for found in classes.values()),
        "violations": sum(len(one["failures"]) for one in done),
    }
    asked = {"requests": requests, "server_errors": 0, "violations": 0}
    shortfalls = [] if reached["requests"] >= requests else ["fewer requests than asked"]
    shortfalls += [
        f"{name}: {reached[name]}" for name in ("server_errors", "violations") if reached[name]
    ]
    operations: Counter[str] = Counter()
    phases: Counter[str] = Counter()
    for one in done:
        operations.update(one["operations"])
        phases.update(one["phases"])
    return Proof(
        name="hostile requests",
        command=f"make hostile-requests REQUESTS={requests}",
        seed=1,
        started_at=datetime.fromisoformat(min(one["at"] for one in done)),
        duration_s=sum(one["seconds"] for one in done) / PROCESSES,
        asked=asked,
        reached=reached,
        shortfalls=shortfalls,
        details={
            "by_service": classes,
            "by_phase": dict(phases),
            "by_operation": dict(sorted(operations.items())),
            "checks": asking.CHECKS,
            "rounds": len(done),
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
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no round after this")
    parser.add_argument("--final", action="store_true", help="write what there is, however few")
    options = parser.parse_args()
    quiet()
    kept = Path(tempfile.gettempdir()) / f"waybill-hostile-{commit()[:12]}.jsonl"
    done = ask_until(options.requests, kept, monotonic() + options.minutes * 60)
    found = proof(done, options.requests)
    if found.reached["requests"] < options.requests and not options.final:
        say(f"{found.reached['requests']} so far: the same command goes on")
        return 1
    write(found, EVIDENCE)
    kept.unlink()
    say(f"{EVIDENCE}: {dict(found.reached)}")
    return 0 if found.passes else 1


if __name__ == "__main__":
    raise SystemExit(main())
