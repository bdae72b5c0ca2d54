"""What a soak calls growing: the last quarter above the second, warm-up left out."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from waybill.chaos import soak
from waybill_runtime.clock import SystemClock
from waybill_runtime.settings import ServiceSettings

WELL = {"refused": 0.0, "gave_up": 0.0, "restarts": 0.0, "quiet_s": 1.0}


def gone(figures: list[float], measure: str = "rss_mib") -> soak.Course:
    samples = soak.Samples()
    for number, figure in enumerate(figures):
        samples.add(number * 5.0, "capture", {measure: figure})
    (course,) = soak.courses(samples)
    return course


def test_warm_up_is_not_growth() -> None:
    assert gone([50.0, 90.0, 100.0, 110.0] + [120.0] * 12).flat


def test_what_goes_on_growing_is_not_flat_and_its_slope_is_told() -> None:
    course = gone([100.0 + 2 * number for number in range(40)])
    assert not course.flat
    assert course.slope_per_h == 1440.0


def test_a_little_noise_is_flat() -> None:
    assert gone([20.0 + number % 3 for number in range(40)], "open_files").flat


def test_too_few_samples_say_nothing_and_that_is_a_shortfall() -> None:
    samples = soak.Samples()
    samples.add(0.0, "capture", {"rss_mib": 1.0})
    figures = {"minutes": 1.0, "orders_per_s": 5.0, **WELL}
    assert soak.shortfalls(figures, figures, soak.courses(samples)) == [
        "too short to see anything grow"
    ]


def test_a_lower_rate_than_asked_is_a_shortfall() -> None:
    asked = {"minutes": 1.0, "orders_per_s": 20.0, "quiet_s": 60.0}
    reached = {"minutes": 1.0, "orders_per_s": 5.0, **WELL}
    course = gone([1.0] * 40)
    assert soak.shortfalls(asked, reached, [course]) == ["orders_per_s: 5 of 20"]


@pytest.mark.parametrize("what", soak.NONE_OF)
def test_what_must_not_be_without_faults_is_a_shortfall(what: str) -> None:
    reached = {"minutes": 1.0, "orders_per_s": 5.0, **WELL, what: 2.0}
    course = gone([1.0] * 40)
    assert soak.shortfalls(reached, reached, [course]) == [f"{what}: 2, not one"]


async def test_a_process_that_was_started_anew_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """However flat its figures are: each life begins anew."""
    pids = iter([1, 1, 2, None, 2, 3])
    ended = asyncio.Event()

    def process(_: str) -> object:
        pid = next(pids, 0)
        if pid == 0:
            ended.set()
        return SimpleNamespace(pid=pid) if pid else None

    monkeypatch.setattr(soak, "SAMPLE_EVERY_S", 0.0)
    monkeypatch.setattr(soak, "held", lambda _: {"rss_mib": 1.0})
    house = SimpleNamespace(
        process=process,
        system=SimpleNamespace(values={}),
        state=lambda: SimpleNamespace(programs={"gateway": None}),
    )
    samples = soak.Samples()
    sampling = asyncio.ensure_future(
        soak._sample(cast("Any", house), cast("Any", None), samples, SystemClock())
    )
    await ended.wait()
    sampling.cancel()
    assert samples.restarts == {"gateway": 2}


def test_a_pool_that_fills_late_is_no_leak() -> None:
    """And what it adds in connections, it adds in files."""
    pool = ServiceSettings.model_fields["pool_size"].default
    assert pool <= soak.FLOORS["connections"] < soak.FLOORS["open_files"]
