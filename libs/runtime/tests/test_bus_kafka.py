"""The Kafka bus against the suite, on a real broker."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from waybill_runtime.adapters.kafka.bus import KafkaBus
from waybill_runtime.adapters.kafka.bus_consumer import KafkaConsumer
from waybill_runtime.bus import Bus
from waybill_runtime.testing.bus_conformance import BusConformance
from waybill_runtime.testing.bus_harness import BusHarness, Member, Owning

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


async def test_who_starts_in_the_place_of_a_killed_one_waits_for_no_session(
    harness: KafkaHarness,
) -> None:
    """The second of one place has everything within seconds of a long session; a third member, in
    a place of its own, takes nothing away from either but its share.
    """
    _, topic, _ = await harness.producer()
    group = f"group-{topic}"
    buses: list[KafkaBus] = []

    async def joined(place: str) -> tuple[KafkaConsumer, Owning]:
        bus = KafkaBus(harness.bootstrap, session_timeout_ms=300_000, instance=place)
        buses.append(bus)
        listener = Owning()
        return await bus.consumer(group, [topic], listener), listener

    async def until_shared(members: dict[KafkaConsumer, Owning], each: int) -> None:
        async with asyncio.timeout(20):
            while [len(listener.owned) for listener in members.values()] != [each] * len(members):
                async with asyncio.TaskGroup() as polls:
                    for member in members:
                        polls.create_task(member.poll(max_messages=1, timeout_s=0.2))

    killed, before = await joined("here:1")
    await until_shared({killed: before}, 12)
    await killed.die()
    heir, owned = await joined("here:1")
    await until_shared({heir: owned}, 12)
    other, share = await joined("here:11")
    await until_shared({heir: owned, other: share}, 6)
    admin = AIOKafkaAdminClient(bootstrap_servers=harness.bootstrap)
    await admin.start()
    (answer,) = await admin.describe_consumer_groups([group])
    await admin.close()
    assert sorted(client for *_, told in answer.groups for _, client, *_ in told) == [
        "waybill-here:1",
        "waybill-here:11",
    ]
    for bus in buses:
        await bus.close()
