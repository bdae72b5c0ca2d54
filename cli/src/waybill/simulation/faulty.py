"""Store, bus and clock as a node meets them in bad weather: the memory adapters, wrapped.

What stands here does only what a real store or network could do to a process.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from waybill.simulation.weather import Strike, Weather
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

Line = Sequence[tuple[Message, Strike | None]]
"""What is written: each message, and the fault that repeats it, if one does."""


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
            unknown = CommitUnknown("the connection was lost in COMMIT")
            away = unknown if point == "commit.after" else StoreUnavailable("the store is away")
            raise self._weather.refusal(self._away, away)
        if point not in POINTS:
            return
        if point == "streams.append" and self._conflicts:
            self._conflicts -= 1
            raise VersionConflict("somebody else's")
        strike = self._weather.take(point, self._service)
        if strike is not None:
            with strike:
                await self._strike(strike)

    async def _strike(self, strike: Strike) -> None:
        match strike.kind:
            case "begin refused" | "commit refused":
                raise strike.refusing(StoreUnavailable("the connection was lost"))
            case "lock time-out":
                raise strike.refusing(LockTimeout("another transaction stayed open too long"))
            case "commit unknown, not made" | "commit unknown, made":
                raise strike.refusing(CommitUnknown("the connection was lost in COMMIT"))
            case "version conflicts":
                self._conflicts = round(strike.amount) - 1
                raise strike.refusing(VersionConflict("somebody else's"))
            case _:
                await strike.dies(self._node)


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
        for away in (self._away, EVERYWHERE):
            if self.weather.is_away(away):
                raise self.weather.refusal(away, BusUnavailable("the bus is away"))

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
        strike = self._bus.weather.take("send", self._bus.service)
        with ExitStack() as in_hand:
            line = self._line(messages, in_hand)
            if strike is None:
                await self._write(line, deadline_s)
            else:
                with strike:
                    await self._strike(strike, line, deadline_s)
        self._bus.check()
        self._sent = [*self._sent, *messages][-OLD_MAX:]

    def _line(self, messages: Sequence[Message], in_hand: ExitStack) -> Line:
        """The messages, some of them several times, old ones among them, and which fault's."""
        line: list[tuple[Message, Strike | None]] = []
        for at, message in enumerate(messages):
            line.append((message, None))
            strike = self._bus.weather.take("message", self._bus.service)
            if strike is not None:
                in_hand.enter_context(strike)
                if strike.kind == "message doubled":
                    again = [message] * round(strike.amount - 1)
                else:
                    again = [*self._sent, *messages[:at]][-round(strike.amount) :]
                line += [(one, strike) for one in again]
        return line

    async def _write(self, line: Line, deadline_s: float) -> None:
        await self._inner.send([message for message, _ in line], deadline_s=deadline_s)
        again = Counter(strike for _, strike in line if strike is not None)
        for strike, count in again.items():
            strike.did(count, "sent again")

    async def _strike(self, strike: Strike, line: Line, deadline_s: float) -> None:
        """What is written instead, and what is said of it."""
        write = line
        match strike.kind:
            case "send refused":
                raise strike.refusing(BusUnavailable("the bus refused"))
            case "kill before send":
                await strike.dies(self._bus.node)
            case "send late":
                await strike.late()
            case "batch doubled":
                write = [*line, *line]
            case "half a batch" | "kill in send":
                write = line[: int(len(line) * strike.amount % len(line))]
            case _:
                pass
        await self._write(write, deadline_s)
        match strike.kind:
            case "batch doubled":
                strike.did(len(write) - len(line), "sent again")
            case "half a batch":
                strike.did(len(line) - len(write), "not sent")
                raise BusUnavailable("the bus did not acknowledge")
            case "answer lost":
                raise strike.refusing(BusUnavailable("the bus did not acknowledge"))
            case "kill in send" | "kill after send":
                await strike.dies(self._bus.node)
            case _:
                pass

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
        strike = self._bus.weather.take("poll", self._bus.service)
        if strike is None:
            batch = await self._inner.poll(max_messages=max_messages, timeout_s=timeout_s)
        else:
            with strike:
                await self._strike(strike)
                batch = await self._inner.poll(max_messages=max_messages, timeout_s=timeout_s)
                if strike.kind == "position rewound":
                    strike.did(self._delivered_again(batch), "delivered again")
        self._next.update({delivery.partition: delivery.offset + 1 for delivery in batch})
        return batch

    async def _strike(self, strike: Strike) -> None:
        match strike.kind:
            case "poll refused":
                raise strike.refusing(BusUnavailable("the bus refused"))
            case "poll late":
                await strike.late()
            case _:
                for partition, at in self._next.items():
                    self._inner.go_back(partition, max(0, at - round(strike.amount)))

    def _delivered_again(self, batch: Sequence[Delivery]) -> int:
        return sum(one.offset < self._next.get(one.partition, 0) for one in batch)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        await self._inner.commit(offsets)

    async def close(self) -> None:
        await self._inner.close()


def stumbling(weather: Weather, service: str, handler: Handler) -> Handler:
    """The handler as a release would have it that cannot read an event, until somebody mends it."""

    async def handle(work: Work, batch: Sequence[Incoming]) -> None:
        for incoming in batch:
            place = (service, incoming.recorded.event_id)
            if place in weather.unreadable:
                if weather.at_s < weather.unreadable[place]:
                    raise _unreadable(incoming)
            elif (strike := weather.take("handle", service)) is not None:
                weather.unreadable[place] = weather.at_s + strike.amount
                with strike:
                    raise strike.refusing(_unreadable(incoming))
        await handler(work, batch)

    return handle


def _unreadable(incoming: Incoming) -> ValueError:
    return ValueError(f"this release cannot read {incoming.recorded.event_id}")
