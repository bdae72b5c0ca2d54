"""What the bus's conformance cases stand on: buses, members of groups, and a ledger of both.

A subclass of `BusHarness` says how an adapter's bus is made and how a member dies; everything
else is the same for all. Whatever a case waits for, it waits `patience_s` at the most.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence

from waybill_runtime.bus import (
    Bus,
    BusTruncated,
    BusUnavailable,
    Consumer,
    Delivery,
    Message,
    Partition,
    Producer,
)
from waybill_runtime.clock import SystemClock
from waybill_runtime.ids import RandomIds

_ids = RandomIds(SystemClock())


class Group:
    """What a group as a whole has done: its durable positions, and every broken promise."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.positions: dict[Partition, int] = {}
        self.handled: list[Delivery] = []
        self.owners: dict[Partition, str] = {}
        self.violations: list[str] = []

    def values(self) -> list[bytes]:
        return [delivery.message.value for delivery in self.handled]

    def by_key(self) -> dict[str, list[bytes]]:
        """First handling of every offset, by key, in the order of handling."""
        seen: set[tuple[Partition, int]] = set()
        values: dict[str, list[bytes]] = defaultdict(list)
        for delivery in self.handled:
            if (at := (delivery.partition, delivery.offset)) not in seen:
                seen.add(at)
                values[delivery.message.key].append(delivery.message.value)
        return dict(values)


class Owning:
    """A listener that knows what is its own, and starts each partition from the front."""

    def __init__(self) -> None:
        self.owned: set[Partition] = set()

    async def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        self.owned |= set(partitions)
        return dict.fromkeys(partitions, 0)

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        self.owned -= set(partitions)


