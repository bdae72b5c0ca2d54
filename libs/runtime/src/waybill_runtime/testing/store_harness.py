"""What the store's cases are written with: a harness per adapter, and small literal rows."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from waybill_events.envelope import Recorded
from waybill_runtime.bus import Partition
from waybill_runtime.store import Store
from waybill_runtime.stored import (
    Answer,
    ClaimedJob,
    Job,
    Ownership,
    Parked,
    Stream,
    StreamWrite,
    Unpublished,
)

E = TypeVar("E", bound=Exception)

ORDER = "default/order/ord_1"
OTHER = "default/order/ord_2"
STOCK = "default/stock/sku_1"
P0, P1 = Partition("orders", 0), Partition("orders", 1)
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class StoreHarness:
    """One empty database. An adapter supplies `make_store`."""

    patience_s = 10.0

    def __init__(self) -> None:
        self._made: list[Store] = []

    async def make_store(self) -> Store:
        """A new process's view of the same database."""
        raise NotImplementedError

    async def open(self) -> Store:
        """As `make_store`, closed with the harness."""
        made = await self.make_store()
        self._made.append(made)
        return made

    async def close(self) -> None:
        for made in self._made:
            await made.close()


def event(
    stream: str, version: int, *, data: str = '{"n": 1}', event_id: str = "", key: str = "ord_1"
) -> Recorded:
    """An event whose id, unless given, follows from its place."""
    return Recorded(
        event_id=event_id or f"{stream}@{version}",
        type="capture.order_placed.v1",
        stream=stream,
        version=version,
        tenant="default",
        topic="orders",
        key=key,
        occurred_at=MOMENT,
        causation_id="cmd_1",
        correlation_id="ord_1",
        actor="customer:7",
        origin="live",
        data=data,
    )


def write(
    stream: str, expected: int, count: int = 1, *, by: str = "", snapshot: str | None = None
) -> StreamWrite:
    """So many events after the expected version; `by` tells two writers' event ids apart."""
    events = [
        event(stream, version, event_id=f"{stream}@{version}{by}")
        for version in range(expected + 1, expected + count + 1)
    ]
    return StreamWrite(stream, expected, events, snapshot)


async def append(store: Store, *writes: StreamWrite) -> None:
    """One transaction that appends."""
    async with store.transaction() as transaction:
        await transaction.streams.append(writes)


async def loaded(store: Store, stream: str) -> Stream:
    """The stream as it is committed now."""
    async with store.reading() as reading:
        found = await reading.streams.load([stream], lock=False)
    assert stream in found, f"{stream} was left out"
    return found[stream]


async def waiting(store: Store) -> Sequence[Unpublished]:
    """What the relay would find now."""
    async with store.reading() as reading:
        return await reading.streams.unpublished(10_000)


async def owned(store: Store, partition: Partition, consumer: str = "payment") -> Ownership:
    """Take one partition."""
    async with store.transaction() as transaction:
        taken = await transaction.inbox.take(consumer, [partition])
    assert partition in taken, f"{partition} was left out"
    return taken[partition]


def job(
    id: str, store: Store, *, in_s: float = -1.0, kind: str = "timer", tenant: str = "default"
) -> Job:
    """A job due so long from now by the store's clock."""
    due_at = store.now() + timedelta(seconds=in_s)
    return Job(id=id, tenant=tenant, kind=kind, due_at=due_at, payload='{"a": 1}')


async def schedule(store: Store, *jobs: Job) -> None:
    """One transaction that schedules."""
    async with store.transaction() as transaction:
        await transaction.jobs.schedule(jobs)


async def claim(
    store: Store, *, kind: str = "timer", limit: int = 100, lease_s: float = 60.0
) -> Sequence[ClaimedJob]:
    """One transaction that claims."""
    async with store.transaction() as transaction:
        return await transaction.jobs.claim([kind], limit=limit, lease_s=lease_s)


async def claimed(store: Store, *, lease_s: float = 60.0) -> ClaimedJob:
    """The one job that is due."""
    jobs = await claim(store, lease_s=lease_s)
    assert len(jobs) == 1, f"{len(jobs)} jobs were due, not one"
    return jobs[0]


async def claimed_in_time(store: Store, patience_s: float) -> ClaimedJob:
    """The first job to become due while one waits."""
    deadline_s = asyncio.get_running_loop().time() + patience_s
    while asyncio.get_running_loop().time() < deadline_s:
        if jobs := await claim(store):
            return jobs[0]
        await asyncio.sleep(0.01)
    raise AssertionError("no job became due")


def answer(body: bytes = b'{"id": "ord_1"}', *, fingerprint: str = "f1") -> Answer:
    """An answer with headers in an order of their own."""
    return Answer(fingerprint, 201, {"Location": "/v1/orders/ord_1", "ETag": '"1"'}, body)


async def keep(store: Store, key: str, kept: Answer) -> None:
    """One transaction that claims a key and stores its answer."""
    async with store.transaction() as transaction:
        found = await transaction.answers.claim("default", key, kept.fingerprint)
        assert found is None, "the key was used before"
        await transaction.answers.keep("default", key, kept)


async def replayed(store: Store, key: str, *, tenant: str = "default") -> Answer | None:
    """What a later request with this key is told; rolled back by nothing, it claims nothing new."""
    async with store.transaction() as transaction:
        return await transaction.answers.claim(tenant, key, "f1")


def delivery(key: str, offset: int, *, value: bytes = b"{}", tenant: str = "default") -> Parked:
    """A delivery to be parked."""
    return Parked(
        position=0,
        tenant=tenant,
        key=key,
        reason="no such order",
        partition=P0,
        offset=offset,
        headers=(("ce_id", b"e1"), ("odd", b"\xff\x00")),
        value=value,
        parked_at=MOMENT,
    )


async def refused(kind: type[E], work: Awaitable[object]) -> E:
    """The error that the work must raise."""
    try:
        await work
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


class Undo(Exception):
    """Raised by a case inside a transaction to roll it back."""
