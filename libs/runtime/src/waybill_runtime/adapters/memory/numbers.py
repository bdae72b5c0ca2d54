"""Gapless numbers, in memory."""

from waybill_runtime.adapters.memory.session import Session


class MemoryNumbers:
    """`Numbers` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def take_numbers(self, series: str, count: int) -> int:
        await self._session.writes("numbers.take_numbers")
        first = self._session.tables.numbers.get(series) or 1
        self._session.tables.numbers.put(series, first + count)
        return first