class Member:
    """One member that polls until it is stopped; its positions are the group's, as in a store."""

    def __init__(
        self, bus: Bus, group: Group, *, max_messages: int = 500, fails_to_start: bool = False
    ) -> None:
        self.bus = bus
        self.group = group
        self.name = _ids.new("member")
        self.max_messages = max_messages
        self.fails_to_start = fails_to_start
        self.owned: set[Partition] = set()
        self.handled: list[Delivery] = []
        self.assignments: list[tuple[Partition, ...]] = []
        self.revocations: list[tuple[Partition, ...]] = []
        self.truncations: list[BusTruncated] = []
        self.consumer: Consumer | None = None
        self._task: asyncio.Task[None] | None = None

    async def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        self.assignments.append(tuple(partitions))
        for partition in partitions:
            if partition in self.group.owners:
                owner = self.group.owners[partition]
                self.group.violations.append(f"{partition} came before {owner} let it go")
            self.group.owners[partition] = self.name
        self.owned |= set(partitions)
        if self.fails_to_start:
            raise RuntimeError("the positions could not be read")
        return {partition: self.group.positions.get(partition, 0) for partition in partitions}

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        self.revocations.append(tuple(partitions))
        self._let_go(set(partitions))

    async def join(self, topics: Sequence[str]) -> None:
        """Join without polling."""
        self.consumer = await self.bus.consumer(self.group.name, topics, self)

    async def poll(self, timeout_s: float = 0.05) -> Sequence[Delivery]:
        """One poll, handled at once: noted by the group as a store would."""
        assert self.consumer is not None, "poll before join"
        batch = await self.consumer.poll(max_messages=self.max_messages, timeout_s=timeout_s)
        for delivery in batch:
            self.handle(delivery)
        return batch

    def handle(self, delivery: Delivery) -> None:
        partition = delivery.partition
        if partition not in self.owned:
            self.group.violations.append(f"{partition} was delivered to {self.name}, not its owner")
        self.handled.append(delivery)
        self.group.handled.append(delivery)
        self.group.positions[partition] = delivery.offset + 1

    def run(self) -> None:
        """Poll in the background until `stop`, as a service would: errors are tried again."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Leave the group after the batch in hand."""
        await self.freeze()
        if self.consumer is not None:
            await self.consumer.close()
        self.forget()

    def check(self) -> None:
        """Raise AssertionError when polling ended by itself: no bus may end it."""
        if self._task is not None and self._task.done():
            cause = None if self._task.cancelled() else self._task.exception()
            raise AssertionError(f"{self.name} polls no more: {cause!r}") from cause

    async def freeze(self) -> None:
        """Poll no more, and tell nobody."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def forget(self) -> None:
        """This member is gone; whoever is assigned its partitions is in the right."""
        self._let_go(set(self.owned))

    def _let_go(self, partitions: set[Partition]) -> None:
        self.owned -= partitions
        for partition in partitions:
            if self.group.owners.get(partition) == self.name:
                del self.group.owners[partition]

    async def _run(self) -> None:
        while True:
            try:
                if not await self.poll():
                    await asyncio.sleep(0)
            except BusTruncated as error:
                self.truncations.append(error)
            except BusUnavailable:
                await asyncio.sleep(0.05)


class BusHarness(ABC):
    """Makes buses, members and waits for one case; `close` undoes all of it."""

    patience_s = 10.0
    """How long anything that must happen may take."""
    quiet_s = 0.3
    """How long to look for what must not happen."""

    def __init__(self) -> None:
        self._buses: list[Bus] = []
        self._members: list[Member] = []

    @abstractmethod
    async def make_bus(self) -> Bus:
        """A bus as one more process would open it; every one sees the same topics."""

    @abstractmethod
    async def kill(self, member: Member) -> None:
        """The frozen member dies without leaving: nothing of it acts on the bus again."""

    async def close(self) -> None:
        for member in self._members:
            await member.stop()
        for bus in self._buses:
            await bus.close()

    async def bus(self) -> Bus:
        bus = await self.make_bus()
        self._buses.append(bus)
        return bus

    async def topics(self, count: int) -> tuple[Bus, list[str]]:
        """A bus with new topics."""
        bus = await self.bus()
        names = [_ids.new("topic") for _ in range(count)]
        await bus.ensure_topics(names)
        return bus, names

    async def topic(self) -> tuple[Bus, str]:
        bus, (name,) = await self.topics(1)
        return bus, name

    async def producer(self) -> tuple[Bus, str, Producer]:
        """A bus with a new topic, and a producer."""
        bus, topic = await self.topic()
        return bus, topic, await bus.producer()

    def group(self) -> Group:
        return Group(_ids.new("group"))

    async def member(
        self,
        group: Group,
        topics: Sequence[str],
        *,
        bus: Bus | None = None,
        max_messages: int = 500,
        fails_to_start: bool = False,
        runs: bool = True,
    ) -> Member:
        """A new member on a bus of its own (or the given one), polling unless told otherwise."""
        member = Member(
            bus or await self.bus(),
            group,
            max_messages=max_messages,
            fails_to_start=fails_to_start,
        )
        self._members.append(member)
        await member.join(topics)
        if runs:
            member.run()
        return member

    async def die(self, member: Member) -> None:
        """Freeze and kill; its successors may come."""
        await member.freeze()
        await self.kill(member)
        member.forget()

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Return as soon as it holds.

        Raises:
            AssertionError: it did not within `patience_s`.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self.patience_s
        while not holds():
            for member in self._members:
                member.check()
            assert loop.time() < until_s, f"in {self.patience_s} s it did not happen that {what}"
            await asyncio.sleep(0.01)

    async def settled(self, *members: Member, partitions: int = 12) -> None:
        """Return when the members share all partitions, each with a fair part."""
        fair = partitions // len(members), -(-partitions // len(members))
        await self.until(
            lambda: (
                sum(len(member.owned) for member in members) == partitions
                and all(len(member.owned) in fair for member in members)
            ),
            f"{len(members)} members share {partitions} partitions fairly",
        )

    async def log(self, bus: Bus, topic: str) -> dict[Partition, list[Delivery]]:
        """Everything that a topic holds, read without a group."""
        bounds = await bus.bounds([topic])
        return {
            partition: list(await bus.read(partition, first, 10_000))
            for partition, (first, end) in sorted(bounds.items())
            if end > first
        }

    async def until_answers(self, bus: Bus) -> None:
        """Return when the bus answers a ping again."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self.patience_s
        while loop.time() < until_s:
            try:
                return await bus.ping()
            except BusUnavailable:
                await asyncio.sleep(0.05)
        raise AssertionError(f"in {self.patience_s} s the bus did not answer")

    async def only_partition(self, bus: Bus, topic: str) -> Partition:
        """The one partition of a topic that holds anything."""
        used = list(await self.log(bus, topic))
        assert len(used) == 1, f"one partition was to be used, not {used}"
        return used[0]

    async def poll_until(self, member: Member, count: int) -> list[Delivery]:
        """Poll a member that does not run by itself until it handled this many messages."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self.patience_s
        while len(member.handled) < count and loop.time() < until_s:
            await member.poll()
        assert len(member.handled) >= count, f"{len(member.handled)} of {count} were delivered"
        return member.handled


async def refused(call: Awaitable[object]) -> None:
    """Assert that a call raises BusUnavailable."""
    try:
        await call
    except BusUnavailable:
        return
    raise AssertionError("the call was answered where BusUnavailable was due")


def numbered(topic: str, count: int, *, keys: int = 24, start: int = 0) -> list[Message]:
    """Messages `start` to `start + count`, spread over some keys; the value is the number."""
    return [
        Message(topic=topic, key=f"key-{number % keys}", value=str(number).encode())
        for number in range(start, start + count)
    ]


def values(messages: Sequence[Message]) -> list[bytes]:
    return [message.value for message in messages]


def flat(log: Mapping[Partition, Sequence[Delivery]]) -> list[Message]:
    return [delivery.message for deliveries in log.values() for delivery in deliveries]


def by_key(messages: Sequence[Message]) -> dict[str, list[bytes]]:
    """The values of every key, in their order."""
    keyed: dict[str, list[bytes]] = defaultdict(list)
    for message in messages:
        keyed[message.key].append(message.value)
    return dict(keyed)
