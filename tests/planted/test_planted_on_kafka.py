"""A bug that only a broker shows is caught on one, from what the audit reads of it."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest

import scenarios
from bugs import BUGS
from test_planted_bugs import ids, told
from waybill.embedded import fixtures, kafka
from waybill.embedded.kafka import EmbeddedKafka
from waybill_runtime.clock import SystemClock

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


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


@pytest.mark.parametrize("id_", ids("kafka"))
async def test_a_real_broker_catches(
    id_: str, broker: EmbeddedKafka, record_property: Callable[[str, Any], None]
) -> None:
    for planted in (False, True):
        begun_s = SystemClock().monotonic_s()
        with BUGS[id_].planted() if planted else nullcontext():
            seen = await scenarios.ON_KAFKA[id_](broker.bootstrap)
        if planted:
            told(record_property, id_, seen, begun_s)
        else:
            assert seen.violated == {}
