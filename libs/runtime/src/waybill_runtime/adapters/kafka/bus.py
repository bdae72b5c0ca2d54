"""The Kafka bus: the production bus, through aiokafka with its traps met on purpose."""

from collections.abc import Mapping, Sequence
from functools import partial

from aiokafka import AIOKafkaConsumer

from waybill_runtime.adapters.holdings import Holdings
from waybill_runtime.adapters.kafka import bus_reader, clients, succession
from waybill_runtime.adapters.kafka.bus_consumer import KafkaConsumer
from waybill_runtime.adapters.kafka.bus_producer import KafkaProducer
from waybill_runtime.adapters.kafka.bus_reader import KafkaReader
from waybill_runtime.bus import BusUnavailable, Delivery, Listener, Partition
from waybill_runtime.clock import Clock, SystemClock

_PING_S = 2.0


class KafkaBus:
    """One process's use of a cluster. Clients are made when first needed."""

    def __init__(
        self,
        bootstrap: str,
        *,
        clock: Clock | None = None,
        replication: int = 1,
        min_insync: int | None = None,
        session_timeout_ms: int = 15_000,
        heartbeat_interval_ms: int = 3_000,
        instance: str = "",
    ) -> None:
        """`instance` names this process's place among all that live: its consumers take over at
        once from those of a process that was killed there, one per group.
        """
        self._bootstrap = bootstrap
        self._clock: Clock = clock or SystemClock()
        self._replication = replication
        self._min_insync = max(1, replication - 1) if min_insync is None else min_insync
        self._session_timeout_ms = session_timeout_ms
        self._heartbeat_interval_ms = heartbeat_interval_ms
        self._place = f"waybill-{instance}" if instance else ""
        self._reader = KafkaReader(bootstrap)
        self._opened: list[KafkaProducer | KafkaConsumer] = []
        self._closed = False

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        self._check_open()
        await bus_reader.ensure_topics(
            self._bootstrap, topics, replication=self._replication, min_insync=self._min_insync
        )

    async def producer(self) -> KafkaProducer:
        self._check_open()
        producer = KafkaProducer(self._bootstrap, self._clock)
        self._remember(producer)
        return producer

    async def consumer(
        self, group: str, topics: Sequence[str], listener: Listener
    ) -> KafkaConsumer:
        """A new member, which joins with its first poll."""
        self._check_open()

        def make() -> AIOKafkaConsumer:
            return clients.new_member(
                self._bootstrap,
                group,
                client_id=self._place or "waybill",
                session_timeout_ms=self._session_timeout_ms,
                heartbeat_interval_ms=self._heartbeat_interval_ms,
            )

        succeed = partial(succession.succeed, self._bootstrap, group, self._place)
        consumer = KafkaConsumer(
            make,
            topics,
            Holdings(listener),
            self._clock,
            succeed=succeed if self._place else None,
        )
        self._remember(consumer)
        return consumer

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Delivery]:
        self._check_open()
        return await self._reader.read(partition, offset, limit)

    async def bounds(self, topics: Sequence[str]) -> Mapping[Partition, tuple[int, int]]:
        self._check_open()
        return await self._reader.bounds(topics)

    async def cut(self, firsts: Mapping[Partition, int]) -> None:
        self._check_open()
        await bus_reader.cut(self._bootstrap, firsts)

    async def ping(self) -> None:
        self._check_open()
        await self._reader.ping(_PING_S)

    async def close(self) -> None:
        """Close what was opened here; each stop is bounded."""
        self._closed = True
        opened, self._opened = self._opened, []
        for one in opened:
            await one.close()
        await self._reader.close()

    def _remember(self, one: KafkaProducer | KafkaConsumer) -> None:
        self._opened = [*(other for other in self._opened if not other.closed), one]

    def _check_open(self) -> None:
        if self._closed:
            raise BusUnavailable("this bus was closed")
