"""The shared half of the memory bus: logs, groups, and who is alive. No tasks, no threads.

Everything happens inside calls of the members, on the injected clock and the loop's own timers, so
that a run under a virtual loop repeats exactly.
"""

import asyncio
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from waybill_runtime.adapters.holdings import deal
from waybill_runtime.bus import (
    PARTITIONS,
    BusUnavailable,
    Delivery,
    Message,
    Partition,
    partition_of,
)
from waybill_runtime.clock import Clock


class Faults(Protocol):
    """Asked at every call what goes wrong this time; a simulator answers from its seed."""

    def delay_s(self, node: str, operation: str) -> float:
        """How long a call (`send`, `poll`, `read`, …) takes before anything happens."""
        ...

    def refuses(self, node: str, operation: str) -> bool:
        """Whether the call fails before anything happens."""
        ...

    def fails_after(self, node: str, messages: Sequence[Message]) -> int | None:
        """How many messages are written before the send fails; all: the answer is lost."""
        ...

    def copies(self, node: str, message: Message) -> int:
        """How often the message is written: 1, or more for a sender that repeated itself."""
        ...

    def rewinds(self, node: str, partition: Partition) -> int:
        """How many messages back a poll starts again: duplicate delivery of old offsets."""
        ...


class NoFaults:
    """A bus on a good day."""

    def delay_s(self, node: str, operation: str) -> float:
        return 0.0

    def refuses(self, node: str, operation: str) -> bool:
        return False

    def fails_after(self, node: str, messages: Sequence[Message]) -> int | None:
        return None

    def copies(self, node: str, message: Message) -> int:
        return 1

    def rewinds(self, node: str, partition: Partition) -> int:
        return 0


@dataclass(slots=True)
class _Member:
    node: str
    topics: frozenset[str]
    lease_until_s: float


@dataclass(slots=True)
class _Group:
    members: dict[str, _Member] = field(default_factory=dict)
    owners: dict[Partition, tuple[str, int]] = field(default_factory=dict)
    shares: dict[str, dict[Partition, None]] | None = None
    version: int = 0
    committed: dict[Partition, int] = field(default_factory=dict)


