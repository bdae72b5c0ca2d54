"""Conformance of reads without a group, of bounds, topics, ping and close."""

import asyncio

from waybill_runtime.bus import PARTITIONS, Message, Partition
from waybill_runtime.testing.bus_harness import BusHarness, Member, flat, numbered, refused


class ReadingCases:
    async def test_a_read_starts_at_any_offset(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 20, keys=1))
        partition = await harness.only_partition(bus, topic)
        for offset in (0, 1, 13, 19):
            found = await bus.read(partition, offset, 100)
            assert [delivery.offset for delivery in found] == list(range(offset, 20))

    async def test_a_read_obeys_its_limit(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 20, keys=1))
        partition = await harness.only_partition(bus, topic)
        for limit in (1, 7, 20):
            assert len(await bus.read(partition, 0, limit)) == limit

    async def test_a_read_at_the_end_is_empty_until_something_comes(
        self, harness: BusHarness
    ) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 4, keys=1))
        partition = await harness.only_partition(bus, topic)
        assert list(await bus.read(partition, 4, 10)) == []
        await producer.send(numbered(topic, 1, keys=1, start=4))
        assert [delivery.offset for delivery in await bus.read(partition, 4, 10)] == [4]

    async def test_pages_of_reads_find_everything_once(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 50, keys=1))
        partition = await harness.only_partition(bus, topic)
        found: list[int] = []
        while page := await bus.read(partition, len(found), 8):
            found += [delivery.offset for delivery in page]
        assert found == list(range(50))

    async def test_reads_at_once_do_not_disturb_each_other(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 120, keys=120))
        log = await harness.log(bus, topic)
        async with asyncio.TaskGroup() as tasks:
            reads = {p: tasks.create_task(bus.read(p, 0, 1_000)) for p in log}
        assert {p: list(read.result()) for p, read in reads.items()} == log
        assert len(log) == PARTITIONS

    async def test_a_read_takes_nothing_from_a_group(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        group = harness.group()
        await harness.member(group, [topic])
        await producer.send(numbered(topic, 30))
        await harness.log(bus, topic)
        await harness.until(lambda: len(group.handled) == 30, "the group got all 30")

    async def test_bounds_of_a_new_topic_are_zero_for_every_partition(
        self, harness: BusHarness
    ) -> None:
        bus, topics = await harness.topics(2)
        expected = {Partition(t, n): (0, 0) for t in topics for n in range(PARTITIONS)}
        assert dict(await bus.bounds(topics)) == expected

    async def test_bounds_grow_with_what_is_sent(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        ends = []
        for start in range(0, 30, 10):
            await producer.send(numbered(topic, 10, start=start))
            ends.append(sum(end for _, end in (await bus.bounds([topic])).values()))
        assert ends == [10, 20, 30]

    async def test_what_is_cut_off_is_gone_and_its_numbers_are_not_given_again(
        self, harness: BusHarness
    ) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 10, keys=1))
        partition = await harness.only_partition(bus, topic)
        await bus.cut({partition: 6})
        assert (await bus.bounds([topic]))[partition] == (6, 10)
        assert [delivery.offset for delivery in await bus.read(partition, 0, 100)] == [6, 7, 8, 9]
        await bus.cut({partition: 10})
        assert (await bus.bounds([topic]))[partition] == (10, 10)
        await producer.send(numbered(topic, 1, keys=1, start=10))
        assert [delivery.offset for delivery in await bus.read(partition, 0, 100)] == [10]

    async def test_bounds_are_of_the_topics_asked_for(self, harness: BusHarness) -> None:
        bus, (first, second) = await harness.topics(2)
        await (await bus.producer()).send(numbered(second, 5))
        assert {p.topic for p in await bus.bounds([first])} == {first}
        assert sum(end for _, end in (await bus.bounds([second])).values()) == 5

    async def test_making_a_topic_again_keeps_its_messages(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 5))
        await bus.ensure_topics([topic])
        await (await harness.bus()).ensure_topics([topic])
        assert len(flat(await harness.log(bus, topic))) == 5

    async def test_many_may_make_the_same_topics_at_once(self, harness: BusHarness) -> None:
        bus, (known,) = await harness.topics(1)
        names = [f"{known}-{number}" for number in range(3)]
        buses = [await harness.bus() for _ in range(4)]
        async with asyncio.TaskGroup() as tasks:
            for place, other in enumerate(buses):
                tasks.create_task(other.ensure_topics(names[place % 3 :] + names[: place % 3]))
        assert len(await bus.bounds(names)) == 3 * PARTITIONS

    async def test_a_bus_answers_a_ping_until_it_is_closed(self, harness: BusHarness) -> None:
        bus = await harness.bus()
        await bus.ping()
        await bus.close()
        await refused(bus.ping())

    async def test_a_closed_bus_refuses_everything(self, harness: BusHarness) -> None:
        bus, topic = await harness.topic()
        await bus.close()
        await refused(bus.ensure_topics([topic]))
        await refused(bus.read(Partition(topic, 0), 0, 1))
        await refused(bus.bounds([topic]))
        await refused(bus.consumer("group", [topic], Member(bus, harness.group())))

    async def test_a_closed_bus_sends_no_more(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await bus.close()
        await refused(producer.send([Message(topic=topic, key="k", value=b"v")]))

    async def test_a_bus_may_be_closed_twice(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 2))
        await bus.close()
        await bus.close()
        other = await harness.bus()
        assert len(flat(await harness.log(other, topic))) == 2
