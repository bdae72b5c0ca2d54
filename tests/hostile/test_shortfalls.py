"""A long run that ends short of what it promises says so in its evidence."""

from typing import Any

import bending
import events_run
import requests_run
from waybill import programs

AT = "2026-01-01T00:00:00+00:00"


def asked(service: str, **phases: int) -> dict[str, Any]:
    """What one service answered in one round."""
    return {
        "service": service,
        "seed": 1,
        "at": AT,
        "seconds": 60.0,
        "statuses": {"200": sum(phases.values())},
        "phases": phases,
        "operations": {f"GET /{service}": sum(phases.values())},
        "failures": {},
    }


def day(events: int) -> dict[str, Any]:
    ways = dict.fromkeys(bending.WAYS, 1)
    found: dict[str, Any] = {"fates": {}, "violations": [], "orders": 10, "deliveries": 4 * events}
    return {"seed": 1, "at": AT, "seconds": 60.0, "events": events, "ways": ways, **found}


def test_enough_requests_to_every_service_in_every_phase_pass() -> None:
    done = [asked(one, coverage=20_000, fuzzing=1, stateful=1) for one in programs.SERVICES]
    found = requests_run.proof(done, 100_000)
    assert found.passes
    phases = {"coverage": 20_000, "fuzzing": 1, "stateful": 1}
    assert found.details["by_service_and_phase"] == dict.fromkeys(programs.SERVICES, phases)


def test_fewer_requests_than_promised_are_told_though_fewer_were_asked_for() -> None:
    done = [asked(one, coverage=1, fuzzing=1, stateful=1) for one in programs.SERVICES]
    assert requests_run.proof(done, 18).shortfalls == ["requests: 18 of 100000"]


def test_a_service_that_was_left_out_of_a_phase_is_told() -> None:
    done = [asked(one, coverage=20_000, fuzzing=1, stateful=1) for one in programs.SERVICES[:5]]
    done.append(asked("tracking", fuzzing=1, coverage=1))
    assert requests_run.proof(done, 100_000).shortfalls == ["tracking answered nothing in stateful"]


def test_fewer_events_than_promised_are_told_though_fewer_were_asked_for() -> None:
    assert events_run.proof([day(200_000)], 200_000).passes
    assert events_run.proof([day(1_120)], 1_120).shortfalls == [
        "events: 1120 of 200000",
        "deliveries: 4480 of 200000",
    ]
