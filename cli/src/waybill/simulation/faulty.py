"""Store, bus and clock as a node meets them in bad weather: the memory adapters, wrapped.

What stands here does only what a real store or network could do to a process.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NoReturn

from waybill.simulation.faults import Fault
from waybill.simulation.weather import Weather
from waybill_runtime.adapters.memory.bus import MemoryBus, MemoryConsumer, MemoryProducer
from waybill_runtime.adapters.memory.store import MemoryStore
from waybill_runtime.bus import BusUnavailable, Delivery, Listener, Message, Partition
from waybill_runtime.clock import LoopClock
from waybill_runtime.consumer import Handler, Incoming
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping
from waybill_runtime.stored import CommitUnknown, LockTimeout, StoreUnavailable, VersionConflict
from waybill_runtime.testing.world import EPOCH, World
from waybill_runtime.work import Work

POINTS = frozenset({"begin", "streams.append", "commit.before", "commit.after"})
OLD_MAX = 100
"""How many messages a sender may send again."""
EVERYWHERE = "bus everywhere"


class FaultyWorld(World):
    """A world whose nodes meet the weather; an auditor's and an operator's view do not."""

    def __init__(self, seed: int, weather: Weather, *, lease_s: float) -> None:
        super().__init__(seed, lease_s=lease_s)
        self._weather = weather
        self.clocks: dict[str, LoopClock] = {}

    def infrastructure(self, name: str, node: str | None = None) -> Infrastructure:
        if node is None or "#" not in node:
            return super().infrastructure(name, node)
        store = MemoryStore(self.database(name), FaultyStore(self._weather, name, node))
        bus = FaultyBus(MemoryBus(self.broker, node), self._weather, name, node)
        clock = self.clocks[node] = LoopClock(EPOCH)
        return Infrastructure(store, bus, clock, self.ids, Stopping())


async def die(weather: Weather, node: str, fault: Fault) -> NoReturn:
    """Be killed here: whoever awaits this never goes on."""
    weather.kill(node, fault.amount)
    await asyncio.get_running_loop().create_future()
    raise AssertionError("the dead do not go on")


class FaultyStore:
    """Where a store fails one node."""

    def __init__(self, weather: Weather, service: str, node: str) -> None:
        self._weather = weather
        self._service = service
        self._away = f"store {service}"
        self._node = node
        self._conflicts = 0

    async def at(self, point: str) -> None:
        if self._weather.is_away(self._away):
            if point == "commit.after":
                raise CommitUnknown("the connection was lost in COMMIT")
            raise StoreUnavailable("the store is away")
        if point not in POINTS:
            return
        if point == "streams.append" and self._conflicts:
            self._conflicts -= 1
            raise VersionConflict("somebody else's")
        fault = self._weather.take(point, self._service)
        if fault is not None:
            await self._strike(fault)

    async def _strike(self, fault: Fault) -> None:
        match fault.kind:
            case "begin refused" | "commit refused":
                raise StoreUnavailable("the connection was lost")
            case "lock time-out":
                raise LockTimeout("another transaction stayed open too long")
            case "commit unknown, not made" | "commit unknown, made":
                raise CommitUnknown("the connection was lost in COMMIT")
            case "version conflicts":
                self._conflicts = round(fault.amount) - 1
                raise VersionConflict("somebody else's")
            case _:
                await die(self._weather, self._node, fault)


class FaultyBus:
    """Where a bus fails one node."""

    def __init__(self, inner: MemoryBus, weather: Weather, service: str, node: str) -> None:
        self.inner = inner
        self.weather = weather
        self.service = service
        self.node = node
        self._away = f"bus {service}"

    def check(self) -> None:
        """Raises BusUnavailable while the bus is away."""
        if self.weather.is_away(self._away) or self.weather.is_away(EVERYWHERE):
            raise BusUnavailable("the bus is away")

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        self.check()
        await self.inner.ensure_topics(topics)

    async def producer(self) -> "FaultyProducer":
        self.check()
        return FaultyProducer(self, await self.inner.producer())

    async def consumer(
        self, group: str, topics: Sequence[str], listener: Listener
    ) -> "FaultyConsumer":
        self.check()
        return FaultyConsumer(self, await self.inner.consumer(group, topics, listener))

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Delivery]:
        self.check()
        return await self.inner.read(partition, offset, limit)

    async def bounds(self, topics: Sequence[str]) -> Mapping[Partition, tuple[int, int]]:
        self.check()
        return await self.inner.bounds(topics)

    async def cut(self, firsts: Mapping[Partition, int]) -> None:
        await self.inner.cut(firsts)

    async def ping(self) -> None:
        self.check()
        await self.inner.ping()

    async def close(self) -> None:
        await self.inner.close()


class FaultyProducer:
    """Where a send fails. The order of what is written stays the order of the sends."""

    def __init__(self, bus: FaultyBus, inner: MemoryProducer) -> None:
        self._bus = bus
        self._inner = inner
        self._sent: list[Message] = []

    async def send(self, messages: Sequence[Message], *, deadline_s: float = 10.0) -> None:
        self._bus.check()
        fault = self._bus.weather.take("send", self._bus.service)
        written = self._again(messages)
        if fault is None:
            await self._inner.send(written, deadline_s=deadline_s)
        else:
            await self._strike(fault, written, deadline_s)
        self._bus.check()
        self._sent = [*self._sent, *messages][-OLD_MAX:]

    def _again(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages, some of them several times, old ones among them."""
        written: list[Message] = []
        for message in messages:
            written.append(message)
            fault = self._bus.weather.take("message", self._bus.service)
            if fault is not None and fault.kind == "message doubled":
                written += [message] * round(fault.amount - 1)
            elif fault is not None:
                written += self._sent[-round(fault.amount) :]
        return written

    async def _strike(self, fault: Fault, messages: Sequence[Message], deadline_s: float) -> None:
        """What is written instead, and what is said of it."""
        write = messages
        match fault.kind:
            case "send refused":
                raise BusUnavailable("the bus refused")
            case "kill before send":
                await die(self._bus.weather, self._bus.node, fault)
            case "send late":
                await asyncio.sleep(fault.amount)
            case "batch doubled":
                write = [*messages, *messages]
            case "half a batch" | "kill in send":
                write = messages[: int(len(messages) * fault.amount % len(messages))]
            case _:
                pass
        await self._inner.send(write, deadline_s=deadline_s)
        if fault.kind in ("half a batch", "answer lost"):
            raise BusUnavailable("the bus did not acknowledge")
        if fault.kind in ("kill in send", "kill after send"):
            await die(self._bus.weather, self._bus.node, fault)

    async def close(self) -> None:
        await self._inner.close()


