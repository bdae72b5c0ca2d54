"""A small world on memory adapters and virtual time, for tests of the shells.

Nodes are simulated processes with views of shared databases and one broker; each is killed and
started again without its databases noticing more than a real one would.
"""

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

from waybill_events import codec
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.adapters.memory.broker import MemoryBroker
from waybill_runtime.adapters.memory.bus import MemoryBus
from waybill_runtime.adapters.memory.store import MemoryDatabase, MemoryStore
from waybill_runtime.bus import Delivery, Partition, partition_of
from waybill_runtime.clock import Clock, LoopClock
from waybill_runtime.ids import RandomIds
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping
from waybill_runtime.relay import message
from waybill_runtime.testing.seeded_loop import SeededLoop

T = TypeVar("T")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """One broker, one database per name, and ids drawn from the seed.

    `clock` is the loop's own, counted from `EPOCH`, unless somebody shares the world's time with
    real databases.
    """

    def __init__(self, seed: int = 1, *, lease_s: float = 10.0, clock: Clock | None = None) -> None:
        self.clock = clock or LoopClock(EPOCH)
        self.ids = RandomIds(self.clock, seed)
        self.broker = MemoryBroker(self.clock, lease_s=lease_s)
        self.databases: dict[str, MemoryDatabase] = {}

    def database(self, name: str) -> MemoryDatabase:
        if name not in self.databases:
            self.databases[name] = MemoryDatabase(self.clock)
        return self.databases[name]

    def infrastructure(self, name: str, node: str | None = None) -> Infrastructure:
        """A process's view of the database `name` and of the bus."""
        store = MemoryStore(self.database(name))
        bus = MemoryBus(self.broker, node or name)
        return Infrastructure(store, bus, self.clock, self.ids, Stopping())


def simulate(seed: int, main: Coroutine[Any, Any, T]) -> T:
    """The answer of `main`, run under virtual time with this seed's schedule."""
    return SeededLoop.of(seed).run(main)


def recorded(
    event: Event,
    *,
    stream: str,
    version: int,
    topic: str,
    key: str = "k",
    tenant: str = "default",
    type_: str | None = None,
) -> Recorded:
    """An event in an envelope, with ids that tell stream and version."""
    return Recorded(
        event_id=f"{stream}@{version}",
        type=type_ or event.TYPE,
        stream=stream,
        version=version,
        tenant=tenant,
        topic=topic,
        key=key,
        occurred_at=EPOCH,
        causation_id="cause",
        correlation_id=key,
        actor="system:test",
        origin="live",
        data=codec.encode(event),
    )


def delivery(event: Recorded, offset: int) -> Delivery:
    """The event as it comes off the bus."""
    return Delivery(message(event), Partition(event.topic, partition_of(event.key)), offset)
