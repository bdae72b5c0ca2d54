"""Reads and bounds without a group, and topics: what rebuilds, audits and start-ups ask."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from waybill_runtime.adapters.kafka import clients
from waybill_runtime.adapters.kafka.records import delivery_of, read_singly
from waybill_runtime.bus import PARTITIONS, BusUnavailable, Delivery, Partition

_READ_S = 10.0
_TOPICS_S = 30.0
_TOPIC_EXISTS = 36

Answer = TypeVar("Answer")


class KafkaReader:
    """One client of no group, used by one call at a time, replaced when a call fails."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._client: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()

    async def read(self, partition: Partition, offset: int, limit: int) -> list[Delivery]:
        return await self._ask(lambda client: _read(client, partition, offset, limit), _READ_S)

    async def bounds(self, topics: Sequence[str]) -> Mapping[Partition, tuple[int, int]]:
        return await self._ask(lambda client: _bounds(client, topics), _READ_S)

    async def ping(self, deadline_s: float) -> None:
        await self._ask(lambda client: client.topics(), deadline_s)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await asyncio.shield(clients.discard(client))

    async def _ask(
        self, question: Callable[[AIOKafkaConsumer], Awaitable[Answer]], deadline_s: float
    ) -> Answer:
        try:
            async with asyncio.timeout(deadline_s), self._turn:
                if self._client is None:
                    client = clients.new_reader(self._bootstrap)
                    await clients.started(client, deadline_s)
                    self._client = client
                return await question(self._client)
        except clients.FAILURES as error:
            await self.close()
            raise BusUnavailable(f"{type(error).__name__}: {error}") from error


async def _read(
    client: AIOKafkaConsumer, partition: Partition, offset: int, limit: int
) -> list[Delivery]:
    pair = TopicPartition(partition.topic, partition.number)
    first = (await client.beginning_offsets([pair]))[pair]
    end = (await client.end_offsets([pair]))[pair]
    start = max(offset, first)
    wanted = min(limit, end - start)
    if wanted <= 0:
        return []
    client.assign([pair])
    client.seek(pair, start)
    found: list[Delivery] = []
    while len(found) < wanted:
        try:
            records = await client.getmany(timeout_ms=500, max_records=wanted - len(found))
        except UnicodeDecodeError:
            at = start + len(found)
            found += await read_singly(client, partition, at, wanted - len(found))
            continue
        found += [delivery_of(partition, record) for record in records.get(pair, ())]
    client.pause(pair)
    return found


async def _bounds(
    client: AIOKafkaConsumer, topics: Sequence[str]
) -> Mapping[Partition, tuple[int, int]]:
    pairs = [TopicPartition(topic, n) for topic in topics for n in range(PARTITIONS)]
    firsts = await client.beginning_offsets(pairs)
    ends = await client.end_offsets(pairs)
    return {Partition(pair.topic, pair.partition): (firsts[pair], ends[pair]) for pair in pairs}


async def ensure_topics(
    bootstrap: str, topics: Sequence[str], *, replication: int, min_insync: int
) -> None:
    """Make the missing topics and wait until each of their partitions has a leader.

    Raises:
        BusUnavailable: refused, or not in time.
        ValueError: a topic is there with another number of partitions.
    """
    admin = clients.new_admin(bootstrap)
    await clients.started(admin)
    try:
        async with asyncio.timeout(_TOPICS_S):
            await _make(admin, topics, replication, min_insync)
            while not await _have_leaders(admin, topics):  # noqa: ASYNC110 - the broker's event
                await asyncio.sleep(0.05)
    except clients.FAILURES as error:
        raise BusUnavailable(f"{type(error).__name__}: {error}") from error
    finally:
        await asyncio.shield(clients.discard(admin))


async def _make(
    admin: AIOKafkaAdminClient, topics: Sequence[str], replication: int, min_insync: int
) -> None:
    settings = {
        "retention.ms": "-1",
        "cleanup.policy": "delete",
        "min.insync.replicas": str(min_insync),
        "unclean.leader.election.enable": "false",
    }
    known = await admin.list_topics()
    wanted = [
        NewTopic(topic, PARTITIONS, replication, topic_configs=settings)
        for topic in sorted(set(topics) - set(known))
    ]
    if not wanted:
        return
    answer = await admin.create_topics(wanted)
    for topic, code, *message in answer.topic_errors:
        if code not in (0, _TOPIC_EXISTS):
            raise BusUnavailable(f"topic {topic} was refused: {code} {message}")


async def _have_leaders(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> bool:
    for topic in await admin.describe_topics(list(topics)):
        partitions = topic["partitions"]
        if topic["error_code"] or any(partition["leader"] < 0 for partition in partitions):
            return False
        if len(partitions) != PARTITIONS:
            raise ValueError(f"{topic['topic']} has {len(partitions)} partitions, not {PARTITIONS}")
    return True


async def cut(bootstrap: str, firsts: Mapping[Partition, int]) -> None:
    """Delete the records before these offsets.

    Raises:
        BusUnavailable: refused, or not in time.
    """
    places = {
        TopicPartition(partition.topic, partition.number): RecordsToDelete(first)
        for partition, first in firsts.items()
        if first > 0
    }
    if not places:
        return
    admin = clients.new_admin(bootstrap)
    await clients.started(admin)
    try:
        async with asyncio.timeout(_TOPICS_S):
            await admin.delete_records(places)
    except clients.FAILURES as error:
        raise BusUnavailable(f"{type(error).__name__}: {error}") from error
    finally:
        await asyncio.shield(clients.discard(admin))
