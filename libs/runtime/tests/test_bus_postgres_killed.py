"""The Postgres bus while its server is killed and started again, on a server of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from waybill.embedded.postgres import EmbeddedPostgres
from waybill_runtime.adapters.postgres.bus import PostgresBus
from waybill_runtime.bus import Bus, BusUnavailable, Producer
from waybill_runtime.clock import SystemClock
from waybill_runtime.ids import RandomIds
from waybill_runtime.testing.bus_harness import BusHarness, Member, flat, numbered, values

pytestmark = pytest.mark.postgres


class KilledHarness(BusHarness):
    patience_s = 30.0

    def __init__(self, server: EmbeddedPostgres) -> None:
        super().__init__()
        self.server = server

    async def make_bus(self) -> Bus:
        clock = SystemClock()
        return PostgresBus(self.server.dsn(), clock, RandomIds(clock), lease_s=2.0)

    async def kill(self, member: Member) -> None:
        """A member that stopped polling is dead to this bus: its lease runs out."""

    async def kill_server(self) -> None:
        await asyncio.to_thread(self.server.kill)

    async def start_server(self) -> None:
        await asyncio.to_thread(self.server.start)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("killed-postgres"))
    server.start()
    yield server
    server.stop("immediate")
    server.drop()


@pytest.fixture
async def harness(server: EmbeddedPostgres) -> AsyncIterator[KilledHarness]:
    server.start()
    harness = KilledHarness(server)
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
                await asyncio.sleep(0.05)
            else:
                break
        await asyncio.sleep(0.01)


async def test_killing_the_server_loses_nothing_and_leaves_no_gap(harness: KilledHarness) -> None:
    bus, topic, producer = await harness.producer()
    group = harness.group()
    for _ in range(2):
        await harness.member(group, [topic])
    refusals: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(send_until_acknowledged(producer, topic, 120, refusals))
        for _ in range(2):
            await asyncio.sleep(0.5)
            assert not sending.done()
            await harness.kill_server()
            await asyncio.sleep(0.2)
            await harness.start_server()
    assert refusals, "the kills were not felt"
    await harness.until(lambda: len(set(group.values())) == 2_400, "all 2,400 arrived")
    for deliveries in (await harness.log(bus, topic)).values():
        assert [d.offset for d in deliveries] == list(range(len(deliveries)))
    for key, found in group.by_key().items():
        firsts = list(dict.fromkeys(int(value) for value in found))
        assert firsts == sorted(firsts), key


async def test_a_bus_whose_server_is_down_answers_within_its_deadlines(
    harness: KilledHarness,
) -> None:
    bus, topic, producer = await harness.producer()
    member = await harness.member(harness.group(), [topic], runs=False)
    await member.poll()
    await harness.kill_server()
    async with asyncio.timeout(10.0):
        with pytest.raises(BusUnavailable):
            await producer.send(numbered(topic, 1), deadline_s=2.0)
        with pytest.raises(BusUnavailable):
            await member.poll()
        with pytest.raises(BusUnavailable):
            await bus.ping()
        assert member.consumer is not None
        await member.consumer.commit({})
        await member.consumer.close()
        await producer.close()
        await bus.close()


async def test_what_was_acknowledged_before_the_kill_is_there_after_it(
    harness: KilledHarness,
) -> None:
    bus, topic, producer = await harness.producer()
    await producer.send(numbered(topic, 200))
    await harness.kill_server()
    await harness.start_server()
    await harness.until_answers(bus)
    assert len(set(values(flat(await harness.log(bus, topic))))) == 200
