"""Conformance of groups: who owns what, who is told, and that changes lose and reorder nothing."""

import asyncio
from collections.abc import Sequence

from waybill_runtime.bus import PARTITIONS, Producer
from waybill_runtime.testing.bus_harness import BusHarness, Group, by_key, numbered


async def send_steadily(producer: Producer, topic: str, batches: Sequence[int]) -> None:
    """Ten messages at a time, a moment apart, while something else goes on."""
    for batch in batches:
        await producer.send(numbered(topic, 10, start=batch * 10))
        await asyncio.sleep(0.02)


async def all_handled(harness: BusHarness, group: Group, topic: str, count: int) -> None:
    """Wait for every number; then each key's order must be the sender's."""
    await harness.until(lambda: len(set(group.values())) >= count, f"all {count} were handled")
    assert group.by_key() == by_key(numbered(topic, count))
    assert group.violations == []


class GroupCases:
    async def test_a_lone_member_owns_every_partition(self, harness: BusHarness) -> None:
        _, topic = await harness.topic()
        member = await harness.member(harness.group(), [topic])
        await harness.settled(member)
        assert len(member.owned) == PARTITIONS

    async def test_two_members_share_without_overlap(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        group = harness.group()
        one = await harness.member(group, [topic])
        two = await harness.member(group, [topic])
        await harness.settled(one, two)
        await producer.send(numbered(topic, 120, keys=60))
        await harness.until(lambda: len(group.handled) == 120, "all 120 arrived")
        assert {d.partition for d in one.handled} & {d.partition for d in two.handled} == set()
        assert one.handled
        assert two.handled
        assert group.violations == []

    async def test_a_third_member_gets_its_share(self, harness: BusHarness) -> None:
        _, topic = await harness.topic()
        group = harness.group()
        members = [await harness.member(group, [topic]) for _ in range(2)]
        await harness.settled(*members)
        members.append(await harness.member(group, [topic]))
        await harness.settled(*members)
        assert group.violations == []

    async def test_who_leaves_hands_over_to_the_others(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        group = harness.group()
        members = [await harness.member(group, [topic]) for _ in range(3)]
        await harness.settled(*members)
        await members.pop(1).stop()
        await harness.settled(*members)
        await producer.send(numbered(topic, 60))
        await all_handled(harness, group, topic, 60)

    async def test_who_dies_is_taken_over_from(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        group = harness.group()
        members = [await harness.member(group, [topic]) for _ in range(2)]
        await harness.settled(*members)
        await harness.die(members.pop(0))
        await producer.send(numbered(topic, 60))
        await harness.settled(*members)
        await all_handled(harness, group, topic, 60)

    async def test_what_the_dead_had_not_finished_goes_to_the_next_owner(
        self, harness: BusHarness
    ) -> None:
        _, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 20))
        group = harness.group()
        victim = await harness.member(group, [topic], runs=False)
        await harness.poll_until(victim, 1)
        group.handled.clear()
        group.positions.clear()
        await harness.die(victim)
        await harness.member(group, [topic])
        await all_handled(harness, group, topic, 20)

    async def test_an_owner_is_told_before_it_gets_anything(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 100))
        group = harness.group()
        member = await harness.member(group, [topic])
        await harness.until(lambda: len(group.handled) == 100, "all 100 arrived")
        told = {partition for partitions in member.assignments for partition in partitions}
        assert len(told) == PARTITIONS
        assert group.violations == []

    async def test_an_owner_is_told_what_it_loses_and_gets_no_more_of_it(
        self, harness: BusHarness
    ) -> None:
        _, topic, producer = await harness.producer()
        group = harness.group()
        one = await harness.member(group, [topic])
        await harness.settled(one)
        two = await harness.member(group, [topic])
        await harness.settled(one, two)
        told = {partition for partitions in one.revocations for partition in partitions}
        assert two.owned <= told
        before = len(one.handled)
        await producer.send(numbered(topic, 60))
        await harness.until(lambda: len(group.handled) == 60, "all 60 arrived")
        assert {d.partition for d in one.handled[before:]} & two.owned == set()
        assert group.violations == []

    async def test_a_clean_hand_over_repeats_nothing(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        group = harness.group()
        one = await harness.member(group, [topic])
        await producer.send(numbered(topic, 60))
        await harness.until(lambda: len(group.handled) == 60, "the first 60 arrived")
        two = await harness.member(group, [topic])
        await harness.settled(one, two)
        await one.stop()
        await producer.send(numbered(topic, 60, start=60))
        await all_handled(harness, group, topic, 120)
        assert len(group.handled) == 120

    async def test_a_group_that_restarts_goes_on_where_it_was(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        group = harness.group()
        first = await harness.member(group, [topic])
        await producer.send(numbered(topic, 30))
        await harness.until(lambda: len(group.handled) == 30, "the first 30 arrived")
        await first.stop()
        await producer.send(numbered(topic, 30, start=30))
        await harness.member(group, [topic])
        await all_handled(harness, group, topic, 60)
        assert len(group.handled) == 60

    async def test_a_member_that_comes_back_gets_a_share_again(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        group = harness.group()
        stays = await harness.member(group, [topic])
        goes = await harness.member(group, [topic])
        await harness.settled(stays, goes)
        await goes.stop()
        await harness.settled(stays)
        back = await harness.member(group, [topic])
        await harness.settled(stays, back)
        await producer.send(numbered(topic, 60))
        await all_handled(harness, group, topic, 60)

    async def test_members_may_want_different_topics(self, harness: BusHarness) -> None:
        bus, (left, right) = await harness.topics(2)
        group = harness.group()
        one = await harness.member(group, [left])
        two = await harness.member(group, [right])
        await harness.until(
            lambda: len(one.owned) == len(two.owned) == PARTITIONS, "each owns its topic"
        )
        await (await bus.producer()).send(numbered(left, 20) + numbered(right, 20))
        await harness.until(lambda: len(group.handled) == 40, "all 40 arrived")
        assert {d.partition.topic for d in one.handled} == {left}
        assert {d.partition.topic for d in two.handled} == {right}

    async def test_groups_do_not_share_with_each_other(self, harness: BusHarness) -> None:
        _, topic = await harness.topic()
        members = [await harness.member(harness.group(), [topic]) for _ in range(2)]
        for member in members:
            await harness.settled(member)

    async def test_joins_under_load_lose_and_reorder_nothing(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        group = harness.group()
        await harness.member(group, [topic], max_messages=5)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send_steadily(producer, topic, range(40)))
            for _ in range(2):
                await asyncio.sleep(0.2)
                await harness.member(group, [topic], max_messages=5)
        await all_handled(harness, group, topic, 400)

    async def test_leaves_under_load_lose_and_reorder_nothing(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        group = harness.group()
        members = [await harness.member(group, [topic], max_messages=5) for _ in range(3)]
        await harness.settled(*members)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send_steadily(producer, topic, range(40)))
            for member in members[:2]:
                await asyncio.sleep(0.2)
                await member.stop()
        await all_handled(harness, group, topic, 400)

    async def test_deaths_under_load_lose_and_reorder_nothing(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        group = harness.group()
        members = [await harness.member(group, [topic], max_messages=5) for _ in range(3)]
        await harness.settled(*members)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send_steadily(producer, topic, range(40)))
            await asyncio.sleep(0.2)
            await harness.die(members[0])
        await all_handled(harness, group, topic, 400)

    async def test_a_partition_never_has_two_owners_however_members_come_and_go(
        self, harness: BusHarness
    ) -> None:
        _, topic, producer = await harness.producer()
        group = harness.group()
        members = [await harness.member(group, [topic])]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send_steadily(producer, topic, range(30)))
            for _ in range(2):
                members += [await harness.member(group, [topic]) for _ in range(2)]
                await asyncio.sleep(0.1)
                await members.pop(0).stop()
        await harness.settled(*members)
        await all_handled(harness, group, topic, 300)
