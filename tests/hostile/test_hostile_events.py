"""Hostile events, in short: each is parked under its own key or passed by, and orders go on."""

import logging
from collections.abc import Iterator

import pytest
import structlog

import bending
import events_day


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hostile_events_hold_nobody_up_and_change_nothing(seed: int) -> None:
    day = events_day.play(seed, 560)
    assert day.violations == []
    assert day.ways.keys() == {*bending.WAYS, "known before"}
    assert min(day.fates[fate] for fate in ("parked", "noted", "known")) > 0
    assert day.fates.total() == day.deliveries
