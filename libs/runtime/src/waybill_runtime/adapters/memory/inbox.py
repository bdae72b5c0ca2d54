"""Fenced positions and marks of consumers, in memory."""

from collections.abc import Collection, Mapping

from waybill_runtime.adapters.memory.session import Session
from waybill_runtime.bus import Partition
from waybill_runtime.stored import Advance, Ownership


class MemoryInbox:
    """`Inbox` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._positions = session.tables.positions
        self._marks = session.tables.marks

    async def take(
        self, consumer: str, partitions: Collection[Partition]
    ) -> Mapping[Partition, Ownership]:
        await self._session.writes("inbox.take")
        taken = {}
        for partition in sorted(set(partitions)):
            before = self._positions.get((consumer, partition)) or Ownership(0, 0)
            taken[partition] = Ownership(before.epoch + 1, before.next_offset)
            self._positions.put((consumer, partition), taken[partition])
        return taken

    async def advance(
        self, consumer: str, moves: Mapping[Partition, Advance]
    ) -> Mapping[Partition, int]:
        await self._session.writes("inbox.advance")
        stood = {}
        for partition, move in moves.items():
            held = self._positions.get((consumer, partition))
            if held is None or held.epoch != move.epoch:
                continue
            stood[partition] = held.next_offset
            moved = Ownership(held.epoch, max(held.next_offset, move.next_offset))
            self._positions.put((consumer, partition), moved)
        return stood

    async def positions(self, consumer: str) -> Mapping[Partition, int]:
        await self._session.reads("inbox.positions")
        return {
            partition: held.next_offset
            for (owner, partition), held in self._positions.items()
            if owner == consumer
        }

    async def seen(self, consumer: str, sources: Collection[str]) -> Mapping[str, int]:
        await self._session.reads("inbox.seen")
        found = {source: self._marks.get((consumer, source)) for source in sources}
        return {source: version for source, version in found.items() if version is not None}

    async def mark(self, consumer: str, versions: Mapping[str, int]) -> None:
        await self._session.writes("inbox.mark")
        for source, version in versions.items():
            before = self._marks.get((consumer, source)) or 0
            self._marks.put((consumer, source), max(before, version))

    async def restart(self, consumer: str, offsets: Mapping[Partition, int]) -> None:
        await self._session.writes("inbox.restart")
        known = {owner for (owner, partition), _ in self._positions.items() if partition in offsets}
        for partition, offset in offsets.items():
            for owner in sorted(known | {consumer}):
                held = self._positions.get((owner, partition))
                if held is not None or owner == consumer:
                    epoch = held.epoch + 1 if held is not None else 1
                    self._positions.put((owner, partition), Ownership(epoch, offset))

    async def forget(self, consumer: str) -> None:
        await self._session.writes("inbox.forget")
        for owner, source in [key for key, _ in self._marks.items() if key[0] == consumer]:
            self._marks.drop((owner, source))
        held = [(key, value) for key, value in self._positions.items() if key[0] == consumer]
        for key, ownership in held:
            self._positions.put(key, Ownership(ownership.epoch + 1, 0))
