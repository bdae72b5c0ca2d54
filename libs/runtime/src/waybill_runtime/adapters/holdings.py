"""What every bus adapter needs of a group: who should own what, and where one member stands.

`deal` is a pure function of the members, so that all members come to the same answer alone.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence

import structlog

from waybill_runtime.bus import (
    PARTITIONS,
    BusTruncated,
    Delivery,
    Listener,
    Partition,
)

log = structlog.get_logger(__name__)


def deal(members: Mapping[str, Collection[str]]) -> dict[Partition, str]:
    """Who should own each partition, given each member's topics: balanced to within one."""
    owners: dict[Partition, str] = {}
    turn = 0
    for topic in sorted({topic for topics in members.values() for topic in topics}):
        takers = sorted(name for name, topics in members.items() if topic in topics)
        for number in range(PARTITIONS):
            owners[Partition(topic, number)] = takers[(turn + number) % len(takers)]
        turn += PARTITIONS
    return owners


class Holdings:
    """The partitions of one member, each with its claim and the offset to be delivered next.

    A claim is the number of one time of ownership: the same partition with another claim was
    somebody else's in between. All listener calls go through here, in the task that polls.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._claims: dict[Partition, int] = {}
        self._next: dict[Partition, int] = {}
        self._truncated: deque[BusTruncated] = deque()

    @property
    def claims(self) -> Mapping[Partition, int]:
        """Everything that is ours, what cannot be read included."""
        return self._claims

    @property
    def positions(self) -> Mapping[Partition, int]:
        """What can be read, and from where."""
        return self._next

    async def reconcile(
        self, owned: Mapping[Partition, int], ends: Mapping[Partition, int]
    ) -> None:
        """Tell the listener what went and what came, given claims that the group agrees on."""
        gone = [p for p, claim in self._claims.items() if owned.get(p) != claim]
        if gone:
            await self.give_up(gone)
        new = {p: claim for p, claim in owned.items() if p not in self._claims}
        if new:
            await self.take(new, ends)

    async def take(self, claims: Mapping[Partition, int], ends: Mapping[Partition, int]) -> None:
        """Ask the listener where to start; leave unread what it could not say.

        Cancelled before it answered, nothing is taken and the caller asks again.
        """
        partitions = sorted(claims)
        offsets: Mapping[Partition, int]
        try:
            offsets = await self._listener.assigned(partitions)
        except Exception:  # the port says: left unread, whatever it was
            log.exception("bus.listener_failed", call="assigned")
            offsets = {}
        for partition in partitions:
            self._claims[partition] = claims[partition]
            if partition in offsets:
                self.place(partition, offsets[partition], ends.get(partition))

    async def give_up(self, partitions: Sequence[Partition]) -> None:
        """Tell the listener that these are gone; nothing of them is delivered from here on."""
        for partition in partitions:
            self._next.pop(partition, None)
        try:
            await self._listener.revoked(sorted(partitions))
        except Exception:  # they are gone whatever the listener thinks
            log.exception("bus.listener_failed", call="revoked")
        for partition in partitions:
            self._claims.pop(partition, None)

    def place(self, partition: Partition, offset: int, end: int | None = None) -> None:
        """Read from this offset next, unless it lies behind the end."""
        if end is not None and offset > end:
            self.halt(partition, offset, end)
        else:
            self._next[partition] = offset

    def halt(self, partition: Partition, position: int, end: int) -> None:
        """Stop reading a partition that was cut short; `raise_truncated` will say so once."""
        self._next.pop(partition, None)
        self._truncated.append(BusTruncated(partition, position, end))

    def raise_truncated(self) -> None:
        """Raise what `halt` found, one partition per call."""
        if self._truncated:
            raise self._truncated.popleft()

    def advance(self, deliveries: Sequence[Delivery]) -> None:
        """These are being handed out; go on after them."""
        for delivery in deliveries:
            self._next[delivery.partition] = delivery.offset + 1

    def shares(self, ends: Mapping[Partition, int], limit: int, turn: int) -> dict[Partition, int]:
        """How many messages to take of each partition that has some, `limit` in sum.

        Every one gets a fair part, so that a full partition does not starve the others; `turn`
        decides who comes first when there are more partitions than messages.
        """
        waiting = [
            (partition, end - self._next[partition])
            for partition, end in sorted(ends.items())
            if partition in self._next and end > self._next[partition]
        ]
        shares: dict[Partition, int] = {}
        start = turn % len(waiting) if waiting else 0
        chosen = (waiting[start:] + waiting[:start])[:limit]
        waiting = sorted(chosen, key=lambda item: item[1])
        for place, (partition, behind) in enumerate(waiting):
            fair = max(1, limit // (len(waiting) - place))
            if taken := min(behind, fair, limit):
                shares[partition] = taken
                limit -= taken
        return shares
