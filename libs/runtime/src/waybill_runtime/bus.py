"""The bus: partitioned, ordered by key, delivered at least once. One port, three adapters.

Promises of every adapter (proved by `waybill_runtime.testing.bus_conformance`): a message that
`send` returned for is durable and is delivered to every group; messages of one key arrive in the
order of their sends; a partition has at most one live owner per group, and a new owner is told so
before it gets anything. Not promised: no duplicates. Consumers fence and deduplicate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol

from waybill_events.envelope import Recorded

PARTITIONS = 12
"""Partitions of every topic, for ever: another number would move keys between partitions."""


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent. Headers are ASCII names with UTF-8 values (CloudEvents binary mode)."""

    topic: str
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    said: Recorded | None = field(default=None, init=False, repr=False, compare=False)
    """What `intake.said` read in it, so that it is read once, however often it is tried."""


SENT_AGAIN = ("waybill_sent_again", b"1")
"""A header on what a relay sends again after a republish, each stream from its first event: where
it stands, the newest may stand anywhere. Consumers do not read it."""


def is_sent_again(message: Message) -> bool:
    """Whether it stands on the bus in the order of streams, and not of their saying."""
    return SENT_AGAIN in message.headers


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is received, and where it stood."""

    message: Message
    partition: Partition
    offset: int


class BusUnavailable(Exception):
    """The bus did not answer in time or refused; nothing is known of what was being sent.

    The caller keeps what it wanted to send and sends all of it again.
    """


class BusTruncated(Exception):
    """A partition no longer holds what should come next: it was cut short or made anew.

    The position is the reader's, the end is the bus's. The partition stays unread until it is
    assigned again: going on by guess would lose events in silence.
    """

    def __init__(self, partition: Partition, position: int, end: int) -> None:
        super().__init__(
            f"{partition.topic}/{partition.number}: nothing at offset {position}, the end is {end};"
            " publish again from the outboxes, then restart the readers"
        )
        self.partition = partition
        self.position = position
        self.end = end


class Producer(Protocol):
    """Sends. One producer is used by one task at a time."""

    async def send(self, messages: Sequence[Message], *, deadline_s: float = 10.0) -> None:
        """Return when every message is durable on the bus, in the given order per key.

        Raises:
            BusUnavailable: some, all or none of them may have been written.
        """
        ...

    async def close(self) -> None:
        """Let go of everything; bounded in time; may be called twice."""
        ...


class Listener(Protocol):
    """Told of ownership by the consumer, never while it is inside `poll`'s answer."""

    async def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """These are ours now. Answers the offset to start from for each; none left out.

        An exception leaves the partitions unread until the next rebalance or restart.
        """
        ...

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        """These are no longer ours; what was read of them and not finished is somebody else's."""
        ...


class Consumer(Protocol):
    """Reads as one member of a group. Used by one task."""

    async def poll(self, *, max_messages: int, timeout_s: float) -> Sequence[Delivery]:
        """What has arrived on our partitions, in offset order per partition; empty on time-out.

        Each call goes on after the last delivery of the one before. Ownership changes are told
        to the listener from inside this call, between batches.

        Raises:
            BusUnavailable: try again; nothing is lost.
            BusTruncated: once for a partition that does not hold our offset; others go on.
        """
        ...

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tell the bus where we are, for its lag displays. Advisory: errors are swallowed."""
        ...

    async def close(self) -> None:
        """Leave the group, bounded in time; may be called twice."""
        ...


class Bus(Protocol):
    """One bus, as one process sees it."""

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        """Make what is missing, with PARTITIONS partitions; may be called by many at once."""
        ...

    async def producer(self) -> Producer:
        """A new producer, ready to send."""
        ...

    async def consumer(self, group: str, topics: Sequence[str], listener: Listener) -> Consumer:
        """A new member of a group."""
        ...

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Delivery]:
        """Messages from an offset on, without a group: for rebuilds, exports and audits.

        Empty at the end. Bounded in time.
        """
        ...

    async def bounds(self, topics: Sequence[str]) -> Mapping[Partition, tuple[int, int]]:
        """First kept offset and next offset to be written, for every partition."""
        ...

    async def cut(self, firsts: Mapping[Partition, int]) -> None:
        """Forget what stands before these offsets; numbers are not given again. For operators.

        A reader that stands before them is told BusTruncated.
        """
        ...

    async def ping(self) -> None:
        """Return when the bus answers; raises BusUnavailable when it does not in two seconds."""
        ...

    async def close(self) -> None:
        """Let go of everything; may be called twice."""
        ...


@lru_cache(maxsize=65_536)
def partition_of(key: str) -> int:
    """The partition of a key: murmur2 as the Java client's default partitioner computes it.

    The same on every adapter, so that a key never moves, and equal to what other Kafka clients
    compute for co-partitioned topics.
    """
    data = key.encode()
    length = len(data)
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ length) & mask
    for at in range(0, length - length % 4, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    if rest := data[length - length % 4 :]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    h ^= h >> 15
    return (h & 0x7FFFFFFF) % PARTITIONS
