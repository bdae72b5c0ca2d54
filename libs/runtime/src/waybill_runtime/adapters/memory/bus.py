"""The memory bus: one broker shared by many members of one process, for tests and the simulator."""

import asyncio
from collections.abc import Mapping, Sequence

from waybill_runtime.adapters.holdings import Holdings
from waybill_runtime.adapters.memory.broker import MemoryBroker, NoFaults
from waybill_runtime.bus import BusUnavailable, Delivery, Listener, Message, Partition


class MemoryBus:
    """One node's view of the broker; what it opened dies with it, the messages do not."""

    def __init__(self, broker: MemoryBroker, node: str = "node") -> None:
        self._broker = broker
        self._node = node
        self._life = broker.life(node)
        self._closed = False

    @property
    def alive(self) -> bool:
        """Neither closed nor killed."""
        return not self._closed and self._broker.life(self._node) == self._life

    async def enter(self, operation: str) -> None:
        """Fail as the broker would.

        Raises:
            BusUnavailable: closed, killed, or a fault.
        """
        if self._closed:
            raise BusUnavailable("this bus was closed")
        await self._broker.enter(self._node, self._life, operation)

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        await self.enter("ensure_topics")
        self._broker.make(topics)

    async def producer(self) -> "MemoryProducer":
        await self.enter("producer")
        return MemoryProducer(self, self._broker, self._node)

    async def consumer(
        self, group: str, topics: Sequence[str], listener: Listener
    ) -> "MemoryConsumer":
        await self.enter("consumer")
        return MemoryConsumer(
            self, self._broker, self._node, group=group, topics=topics, holdings=Holdings(listener)
        )

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Delivery]:
        await self.enter("read")
        return self._broker.slice(partition, offset, limit)

    async def bounds(self, topics: Sequence[str]) -> Mapping[Partition, tuple[int, int]]:
        await self.enter("bounds")
        ends = self._broker.ends(topics)
        return {partition: (self._broker.first(partition), end) for partition, end in ends.items()}

    async def cut(self, firsts: Mapping[Partition, int]) -> None:
        await self.enter("cut")
        self._broker.cut(firsts)

    async def ping(self) -> None:
        await self.enter("ping")

    async def close(self) -> None:
        self._closed = True
        self._broker.wake()


class MemoryProducer:
    """Writes straight to the broker's lists."""

    def __init__(self, bus: MemoryBus, broker: MemoryBroker, node: str) -> None:
        self._bus = bus
        self._broker = broker
        self._node = node
        self._closed = False

    async def send(self, messages: Sequence[Message], *, deadline_s: float = 10.0) -> None:
        try:
            async with asyncio.timeout(deadline_s):
                await self._bus.enter("send")
        except TimeoutError as error:
            raise BusUnavailable("the bus did not answer in time") from error
        if self._closed:
            raise BusUnavailable("this producer was closed")
        faults = self._broker.faults
        fails_after = faults.fails_after(self._node, messages)
        try:
            for message in messages[:fails_after]:
                for _ in range(faults.copies(self._node, message)):
                    self._broker.append(message)
        finally:
            self._broker.wake()
        if fails_after is not None:
            raise BusUnavailable("the bus did not acknowledge")

    async def close(self) -> None:
        self._closed = True


class MemoryConsumer:
    """A member whose lease runs on the broker's clock and is renewed by polling."""

    def __init__(
        self,
        bus: MemoryBus,
        broker: MemoryBroker,
        node: str,
        *,
        group: str,
        topics: Sequence[str],
        holdings: Holdings,
    ) -> None:
        self._bus = bus
        self._broker = broker
        self._node = node
        self._group = group
        self._member = broker.name(node)
        self._topics = tuple(topics)
        self._holdings = holdings
        self._closed = False
        self._turn = 0
        self._settled = -1
        self._read = -1
        broker.join(group, self._member, node, topics)

    async def poll(self, *, max_messages: int, timeout_s: float) -> Sequence[Delivery]:
        until_s = self._broker.clock.monotonic_s() + timeout_s
        await self._bus.enter("poll")
        self._rewind()
        while True:
            await self._settle()
            self._holdings.raise_truncated()
            if batch := self._collect(max_messages):
                return batch
            left_s = until_s - self._broker.clock.monotonic_s()
            if left_s <= 0:
                return ()
            await self._broker.changed(min(left_s, self._broker.lease_s / 3))
            await self._bus.enter("poll")

    def go_back(self, partition: Partition, offset: int) -> None:
        """Deliver from here once more, if it is ours, as a bus does that forgot where we were."""
        if partition in self._holdings.claims:
            self._read = -1
            self._holdings.place(partition, offset)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        if not self._closed:
            self._broker.commit(self._group, offsets)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            if not self._bus.alive:
                return  # the dead do not leave: their leases run out
            self._broker.leave(self._group, self._member)

    async def _settle(self) -> None:
        """Keep the lease; give up what others are due; take what is ours; tell the listener.

        Whatever is awaited may take longer than the lease, so everything is looked at again
        until a look that had nothing to await.
        """
        while True:
            if self._closed:
                raise BusUnavailable("this consumer was closed")
            if not self._broker.renew(self._group, self._member):
                self._broker.join(self._group, self._member, self._node, self._topics)
            if self._settled == (version := self._broker.version(self._group)):
                return
            self._read = -1
            excess = self._broker.excess(self._group, self._member)
            if held := [partition for partition in excess if partition in self._holdings.claims]:
                await self._holdings.give_up(held)
                continue
            self._broker.release(self._group, excess)
            owned = self._broker.claim(self._group, self._member)
            if owned == self._holdings.claims:
                self._settled = version
                return
            await self._holdings.reconcile(owned, self._broker.ends(self._topics))

    def _collect(self, max_messages: int) -> list[Delivery]:
        """What is there to be read. Nothing new since a look that found nothing costs nothing."""
        broker, positions = self._broker, self._holdings.positions
        if self._read == (written := broker.written):
            return []
        self._turn += 1
        if broker.is_cut:
            for partition, position in list(positions.items()):
                if position < (first := broker.first(partition)):
                    self._holdings.halt(partition, position, first)
        ends = broker.beyond(positions)
        if not ends:
            self._read = written
            return []
        shares = self._holdings.shares(ends, max_messages, self._turn)
        batch = [
            delivery
            for partition, count in sorted(shares.items())
            for delivery in broker.slice(partition, positions[partition], count)
        ]
        self._holdings.advance(batch)
        return batch

    def _rewind(self) -> None:
        if type(self._broker.faults) is NoFaults:
            return
        for partition, position in list(self._holdings.positions.items()):
            if back := self._broker.faults.rewinds(self._node, partition):
                self.go_back(partition, max(0, position - back))
