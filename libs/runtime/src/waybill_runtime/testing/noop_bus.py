"""A bus that does nothing, politely. The conformance suite must fail on it, case by case."""

import asyncio
from collections.abc import Mapping, Sequence

from waybill_runtime.bus import Delivery, Listener, Message, Partition


class NoopBus:
    """Takes everything, keeps nothing, never complains."""

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        """Nothing is made."""

    async def producer(self) -> "NoopProducer":
        return NoopProducer()

    async def consumer(
        self, group: str, topics: Sequence[str], listener: Listener
    ) -> "NoopConsumer":
        return NoopConsumer()

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Delivery]:
        return ()

    async def bounds(self, topics: Sequence[str]) -> Mapping[Partition, tuple[int, int]]:
        return {}

    async def cut(self, firsts: Mapping[Partition, int]) -> None:
        """Nothing is forgotten."""

    async def ping(self) -> None:
        """All is well."""

    async def close(self) -> None:
        """Nothing to let go of."""


class NoopProducer:
    async def send(self, messages: Sequence[Message], *, deadline_s: float = 10.0) -> None:
        """Nothing is written."""

    async def close(self) -> None:
        """Nothing to let go of."""


class NoopConsumer:
    async def poll(self, *, max_messages: int, timeout_s: float) -> Sequence[Delivery]:
        await asyncio.sleep(timeout_s)
        return ()

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Nothing is noted."""

    async def close(self) -> None:
        """Nothing to let go of."""
