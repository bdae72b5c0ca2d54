"""The store in memory keeps every promise; and what only a simulator asks of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from waybill_runtime.adapters.memory.store import MemoryDatabase, MemoryStore
from waybill_runtime.clock import LoopClock
from waybill_runtime.store import Store
from waybill_runtime.stored import Committed, CommitUnknown, StoreUnavailable
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.store_conformance import StoreConformance
from waybill_runtime.testing.store_harness import ORDER, OTHER, StoreHarness, append, loaded, write

EPOCH = datetime(2026, 6, 1, tzinfo=UTC)


class MemoryHarness(StoreHarness):
    def __init__(self) -> None:
        super().__init__()
        self.database = MemoryDatabase(LoopClock(EPOCH))

    async def make_store(self) -> Store:
        return MemoryStore(self.database)


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    async def harness(self) -> AsyncIterator[StoreHarness]:
        harness = MemoryHarness()
        yield harness
        await harness.close()


class Fault:
    def __init__(self, point: str, error: Exception) -> None:
        self._point = point
        self._error = error

    async def at(self, point: str) -> None:
        if point == self._point:
            raise self._error


def test_a_process_killed_while_it_waits_leaves_the_queue() -> None:
    loop = SeededLoop.of(1)

    async def main() -> int:
        database = MemoryDatabase(LoopClock(EPOCH))
        first, victim, survivor = (MemoryStore(database) for _ in range(3))

        async def dies() -> None:
            async with victim.transaction():
                raise AssertionError("its turn never comes")

        async def waits() -> int:
            async with survivor.transaction() as transaction:
                await transaction.streams.append([write(ORDER, 0)])
            return 1

        async with first.transaction():
            with loop.on("victim"):
                asyncio.create_task(dies())  # noqa: RUF006 - the dead are not waited for
            await asyncio.sleep(0.1)
            alive = asyncio.create_task(waits())
            await asyncio.sleep(0.1)
            loop.kill("victim")
            victim.kill()
        return await alive

    assert loop.run(main()) == 1


async def test_a_killed_process_commits_nothing_and_blocks_nobody() -> None:
    database = MemoryDatabase(LoopClock(EPOCH))
    victim, survivor = MemoryStore(database), MemoryStore(database)
    appended, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with victim.transaction() as transaction:
            await transaction.streams.append([write(ORDER, 0)])
            appended.set()
            await go_on.wait()

    task = asyncio.create_task(work())
    await appended.wait()
    victim.kill()
    async with asyncio.timeout(0.5):
        await append(survivor, write(ORDER, 0, by="-survivor"))
    go_on.set()
    with pytest.raises(StoreUnavailable):
        await task
    assert [e.event_id for e in (await loaded(survivor, ORDER)).events] == [f"{ORDER}@1-survivor"]


async def test_a_killed_process_leads_no_longer_and_can_be_started_again() -> None:
    database = MemoryDatabase(LoopClock(EPOCH))
    victim = MemoryStore(database)
    await append(victim, write(ORDER, 0))
    async with victim.leadership("relay") as leads:
        assert leads
        victim.kill()
        again = MemoryStore(database)
        async with again.leadership("relay") as leads_again:
            assert leads_again
    assert (await loaded(again, ORDER)).version == 1
    with pytest.raises(StoreUnavailable):
        await append(victim, write(OTHER, 0))


@pytest.mark.parametrize(
    ("point", "error", "version"),
    [
        ("begin", StoreUnavailable(), 0),
        ("streams.append", StoreUnavailable(), 0),
        ("commit.before", CommitUnknown(), 0),
        ("commit.after", CommitUnknown(), 1),
    ],
)
async def test_a_fault_strikes_where_it_was_put(point: str, error: Exception, version: int) -> None:
    database = MemoryDatabase(LoopClock(EPOCH))
    struck = MemoryStore(database, Fault(point, error))
    told: list[Committed] = []
    struck.on_commit(told.append)
    with pytest.raises(type(error)):
        await append(struck, write(ORDER, 0))
    assert (await loaded(MemoryStore(database), ORDER)).version == version
    assert len(told) == version


async def test_transactions_enter_in_order_of_arrival() -> None:
    store = MemoryStore(MemoryDatabase(LoopClock(EPOCH)))
    entered: list[int] = []

    async def enter(number: int) -> None:
        async with store.transaction() as transaction:
            entered.append(number)
            await transaction.numbers.take_numbers("invoice", 1)

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(enter(number))
    assert entered == list(range(10))
