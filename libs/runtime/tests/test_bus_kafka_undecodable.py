"""A record whose header's name is no UTF-8: aiokafka cannot read it, and we come past it."""

import struct
from collections.abc import Mapping, Sequence

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from waybill_runtime.adapters.kafka.bus import KafkaBus
from waybill_runtime.bus import PARTITIONS, Delivery, Message, Partition, partition_of
from waybill_runtime.clock import SystemClock
from waybill_runtime.ids import RandomIds

pytestmark = pytest.mark.kafka

NAME, BYTES = b"ZZZZ", b"\xff\xfe\xff\xfe"
CRC_AT = 17


class FromStart:
    """A listener that reads all partitions from their beginnings."""

    async def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return dict.fromkeys(partitions, 0)

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        """Nothing to forget."""


async def send_undecodable(bootstrap: str, partition: Partition) -> None:
    """Write one record as a foreign client may: its only header is named in no text."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        batch = producer.create_batch()
        batch.append(key=b"foreign", value=b"{}", timestamp=None, headers=[(NAME.decode(), b"")])
        build = batch._build

        def bent() -> bytearray:
            data = bytearray(bytes(build()).replace(NAME, BYTES))
            crc = calc_crc32c(bytes(data[CRC_AT + 4 :]))
            data[CRC_AT : CRC_AT + 4] = struct.pack(">I", crc)
            return data

        batch._build = bent
        sent = await producer.send_batch(batch, partition.topic, partition=partition.number)
        await sent
    finally:
        await producer.stop()


async def test_what_cannot_be_decoded_is_handed_out_bare_and_the_rest_goes_on(
    kafka_bootstrap: str,
) -> None:
    topic = f"foreign-{RandomIds(SystemClock()).new('t')}"
    here = Partition(topic, partition_of("k"))
    bus = KafkaBus(kafka_bootstrap)
    await bus.ensure_topics([topic])
    producer = await bus.producer()
    said = [Message(topic, "k", b"%d" % number) for number in range(6)]
    await producer.send(said[:3])
    await send_undecodable(kafka_bootstrap, here)
    await producer.send(said[3:5])
    await send_undecodable(kafka_bootstrap, here)
    elsewhere = [Message(topic, f"k{number}", b"x") for number in range(4 * PARTITIONS)]
    await producer.send([*elsewhere, said[5]])

    consumer = await bus.consumer("group", [topic], FromStart())
    found: list[Delivery] = []
    for _ in range(60):
        found += await consumer.poll(max_messages=7, timeout_s=1.0)
        if len(found) == len(said) + len(elsewhere) + 2:
            break
    mine = [delivery for delivery in found if delivery.partition == here]
    offsets = [delivery.offset for delivery in mine]
    assert offsets == list(range(len(mine)))
    bare = [delivery for delivery in mine if not delivery.message.value]
    assert [delivery.offset for delivery in bare] == [3, 6]
    assert bare[0].message.key == f"{topic}/{here.number}@3"
    assert len(found) == len(said) + len(elsewhere) + 2
    assert list(await bus.read(here, 0, 100)) == mine
    await consumer.close()
    await producer.close()
    await bus.close()
