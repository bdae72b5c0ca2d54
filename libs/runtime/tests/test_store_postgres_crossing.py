"""Writers that name the same rows in opposite orders lock them in one: none waits in a circle."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import pytest

from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.clock import SystemClock
from waybill_runtime.store import Transaction
from waybill_runtime.stored import VersionConflict
from waybill_runtime.testing.postgres import Server, fresh_database, somebody_waits
from waybill_runtime.testing.store_harness import write

pytestmark = pytest.mark.postgres

CONSUMER = "payment"
STREAMS = [f"default/order/ord_{name}" for name in "amz"]
Writer = Callable[[Transaction, Sequence[int]], Awaitable[object]]


async def appends(transaction: Transaction, rows: Sequence[int]) -> None:
    await transaction.streams.append([write(STREAMS[row], 0) for row in rows])


async def marks(transaction: Transaction, rows: Sequence[int]) -> None:
    await transaction.inbox.mark(CONSUMER, {STREAMS[row]: 1 for row in rows})


class _Undone(Exception):
    """Ends a transaction that is to leave nothing behind."""


@pytest.fixture
async def dsn(postgres: Server) -> AsyncIterator[str]:
    async with fresh_database(postgres, "store_crossing") as dsn:
        yield dsn


@pytest.mark.parametrize("writer", [appends, marks])
async def test_writers_that_cross_wait_for_each_other_in_one_order(
    dsn: str, writer: Writer
) -> None:
    """A third holds the row in the middle until both wait: each has what it locks first.

    Rows that come into being are locked as they are given. Those that are there are found in the
    order of the table or of its index, by both: a test of their sorting would not fail without it.
    """
    store = await PostgresStore.open(dsn, clock=SystemClock(), max_connections=4)

    async def crosses(rows: Sequence[int]) -> Exception | None:
        try:
            async with store.transaction() as transaction:
                await writer(transaction, rows)
        except VersionConflict as conflict:
            return conflict
        return None

    with suppress(_Undone):
        async with store.transaction() as holding:
            await writer(holding, [1])
            writers = [asyncio.create_task(crosses(rows)) for rows in ([0, 1, 2], [2, 1, 0])]
            await somebody_waits(dsn, at_least=2)
            raise _Undone
    ended = await asyncio.gather(*writers)
    await store.close()
    assert [type(e) for e in ended].count(VersionConflict) == (1 if writer is appends else 0)