class MemoryBroker:
    """One bus of one process. Outlives its members, as a real one would."""

    def __init__(
        self, clock: Clock, *, lease_s: float = 10.0, faults: Faults | None = None
    ) -> None:
        self.clock = clock
        self.lease_s = lease_s
        self.faults: Faults = faults or NoFaults()
        self._logs: dict[Partition, list[Delivery]] = {}
        self._firsts: dict[Partition, int] = {}
        self._groups: dict[str, _Group] = {}
        self._lives: dict[str, int] = {}
        self._waiters: dict[asyncio.Future[None], None] = {}
        self.written = 0
        """Grows with every change of any log."""
        self._numbers = itertools.count(1)

    def life(self, node: str) -> int:
        """Which of the node's lives this is; a view remembers the one it was made in."""
        return self._lives.get(node, 0)

    def kill(self, node: str, *, leaves: bool = False) -> None:
        """Everything that the node opened fails from now on; new views of it work.

        Its memberships end at once when it `leaves`; else they last until their leases expire.
        """
        self._lives[node] = self.life(node) + 1
        if leaves:
            for group in self._groups.values():
                for name in [n for n, m in group.members.items() if m.node == node]:
                    self._expel(group, name)
        self.wake()

    def committed(self, group: str) -> Mapping[Partition, int]:
        """What members of a group said of their progress."""
        return dict(self._groups.get(group, _Group()).committed)

    async def enter(self, node: str, life: int, operation: str) -> None:
        """What every call goes through first.

        Raises:
            BusUnavailable: the node is dead, or a fault says so.
        """
        await asyncio.sleep(self.faults.delay_s(node, operation))
        if life != self.life(node):
            raise BusUnavailable(f"{node} is cut off from the bus")
        if self.faults.refuses(node, operation):
            raise BusUnavailable(f"the bus refused to {operation}")

    # --- logs -----------------------------------------------------------------------------

    def make(self, topics: Sequence[str]) -> None:
        for topic in topics:
            for number in range(PARTITIONS):
                self._logs.setdefault(Partition(topic, number), [])
        self.written += 1
        for group in self._groups.values():
            group.version += 1
        self.wake()

    def append(self, message: Message) -> None:
        partition = Partition(message.topic, partition_of(message.key))
        log = self._logs.get(partition)
        if log is None:
            raise BusUnavailable(f"no topic {message.topic!r}: make it with ensure_topics")
        log.append(Delivery(message=message, partition=partition, offset=len(log)))
        self.written += 1

    def slice(self, partition: Partition, offset: int, limit: int) -> list[Delivery]:
        start = max(offset, self._firsts.get(partition, 0))
        return self._logs.get(partition, [])[start : start + limit]

    def cut(self, firsts: Mapping[Partition, int]) -> None:
        """Hand out nothing before these offsets any more."""
        self.written += 1
        self._firsts.update({p: max(at, self._firsts.get(p, 0)) for p, at in firsts.items()})

    @property
    def is_cut(self) -> bool:
        """Whether any log no longer begins at 0."""
        return bool(self._firsts)

    def first(self, partition: Partition) -> int:
        return self._firsts.get(partition, 0)

    def lose(self) -> None:
        """A disaster: every message is gone, and offsets begin at 0 again."""
        self._logs = {partition: [] for partition in self._logs}
        self._firsts.clear()
        self.written += 1
        self.wake()

    def end(self, partition: Partition) -> int:
        return len(self._logs.get(partition, ()))

    def beyond(self, positions: Mapping[Partition, int]) -> dict[Partition, int]:
        """The ends of those logs that go on beyond these positions."""
        logs = self._logs
        return {p: end for p, at in positions.items() if (end := len(logs.get(p, ()))) > at}

    def ends(self, topics: Collection[str]) -> dict[Partition, int]:
        return {p: len(log) for p, log in self._logs.items() if p.topic in topics}

    # --- groups ---------------------------------------------------------------------------

    def name(self, node: str) -> str:
        """A member's name; later ones sort after, whatever their node."""
        return f"{next(self._numbers):09d}/{node}"

    def join(self, group: str, member: str, node: str, topics: Sequence[str]) -> None:
        lease_until_s = self.clock.monotonic_s() + self.lease_s
        joined = self._groups.setdefault(group, _Group())
        joined.members[member] = _Member(node, frozenset(topics), lease_until_s)
        _changed(joined)
        self.wake()

    def leave(self, group: str, member: str) -> None:
        if member in self._groups[group].members:
            self._expel(self._groups[group], member)
            self.wake()

    def renew(self, group: str, member: str) -> bool:
        """Extend a lease and expel whoever let his lapse; False: we were expelled before."""
        now_s = self.clock.monotonic_s()
        members = self._groups[group].members
        lapsed = [n for n, m in members.items() if m.lease_until_s < now_s and n != member]
        for name in lapsed:
            self._expel(self._groups[group], name)
        if lapsed:
            self.wake()
        if member not in members:
            return False
        members[member].lease_until_s = now_s + self.lease_s
        return True

    def version(self, group: str) -> int:
        """Grows with every change of who is there and who holds what."""
        return self._groups[group].version

    def excess(self, group: str, member: str) -> list[Partition]:
        """What the member holds and others should."""
        share = self._share(group, member)
        owners = self._groups[group].owners
        return [p for p, (owner, _) in owners.items() if owner == member and p not in share]

    def release(self, group: str, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._groups[group].owners.pop(partition, None)
        if partitions:
            self._groups[group].version += 1
            self.wake()

    def claim(self, group: str, member: str) -> dict[Partition, int]:
        """Take what is due and free; answer all that is held, with its claims."""
        owners = self._groups[group].owners
        for partition in self._share(group, member):
            if partition in self._logs and partition not in owners:
                owners[partition] = (member, next(self._numbers))
                self._groups[group].version += 1
        return {p: claim for p, (owner, claim) in owners.items() if owner == member}

    def commit(self, group: str, offsets: Mapping[Partition, int]) -> None:
        self._groups[group].committed.update(offsets)

    def _share(self, name: str, member: str) -> Mapping[Partition, None]:
        group = self._groups[name]
        if group.shares is None:
            group.shares = {other: {} for other in group.members}
            dealt = deal({other: m.topics for other, m in group.members.items()})
            for partition, owner in dealt.items():
                group.shares[owner][partition] = None
        return group.shares.get(member, {})

    def _expel(self, group: _Group, member: str) -> None:
        del group.members[member]
        _changed(group)
        group.owners = {p: held for p, held in group.owners.items() if held[0] != member}

    # --- waiting --------------------------------------------------------------------------

    def wake(self) -> None:
        """Something changed: whoever waits looks again."""
        for waiter in self._waiters:
            _wake(waiter)
        self._waiters.clear()

    async def changed(self, timeout_s: float) -> None:
        """Return at the next change, or after the time."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiters[waiter] = None
        patience = loop.call_later(timeout_s, _wake, waiter)
        try:
            await waiter
        finally:
            patience.cancel()
            self._waiters.pop(waiter, None)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _changed(group: _Group) -> None:
    """Members came or went: the partitions are dealt anew."""
    group.shares = None
    group.version += 1
