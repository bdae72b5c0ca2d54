"""What is exported is also counted: the loop's lag, and the Kafka clients' troubles."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from aiokafka.errors import KafkaError
from prometheus_client import REGISTRY

from waybill_runtime.adapters.holdings import Holdings
from waybill_runtime.adapters.kafka import clients
from waybill_runtime.adapters.kafka.bus_consumer import KafkaConsumer
from waybill_runtime.adapters.kafka.bus_producer import KafkaProducer
from waybill_runtime.bus import BusUnavailable, Message, Partition
from waybill_runtime.clock import LoopClock, SystemClock
from waybill_runtime.http import app as http_app
from waybill_runtime.http.auth import KeyRing
from waybill_runtime.testing.world import EPOCH, World, simulate


def value(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


class StalledClock:
    """The loop's time, and what it lost while something held it up."""

    def __init__(self) -> None:
        self._clock = LoopClock(EPOCH)
        self.stalled_s = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(0, UTC)

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s() + self.stalled_s


def test_a_served_application_tells_how_late_its_loop_is() -> None:
    async def main() -> None:
        on, clock = World().infrastructure("db"), StalledClock()
        on = type(on)(on.store, on.bus, clock, on.ids, on.stopping)
        app = http_app.create("test", "A test.", (), on, KeyRing(on.store, clock, ""))
        async with app.router.lifespan_context(app):
            await asyncio.sleep(0.5)
            clock.stalled_s += 0.3
            await asyncio.sleep(1)
            assert value("waybill_tasks") == len(asyncio.all_tasks())
            assert value("waybill_loop_lag_seconds") == pytest.approx(0.3)
            await asyncio.sleep(1)
            assert value("waybill_loop_lag_seconds") == pytest.approx(0.0)

    simulate(1, main())


class BrokenClient:
    """A client of a broker that takes it in and then fails at everything."""

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    def subscribe(self, _: object, listener: object) -> None:
        return None

    def create_batch(self) -> None:
        raise KafkaError

    async def getmany(self, **_: object) -> None:
        raise KafkaError

    async def commit(self, _: object) -> None:
        raise KafkaError


async def test_a_producer_thrown_away_after_a_failure_is_counted_and_a_closed_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients, "new_producer", lambda _: BrokenClient())
    producer = KafkaProducer("nowhere", SystemClock())
    before = value("waybill_kafka_producers_discarded_total")
    with pytest.raises(BusUnavailable):
        await producer.send([Message("orders", "k", b"{}")])
    assert value("waybill_kafka_producers_discarded_total") == before + 1
    await producer.close()
    assert value("waybill_kafka_producers_discarded_total") == before + 1


class Nobody:
    async def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return dict.fromkeys(partitions, 0)

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        return None


async def test_a_consumer_rebuilt_and_a_commit_that_failed_are_counted() -> None:
    holdings = Holdings(Nobody())
    consumer = KafkaConsumer(BrokenClient, ["orders"], holdings, SystemClock())
    rebuilt = value("waybill_kafka_consumers_rebuilt_total")
    failed = value("waybill_kafka_commits_failed_total")
    with pytest.raises(BusUnavailable):
        await consumer.poll(max_messages=1, timeout_s=0.1)
    assert value("waybill_kafka_consumers_rebuilt_total") == rebuilt + 1
    await consumer._ready()
    await holdings.take({Partition("orders", 0): 1}, {Partition("orders", 0): 0})
    await consumer.commit({Partition("orders", 0): 0})
    assert value("waybill_kafka_commits_failed_total") == failed + 1
