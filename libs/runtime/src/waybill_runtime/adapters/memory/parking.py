"""Parked keys, in memory."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from waybill_runtime.adapters.memory.session import Session
from waybill_runtime.adapters.memory.tables import ParkedRow
from waybill_runtime.stored import Backlog, Parked


class MemoryParking:
    """`Parking` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._parked = session.tables.parked

    async def parked_keys(self, consumer: str, keys: Collection[str]) -> Collection[str]:
        await self._session.reads("parking.parked_keys")
        waiting = {row.parked.key for row in self._parked.values() if row.consumer == consumer}
        return waiting & set(keys)

    async def park(self, consumer: str, deliveries: Sequence[Parked]) -> None:
        await self._session.writes("parking.park")
        for delivery in deliveries:
            position = next(self._session.database.sequence)
            headers = tuple((name, bytes(raw)) for name, raw in delivery.headers)
            kept = replace(delivery, position=position, headers=headers)
            self._parked.put(position, ParkedRow(consumer, kept))

    async def parked(
        self, consumer: str, *, key: str | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[Parked]:
        await self._session.reads("parking.parked")
        found = [
            row.parked
            for position, row in sorted(self._parked.items(), key=lambda item: item[0])
            if row.consumer == consumer and position > after and key in (None, row.parked.key)
        ]
        return found[:limit]

    async def unpark(self, consumer: str, positions: Collection[int]) -> None:
        await self._session.writes("parking.unpark")
        for position in positions:
            row = self._parked.get(position)
            if row is not None and row.consumer == consumer:
                self._parked.drop(position)

    async def parked_backlog(self, consumer: str) -> Backlog:
        await self._session.reads("parking.parked_backlog")
        since = [row.parked.parked_at for row in self._parked.values() if row.consumer == consumer]
        if not since:
            return Backlog(0, 0.0)
        return Backlog(len(since), max(0.0, (self._session.now - min(since)).total_seconds()))
