"""Conformance of producers: what was acknowledged is there, as it was, in its order."""

import asyncio

from waybill_runtime.bus import PARTITIONS, Message, Partition, partition_of
from waybill_runtime.testing.bus_harness import (
    BusHarness,
    by_key,
    flat,
    numbered,
    refused,
    values,
)


class SendingCases:
    async def test_a_sent_message_is_on_the_bus(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        message = Message(topic=topic, key="ord_1", value=b"placed")
        await producer.send([message])
        assert flat(await harness.log(bus, topic)) == [message]

    async def test_what_was_sent_outlives_its_sender(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 10))
        await producer.close()
        await bus.close()
        other = await harness.bus()
        assert len(flat(await harness.log(other, topic))) == 10

    async def test_one_batch_keeps_the_order_of_each_key(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        sent = numbered(topic, 200, keys=7)
        await producer.send(sent)
        assert by_key(flat(await harness.log(bus, topic))) == by_key(sent)

    async def test_many_sends_keep_the_order_of_each_key(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        for start in range(0, 100, 5):
            await producer.send(numbered(topic, 5, keys=3, start=start))
        expected = by_key(numbered(topic, 100, keys=3))
        assert by_key(flat(await harness.log(bus, topic))) == expected

    async def test_two_producers_in_turn_keep_the_order_of_a_key(self, harness: BusHarness) -> None:
        bus, topic, first = await harness.producer()
        second = await (await harness.bus()).producer()
        for start in range(0, 40, 2):
            await first.send(numbered(topic, 1, keys=1, start=start))
            await second.send(numbered(topic, 1, keys=1, start=start + 1))
        await second.close()
        assert values(flat(await harness.log(bus, topic))) == values(numbered(topic, 40))

    async def test_a_key_goes_to_the_partition_of_its_hash(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 100, keys=100))
        log = await harness.log(bus, topic)
        places = {d.message.key: d.partition for deliveries in log.values() for d in deliveries}
        assert places == {
            f"key-{number}": Partition(topic, partition_of(f"key-{number}"))
            for number in range(100)
        }

    async def test_every_partition_is_used(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 240, keys=240))
        assert len(await harness.log(bus, topic)) == PARTITIONS

    async def test_offsets_start_at_zero_and_have_no_gaps(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        for start in range(0, 120, 30):
            await producer.send(numbered(topic, 30, start=start))
        log = await harness.log(bus, topic)
        offsets = {p: [d.offset for d in deliveries] for p, deliveries in log.items()}
        assert offsets == {p: list(range(len(found))) for p, found in offsets.items()}
        assert sum(len(found) for found in offsets.values()) == 120

    async def test_headers_come_back_byte_for_byte(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        headers = (
            ("ce_id", b"1"),
            ("ce_source", "wärehouse €".encode()),
            ("empty", b""),
            ("nul", b"a\x00b"),
            ("ce_id", b"again"),
            ("raw", bytes(range(256))),
        )
        message = Message(topic=topic, key="k", value=b"v", headers=headers)
        await producer.send([message])
        assert flat(await harness.log(bus, topic)) == [message]

    async def test_an_empty_value_stays_an_empty_value(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send([Message(topic=topic, key="k", value=b"")])
        assert values(flat(await harness.log(bus, topic))) == [b""]

    async def test_a_value_of_every_byte_comes_back(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send([Message(topic=topic, key="k", value=bytes(range(256)) * 3)])
        assert values(flat(await harness.log(bus, topic))) == [bytes(range(256)) * 3]

    async def test_a_value_of_256_kib_comes_back(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        value = b"0123456789abcdef" * 16_384
        sent = [Message(topic=topic, key=f"k{n}", value=value) for n in range(3)]
        await producer.send(sent)
        assert values(flat(await harness.log(bus, topic))) == [value] * 3

    async def test_keys_of_any_text_come_back(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        keys = ["", "ord_1", "tøy", "猫", "a\x00b", "x" * 300, " "]
        await producer.send([Message(topic=topic, key=key, value=b"v") for key in keys])
        found = [message.key for message in flat(await harness.log(bus, topic))]
        assert sorted(found) == sorted(keys)

    async def test_an_empty_send_adds_nothing(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send([])
        await producer.send(numbered(topic, 1))
        await producer.send([])
        assert len(flat(await harness.log(bus, topic))) == 1

    async def test_a_batch_of_five_thousand_arrives_whole(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        sent = numbered(topic, 5_000, keys=100)
        await producer.send(sent, deadline_s=30.0)
        assert by_key(flat(await harness.log(bus, topic))) == by_key(sent)

    async def test_one_send_may_span_topics(self, harness: BusHarness) -> None:
        bus, topics = await harness.topics(3)
        producer = await bus.producer()
        sent = [message for topic in topics for message in numbered(topic, 20)]
        await producer.send(sent[::2] + sent[1::2])
        counts = {topic: len(flat(await harness.log(bus, topic))) for topic in topics}
        assert counts == dict.fromkeys(topics, 20)

    async def test_many_senders_at_once_lose_nothing(self, harness: BusHarness) -> None:
        bus, topic = await harness.topic()

        async def send(sender: int) -> None:
            producer = await bus.producer()
            for step in range(5):
                await producer.send(numbered(topic, 10, start=sender * 1_000 + step * 10))
            await producer.close()

        async with asyncio.TaskGroup() as tasks:
            for sender in range(12):
                tasks.create_task(send(sender))
        found = sorted(int(value) for value in values(flat(await harness.log(bus, topic))))
        assert found == sorted(n * 1_000 + i for n in range(12) for i in range(50))

    async def test_senders_at_once_keep_the_order_of_their_own_keys(
        self, harness: BusHarness
    ) -> None:
        bus, topic = await harness.topic()

        async def send(sender: int) -> None:
            producer = await bus.producer()
            for step in range(10):
                values = [f"{step:02d}.{place}".encode() for place in range(3)]
                await producer.send([Message(topic, f"own-{sender}", value) for value in values])
            await producer.close()

        async with asyncio.TaskGroup() as tasks:
            for sender in range(6):
                tasks.create_task(send(sender))
        found = by_key(flat(await harness.log(bus, topic)))
        assert len(found) == 6
        assert all(len(own) == 30 and own == sorted(own) for own in found.values())

    async def test_senders_at_once_leave_no_gap_in_the_offsets(self, harness: BusHarness) -> None:
        bus, topic = await harness.topic()

        async def send(sender: int) -> None:
            producer = await bus.producer()
            for start in range(0, 30, 6):
                await producer.send(numbered(topic, 6, keys=4, start=sender * 100 + start))
            await producer.close()

        async with asyncio.TaskGroup() as tasks:
            for sender in range(6):
                tasks.create_task(send(sender))
        log = await harness.log(bus, topic)
        assert log
        for deliveries in log.values():
            assert [d.offset for d in deliveries] == list(range(len(deliveries)))

    async def test_a_cancelled_send_leaves_a_usable_producer(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 1))
        task = asyncio.get_running_loop().create_task(
            producer.send(numbered(topic, 500, start=1_000))
        )
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await producer.send([Message(topic=topic, key="after", value=b"after")])
        assert b"after" in values(flat(await harness.log(bus, topic)))

    async def test_a_send_without_time_is_refused_and_leaves_a_usable_producer(
        self, harness: BusHarness
    ) -> None:
        bus, topic, producer = await harness.producer()
        await refused(producer.send(numbered(topic, 5, start=1_000), deadline_s=0.0))
        await producer.send([Message(topic=topic, key="after", value=b"after")])
        assert b"after" in values(flat(await harness.log(bus, topic)))

    async def test_a_closed_producer_refuses_to_send(self, harness: BusHarness) -> None:
        _, topic, producer = await harness.producer()
        await producer.close()
        await refused(producer.send(numbered(topic, 1)))

    async def test_a_producer_may_be_closed_twice(self, harness: BusHarness) -> None:
        bus, topic, producer = await harness.producer()
        await producer.send(numbered(topic, 3))
        await producer.close()
        await producer.close()
        assert len(flat(await harness.log(bus, topic))) == 3
