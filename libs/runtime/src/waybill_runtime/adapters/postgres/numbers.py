"""Gapless numbers: a counter row that stays locked until its taker commits or rolls back."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from waybill_runtime.adapters.postgres.session import Session

TAKE = """/* numbers.take_numbers */
INSERT INTO numbers AS n (series, next) VALUES ($1, 1 + $2::bigint)
ON CONFLICT (series) DO UPDATE SET next = n.next + $2::bigint
RETURNING next - $2::bigint AS first
"""


class PostgresNumbers:
    """`Numbers` in the table numbers."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def take_numbers(self, series: str, count: int) -> int:
        (row,) = await self._session.write(TAKE, series, count)
        return int(row["first"])
