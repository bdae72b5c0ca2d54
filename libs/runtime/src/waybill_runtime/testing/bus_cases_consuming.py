"""Conformance of one consumer: from where, in what order, how much, and what never gets lost."""

import asyncio

from waybill_runtime.bus import PARTITIONS, Partition, partition_of
from waybill_runtime.testing.bus_harness import (
    BusHarness,
    by_key,
    numbered,
    refused,
    values,
)


class ConsumingCases:
    async def test_a_consumer_gets_what_was_sent_before_it_joined(
        self, harness: BusHarness
    ) -> None:
        _, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 30))
        group = harness.group()
        await harness.member(group, [topic])
        await harness.until(lambda: len(group.handled) == 30, "all 30 arrived")

    async def test_a_consumer_gets_what_is_sent_after_it_joined(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        group = harness.group()
        member = await harness.member(group, [topic])
        await harness.settled(member)
        for start in range(0, 30, 10):
            await producer.send(numbered(topic, 10, start=start))
        await harness.until(lambda: len(group.handled) == 30, "all 30 arrived")

    async def test_two_groups_each_get_everything(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        groups = [harness.group(), harness.group()]
        for group in groups:
            await harness.member(group, [topic])
        sent = numbered(topic, 40)
        await producer.send(sent)
        for group in groups:
            await harness.until(lambda g=group: len(g.handled) == 40, "the group got all 40")  # type: ignore[misc]
            assert group.by_key() == by_key(sent)

    async def test_a_group_that_comes_late_starts_at_zero(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        first = harness.group()
        await harness.member(first, [topic])
        sent = numbered(topic, 40)
        await producer.send(sent)
        await harness.until(lambda: len(first.handled) == 40, "the first group got all")
        late = harness.group()
        await harness.member(late, [topic])
        await harness.until(lambda: len(late.handled) == 40, "the late group got all")
        assert late.by_key() == by_key(sent)

    async def test_deliveries_come_in_offset_order_without_gaps(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 300))
        group = harness.group()
        member = await harness.member(group, [topic], max_messages=17)
        await harness.until(lambda: len(group.handled) >= 300, "all 300 arrived")
        for partition, deliveries in (await harness.log(bus, topic)).items():
            assert [d for d in member.handled if d.partition == partition] == deliveries

    async def test_each_partition_starts_where_the_listener_says(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 240, keys=240))
        log = await harness.log(bus, topic)
        assert len(log) == PARTITIONS
        group = harness.group()
        for partition in log:
            group.positions[partition] = partition.number % 4
        expected = sum(len(found) - partition.number % 4 for partition, found in log.items())
        member = await harness.member(group, [topic])
        await harness.until(lambda: len(group.handled) >= expected, "the rest arrived")
        await asyncio.sleep(harness.quiet_s)
        assert len(group.handled) == expected
        firsts: dict[Partition, int] = {}
        for delivery in member.handled:
            firsts.setdefault(delivery.partition, delivery.offset)
        assert firsts == {partition: partition.number % 4 for partition in log}

    async def test_a_poll_hands_out_no_more_than_asked(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 60))
        member = await harness.member(harness.group(), [topic], runs=False, max_messages=7)
        sizes: list[int] = []
        while sum(sizes) < 60:
            before = len(member.handled)
            await harness.poll_until(member, before + 1)
            sizes.append(len(member.handled) - before)
        assert max(sizes) <= 7
        assert sum(sizes) == 60

    async def test_each_poll_goes_on_after_the_one_before(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 25, keys=1))
        member = await harness.member(harness.group(), [topic], runs=False, max_messages=1)
        await harness.poll_until(member, 25)
        assert [delivery.offset for delivery in member.handled] == list(range(25))

    async def test_an_idle_poll_is_empty_after_its_time_and_the_next_one_works(
        self, harness: BusHarness
    ) -> None:
        _, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 1))
        member = await harness.member(harness.group(), [topic], runs=False)
        await harness.poll_until(member, 1)
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        assert list(await member.poll(timeout_s=0.4)) == []
        assert 0.3 <= loop.time() - started_s < 2.0
        await producer.send(numbered(topic, 1, start=1))
        await harness.poll_until(member, 2)

    async def test_a_waiting_poll_returns_when_something_comes(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 1))
        member = await harness.member(harness.group(), [topic], runs=False)
        await harness.poll_until(member, 1)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(member.poll(timeout_s=20.0))
            await asyncio.sleep(0.2)
            started_s = loop.time()
            await producer.send(numbered(topic, 1, start=1))
        assert values([delivery.message for delivery in waiting.result()]) == [b"1"]
        assert loop.time() - started_s < 1.5

    async def test_cancelled_polls_lose_nothing(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        member = await harness.member(harness.group(), [topic], runs=False, max_messages=10)
        loop = asyncio.get_running_loop()
        for turn in range(30):
            await producer.send(numbered(topic, 10, start=turn * 10))
            poll = loop.create_task(member.poll(timeout_s=5.0))
            await asyncio.sleep(0.001 * turn)
            poll.cancel()
            await asyncio.gather(poll, return_exceptions=True)
        await harness.poll_until(member, 300)
        assert sorted(int(d.message.value) for d in member.handled) == list(range(300))

    async def test_commits_are_advice_that_moves_nothing(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 20))
        group = harness.group()
        member = await harness.member(group, [topic], runs=False)
        await harness.poll_until(member, 20)
        assert member.consumer is not None
        await member.consumer.commit(dict.fromkeys(member.owned, 1000))
        await member.stop()
        group.positions.clear()
        again = await harness.member(group, [topic])
        await harness.until(lambda: len(again.handled) == 20, "all 20 came again")

    async def test_a_commit_never_raises(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 1))
        member = await harness.member(harness.group(), [topic], runs=False)
        assert member.consumer is not None
        await member.consumer.commit({Partition(topic, 0): 1})
        await harness.poll_until(member, 1)
        await member.consumer.commit({Partition("nobody-made-this", 3): 7})
        await member.consumer.commit({})
        await member.consumer.close()
        await member.consumer.commit({Partition(topic, 0): 1})

    async def test_a_consumer_may_be_closed_twice_and_then_polls_no_more(
        self, harness: BusHarness
    ) -> None:
        _, topic = await harness.topic()
        member = await harness.member(harness.group(), [topic], runs=False)
        assert member.consumer is not None
        await member.consumer.close()
        await member.consumer.close()
        await refused(member.poll())

    async def test_a_consumer_of_a_closed_bus_polls_no_more(self, harness: BusHarness) -> None:
        _, topic = await harness.topic()
        member = await harness.member(harness.group(), [topic], runs=False)
        await member.bus.close()
        await refused(member.poll())

    async def test_one_consumer_reads_many_topics(self, harness: BusHarness) -> None:
        bus, topics = await harness.topics(3)
        producer = await bus.producer()
        group = harness.group()
        await harness.member(group, topics)
        for start in range(0, 30, 10):
            for topic in topics:
                await producer.send(numbered(topic, 10, start=start))
        await harness.until(lambda: len(group.handled) == 90, "all 90 arrived")
        for topic in topics:
            own = [d.message for d in group.handled if d.message.topic == topic]
            assert by_key(own) == by_key(numbered(topic, 30))

    async def test_a_consumer_gets_only_its_topics(self, harness: BusHarness) -> None:
        bus, (mine, other) = await harness.topics(2)
        group = harness.group()
        await harness.member(group, [mine])
        await (await bus.producer()).send(numbered(mine, 10) + numbered(other, 10))
        await harness.until(lambda: len(group.handled) >= 10, "its own 10 arrived")
        await asyncio.sleep(harness.quiet_s)
        assert {delivery.partition.topic for delivery in group.handled} == {mine}

    async def test_a_delivery_carries_the_message_as_it_was_sent(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 10))
        group = harness.group()
        await harness.member(group, [topic])
        await harness.until(lambda: len(group.handled) == 10, "all 10 arrived")
        log = await harness.log(bus, topic)
        expected = [delivery for deliveries in log.values() for delivery in deliveries]
        assert sorted(group.handled, key=lambda d: (d.partition, d.offset)) == expected

    async def test_a_start_behind_the_end_is_reported_and_holds_up_no_other(
        self, harness: BusHarness
    ) -> None:
        _, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 48))
        cut = Partition(topic, partition_of("key-0"))
        group = harness.group()
        group.positions[cut] = 1_000
        member = await harness.member(group, [topic])
        others = [m for m in numbered(topic, 48) if partition_of(m.key) != cut.number]
        await harness.until(lambda: len(group.handled) >= len(others), "the others arrived")
        await harness.until(lambda: len(member.truncations) > 0, "it was reported")
        assert [(e.partition, e.position) for e in member.truncations] == [(cut, 1_000)]
        assert cut not in {delivery.partition for delivery in group.handled}

    async def test_partitions_whose_start_is_unknown_stay_unread_and_go_to_the_next(
        self, harness: BusHarness
    ) -> None:
        _, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 20))
        group = harness.group()
        failing = await harness.member(group, [topic], fails_to_start=True)
        await harness.settled(failing)
        await asyncio.sleep(harness.quiet_s)
        assert failing.handled == []
        await failing.stop()
        await harness.member(group, [topic])
        await harness.until(lambda: len(group.handled) == 20, "the next one got all 20")
