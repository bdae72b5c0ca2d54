"""What a record of Kafka is to us, and how to come past one that cannot be decoded.

aiokafka decodes the names of headers as UTF-8 while it hands records out. One record of a foreign
producer with another name makes every `getmany` raise that meets it, and takes with it what was
read before it in the same call: the consumer would stand there for ever, on all its partitions.
"""

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from waybill_runtime import metrics
from waybill_runtime.bus import Delivery, Message, Partition

log = structlog.get_logger(__name__)

_RECORD_MS = 1_000


def delivery_of(partition: Partition, record: ConsumerRecord) -> Delivery:
    """A record as the port hands it out; a foreign one without key or value is empty, not lost."""
    message = Message(
        topic=partition.topic,
        key=(record.key or b"").decode(errors="replace"),
        value=record.value or b"",
        headers=tuple((name, value or b"") for name, value in record.headers),
    )
    return Delivery(message, partition, record.offset)


def undecodable(partition: Partition, offset: int) -> Delivery:
    """A record that is there and cannot be read: no event, with a key of its own to be parked by.

    It stays on Kafka, to be looked at where it is.
    """
    key = f"{partition.topic}/{partition.number}@{offset}"
    return Delivery(Message(partition.topic, key, b""), partition, offset)


async def read_singly(
    client: AIOKafkaConsumer, partition: Partition, start: int, count: int
) -> list[Delivery]:
    """Up to `count` records from `start` on, one call for each, so that the bad one is known.

    Ends early when no record comes in time, or when the next is not the one behind the last.
    Moves the client's position; whoever calls seeks anew.
    """
    pair = TopicPartition(partition.topic, partition.number)
    found: list[Delivery] = []
    client.seek(pair, start)
    while len(found) < count:
        offset = start + len(found)
        try:
            answer = await client.getmany(pair, timeout_ms=_RECORD_MS, max_records=1)
        except UnicodeDecodeError:
            log.error("bus.record_undecodable", partition=str(partition), offset=offset)  # noqa: TRY400
            metrics.KAFKA_UNDECODABLE.inc()
            found.append(undecodable(partition, offset))
            client.seek(pair, offset + 1)
            continue
        records = answer.get(pair, [])
        if not records or records[0].offset != offset:
            break
        found.append(delivery_of(partition, records[0]))
    return found
