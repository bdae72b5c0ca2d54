"""The Kafka bus against the suite, on a real broker."""

from collections.abc import AsyncIterator

import pytest

from waybill_runtime.adapters.kafka.bus import KafkaBus
from waybill_runtime.adapters.kafka.bus_consumer import KafkaConsumer
from waybill_runtime.bus import Bus
from waybill_runtime.testing.bus_conformance import BusConformance
from waybill_runtime.testing.bus_harness import BusHarness, Member

pytestmark = pytest.mark.kafka


class KafkaHarness(BusHarness):
    patience_s = 40.0
    quiet_s = 0.5

    def __init__(self, bootstrap: str) -> None:
        super().__init__()
        self.bootstrap = bootstrap

    async def make_bus(self) -> Bus:
        return KafkaBus(self.bootstrap, session_timeout_ms=6_000, heartbeat_interval_ms=300)

    async def kill(self, member: Member) -> None:
        assert isinstance(member.consumer, KafkaConsumer)
        await member.consumer.die()


@pytest.fixture
async def harness(kafka_bootstrap: str) -> AsyncIterator[KafkaHarness]:
    harness = KafkaHarness(kafka_bootstrap)
    yield harness
    await harness.close()


class TestKafkaBus(BusConformance):
    pass
