"""The Kafka bus while its broker dies and comes back, on a broker of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from waybill.embedded import kafka
from waybill.embedded.kafka import EmbeddedKafka
from waybill_runtime.adapters.kafka.bus import KafkaBus
from waybill_runtime.adapters.kafka.bus_consumer import KafkaConsumer
from waybill_runtime.bus import Bus, BusUnavailable, Producer
from waybill_runtime.testing.bus_harness import BusHarness, Member, flat, numbered, values

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


class RestartHarness(BusHarness):
    patience_s = 90.0

    def __init__(self, broker: EmbeddedKafka) -> None:
        super().__init__()
        self.broker = broker

    async def make_bus(self) -> Bus:
        return KafkaBus(self.broker.bootstrap, session_timeout_ms=6_000, heartbeat_interval_ms=300)

    async def kill(self, member: Member) -> None:
        assert isinstance(member.consumer, KafkaConsumer)
        await member.consumer.die()

    async def kill_broker(self) -> None:
        await asyncio.to_thread(self.broker.kill)

    async def start_broker(self) -> None:
        await asyncio.to_thread(self.broker.start)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    broker = EmbeddedKafka(tmp_path_factory.mktemp("restarted-kafka"), kafka.choose(""))
    broker.start()
    yield broker
    broker.kill()
    broker.drop()


@pytest.fixture
async def harness(broker: EmbeddedKafka) -> AsyncIterator[RestartHarness]:
    await asyncio.to_thread(broker.start)
    harness = RestartHarness(broker)
    yield harness
    await harness.close()


async def send_until_acknowledged(
    producer: Producer, topic: str, batches: int, refusals: list[str]
) -> None:
    """As a relay does: what was not acknowledged is sent again, all of it, in order."""
    for batch in range(batches):
        while True:
            try:
                await producer.send(numbered(topic, 20, start=batch * 20), deadline_s=3.0)
            except BusUnavailable as error:
                refusals.append(str(error))
                await asyncio.sleep(0.1)
            else:
                break
        await asyncio.sleep(0.01)


async def test_a_broker_killed_under_a_sender_and_a_group_loses_nothing(
    harness: RestartHarness,
) -> None:
    _, topic, producer = await harness.producer()
    group = harness.group()
    members = [await harness.member(group, [topic]) for _ in range(2)]
    await harness.settled(*members)
    refusals: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(send_until_acknowledged(producer, topic, 100, refusals))
        await asyncio.sleep(0.5)
        assert not sending.done()
        await harness.kill_broker()
        await asyncio.sleep(4.0)
        await harness.start_broker()
    assert refusals, "the kill was not felt"
    await harness.until(lambda: len(set(group.values())) == 2_000, "all 2,000 arrived")
    for key, found in group.by_key().items():
        firsts = list(dict.fromkeys(int(value) for value in found))
        assert firsts == sorted(firsts), key


async def test_a_producer_that_failed_while_the_broker_was_down_sends_again_after_it(
    harness: RestartHarness,
) -> None:
    bus, topic, producer = await harness.producer()
    await producer.send(numbered(topic, 20))
    await harness.kill_broker()
    for _ in range(2):
        with pytest.raises(BusUnavailable):
            await producer.send(numbered(topic, 20, start=100), deadline_s=1.0)
    await harness.start_broker()
    await harness.until_answers(bus)
    await producer.send(numbered(topic, 20, start=200))
    found = values(flat(await harness.log(bus, topic)))
    assert {int(value) for value in found} >= {*range(20), *range(200, 220)}


async def test_everything_is_answered_and_stopped_in_time_while_the_broker_is_down(
    harness: RestartHarness,
) -> None:
    bus, topic, producer = await harness.producer()
    await producer.send(numbered(topic, 20))
    member = await harness.member(harness.group(), [topic], runs=False)
    await harness.poll_until(member, 20)
    await harness.kill_broker()
    assert member.consumer is not None
    async with asyncio.timeout(45.0):
        with pytest.raises(BusUnavailable):
            await producer.send(numbered(topic, 1), deadline_s=1.0)
        with pytest.raises(BusUnavailable):
            await bus.ping()
        await member.consumer.commit(dict.fromkeys(member.owned, 1))
        await producer.close()
        await member.consumer.close()
        await bus.close()
    await asyncio.sleep(0.2)
    left = [task.get_coro() for task in asyncio.all_tasks() if "aiokafka" in repr(task.get_coro())]
    assert left == []
