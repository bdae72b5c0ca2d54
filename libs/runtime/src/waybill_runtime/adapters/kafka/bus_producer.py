"""Sending to Kafka: whole batches per partition, idempotent, acknowledged by all, or discarded.

After any failure the client is thrown away: an idempotent producer of aiokafka that lost a batch
refuses or loses every later one (reliability 4.1, #1017), and only a new one has a new id. What
may have been written twice, consumers drop.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence

import structlog
from aiokafka import AIOKafkaProducer

from waybill_runtime import metrics
from waybill_runtime.adapters.kafka import clients
from waybill_runtime.bus import BusUnavailable, Message, Partition, partition_of
from waybill_runtime.clock import Clock

log = structlog.get_logger(__name__)

_RENEW_S = 24 * 3600.0


class KafkaProducer:
    """One client at a time, made when first needed, anew after a failure and every day."""

    def __init__(self, bootstrap: str, clock: Clock) -> None:
        self._bootstrap = bootstrap
        self._clock = clock
        self._client: AIOKafkaProducer | None = None
        self._made_s = 0.0
        self.closed = False

    async def send(self, messages: Sequence[Message], *, deadline_s: float = 10.0) -> None:
        if self.closed:
            raise BusUnavailable("this producer was closed")
        until_s = self._clock.monotonic_s() + deadline_s
        client = await self._ready(deadline_s)
        batches: dict[Partition, list[Message]] = defaultdict(list)
        for message in messages:
            batches[Partition(message.topic, partition_of(message.key))].append(message)
        acknowledged = False
        try:
            async with asyncio.timeout(until_s - self._clock.monotonic_s()):
                await _send_all(client, batches.items())
            acknowledged = True
        except clients.FAILURES as error:
            raise BusUnavailable(f"{type(error).__name__}: {error}") from error
        finally:
            if not acknowledged:
                metrics.KAFKA_PRODUCERS_DISCARDED.inc()
                await self._discard()

    async def close(self) -> None:
        self.closed = True
        if self._client is not None:
            await self._discard()

    async def _ready(self, deadline_s: float) -> AIOKafkaProducer:
        # aiokafka's sequence numbers wrap where the broker's do not: no client gets that old.
        if self._client is not None and self._clock.monotonic_s() - self._made_s > _RENEW_S:
            await self._discard()
        if self._client is None:
            client = clients.new_producer(self._bootstrap)
            await clients.started(client, deadline_s)
            self._client, self._made_s = client, self._clock.monotonic_s()
        return self._client

    async def _discard(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            # Shielded: a cancelled sender must not leave a client behind that goes on sending.
            await asyncio.shield(clients.discard(client))


async def _send_all(
    client: AIOKafkaProducer, batches: Iterable[tuple[Partition, Sequence[Message]]]
) -> None:
    try:
        async with asyncio.TaskGroup() as tasks:
            for partition, messages in batches:
                tasks.create_task(_send(client, partition, messages))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors


async def _send(
    client: AIOKafkaProducer, partition: Partition, messages: Sequence[Message]
) -> None:
    """One partition's messages, as few batches as they fit in, one after the other."""
    at = 0
    while at < len(messages):
        batch = client.create_batch()
        first = at
        while at < len(messages):
            message = messages[at]
            taken = batch.append(
                timestamp=None,
                key=message.key.encode(),
                value=message.value,
                headers=list(message.headers),
            )
            if taken is None:
                break
            at += 1
        if at == first:
            raise BusUnavailable(f"a message of {len(messages[at].value)} bytes is too big")
        batch.close()
        await (await client.send_batch(batch, partition.topic, partition=partition.number))