class FaultyConsumer:
    """Where a poll fails, takes longer than the lease, or begins again further back."""

    def __init__(self, bus: FaultyBus, inner: MemoryConsumer) -> None:
        self._bus = bus
        self._inner = inner
        self._next: dict[Partition, int] = {}

    async def poll(self, *, max_messages: int, timeout_s: float) -> Sequence[Delivery]:
        self._bus.check()
        fault = self._bus.weather.take("poll", self._bus.service)
        if fault is not None:
            await self._strike(fault)
        batch = await self._inner.poll(max_messages=max_messages, timeout_s=timeout_s)
        self._next.update({delivery.partition: delivery.offset + 1 for delivery in batch})
        return batch

    async def _strike(self, fault: Fault) -> None:
        match fault.kind:
            case "poll refused":
                raise BusUnavailable("the bus refused")
            case "poll late":
                await asyncio.sleep(fault.amount)
            case _:
                for partition, at in self._next.items():
                    self._inner.go_back(partition, max(0, at - round(fault.amount)))

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        await self._inner.commit(offsets)

    async def close(self) -> None:
        await self._inner.close()


def stumbling(weather: Weather, service: str, handler: Handler) -> Handler:
    """The handler as a release would have it that cannot read an event, until somebody mends it."""

    async def handle(work: Work, batch: Sequence[Incoming]) -> None:
        for incoming in batch:
            place = (service, incoming.recorded.event_id)
            if place not in weather.unreadable:
                fault = weather.take("handle", service)
                if fault is None:
                    continue
                weather.unreadable[place] = weather.at_s + fault.amount
            if weather.at_s < weather.unreadable[place]:
                raise ValueError(f"this release cannot read {incoming.recorded.event_id}")
        await handler(work, batch)

    return handle
