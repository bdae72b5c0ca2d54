"""A bug that only a broker shows is caught by the case that a broker of its own is killed in."""

import asyncio
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hunting
from bugs import BUGS
from waybill.embedded import fixtures, kafka
from waybill.embedded.kafka import EmbeddedKafka
from waybill_runtime.bus import BusUnavailable
from waybill_runtime.clock import SystemClock

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

SUITE = Path(__file__).parents[2] / "libs/runtime/tests/test_bus_kafka_restarts.py"
CASES = {
    "producer-reused-after-error": (
        "test_a_producer_that_failed_while_the_broker_was_down_sends_again_after_it"
    ),
}
PATIENCE_S = 90.0


def suite() -> ModuleType:
    """The restart suite of the Kafka bus, which is no module of a package."""
    spec = importlib.util.spec_from_file_location("bus_kafka_restarts", SUITE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedKafka]:
    folder = tmp_path_factory.mktemp("planted-kafka")
    fixtures.need_kafka(request.config, folder)
    broker = EmbeddedKafka(folder, kafka.choose(""))
    broker.start()
    yield broker
    broker.kill()
    broker.drop()


async def fails(case: str, broker: EmbeddedKafka) -> str:
    """How the case fails on this broker, in a word; empty where it holds."""
    cases = suite()
    harness = cases.RestartHarness(broker)
    await asyncio.to_thread(broker.start)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await getattr(cases, case)(harness)
    except (AssertionError, BusUnavailable, TimeoutError) as failure:
        return f"{type(failure).__name__}: {failure}".splitlines()[0]
    finally:
        await harness.close()
    return ""


@pytest.mark.xfail(
    reason="issue 4: the case's outage is short, and a kept client recovers: not caught yet",
    raises=AssertionError,
    strict=True,  # the day that it is caught, this mark goes
)
@pytest.mark.parametrize("id_", [bug.id for bug in BUGS.values() if bug.by == "kafka"])
async def test_a_real_broker_catches(
    id_: str, broker: EmbeddedKafka, record_property: Callable[[str, Any], None]
) -> None:
    case = CASES[id_]
    if without := await fails(case, broker):
        pytest.fail(f"{case} fails without the bug: {without}")
    clock = SystemClock()
    begun_s = clock.monotonic_s()
    with BUGS[id_].planted():
        failure = await fails(case, broker)
    assert failure, f"{id_} was not caught: {BUGS[id_].says}"
    duration_s = clock.monotonic_s() - begun_s
    caught = hunting.Caught([f"{SUITE.stem}::{case}"], failure, None, duration_s)
    record_property("caught", caught)
