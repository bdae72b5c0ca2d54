"""Run a whole transaction again when another one was first: bounded, with full jitter."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from waybill_runtime import metrics
from waybill_runtime.ids import Ids
from waybill_runtime.store import Store, Transaction
from waybill_runtime.stored import LockTimeout, VersionConflict

T = TypeVar("T")

TRIES = 8
BACKOFF_S = 0.01
BACKOFF_S_MAX = 0.5


async def transact(store: Store, ids: Ids, body: Callable[[Transaction], Awaitable[T]]) -> T:
    """The answer of `body`, run in a transaction that committed.

    `body` may run several times, each time on a new transaction; it must load, decide and append
    from scratch and touch nothing outside.

    Raises:
        VersionConflict, LockTimeout: still, after the last try.
        StoreUnavailable, CommitUnknown: at once; only the caller knows what to look up.
    """
    for attempt in range(1, TRIES + 1):
        try:
            async with store.transaction() as transaction:
                return await body(transaction)
        except (VersionConflict, LockTimeout) as conflict:
            metrics.TRANSACTION_RETRIES.labels(reason=type(conflict).__name__).inc()
            if attempt == TRIES:
                raise
            await asyncio.sleep(ids.jitter() * min(BACKOFF_S * 2**attempt, BACKOFF_S_MAX))
    raise AssertionError("unreachable: the last try returns or raises")
