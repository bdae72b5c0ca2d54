"""Cases: the outbox, found by flag, each stream in order."""

import asyncio
from contextlib import suppress

from waybill_runtime.testing.store_harness import (
    ORDER,
    OTHER,
    STOCK,
    StoreHarness,
    Undo,
    append,
    event,
    waiting,
    write,
)


class OutboxCases:
    """What `Streams` promises of the outbox."""

    async def test_what_is_appended_waits_to_be_published(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0, 2))
        assert [row.event for row in await waiting(store)] == [event(ORDER, 1), event(ORDER, 2)]

    async def test_of_many_events_those_in_the_log_are_known(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0, 2))
        ids = [event(ORDER, version).event_id for version in (1, 2, 3)]
        async with store.reading() as reading:
            assert await reading.streams.known(ids) == {ids[0]: (ORDER, 1), ids[1]: (ORDER, 2)}
            assert not await reading.streams.known([])

    async def test_what_was_published_waits_no_longer(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0, 3))
        first = (await waiting(store))[:1]
        async with store.transaction() as transaction:
            await transaction.streams.published([row.position for row in first])
        assert [row.event.version for row in await waiting(store)] == [2, 3]

    async def test_published_may_be_told_twice(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0), write(OTHER, 0))
        positions = [row.position for row in await waiting(store)]
        for _ in range(2):
            async with store.transaction() as transaction:
                await transaction.streams.published(positions[:1])
        assert [row.position for row in await waiting(store)] == positions[1:]
        assert len(positions) == 2

    async def test_a_rollback_publishes_nothing_and_forgets_nothing(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0))
        try:
            async with store.transaction() as transaction:
                await transaction.streams.append([write(OTHER, 0)])
                found = await transaction.streams.unpublished(10)
                await transaction.streams.published([row.position for row in found])
                raise Undo
        except Undo:
            pass
        assert [row.event.stream for row in await waiting(store)] == [ORDER]

    async def test_what_is_unpublished_stands_before_what_waits_each_stream_from_its_first(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0, 3), write(OTHER, 0, 2))
        async with store.transaction() as transaction:
            sent = [row.position for row in await transaction.streams.unpublished(10)][:4]
            await transaction.streams.published(sent)
        for _ in range(2):
            async with store.transaction() as transaction:
                assert await transaction.streams.unpublish() == 5
        await append(store, write(ORDER, 3))
        found = [(row.event.stream, row.event.version) for row in await waiting(store)]
        assert found[:5] == [(ORDER, 1), (ORDER, 2), (ORDER, 3), (OTHER, 1), (OTHER, 2)]
        assert found[5:] == [(OTHER, 2), (ORDER, 4)]
        assert [row.is_again for row in await waiting(store)] == [True] * 5 + [False] * 2

    async def test_a_limit_takes_the_first(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0, 5))
        async with store.reading() as reading:
            found = await reading.streams.unpublished(2)
        assert [row.event.version for row in found] == [1, 2]

    async def test_each_stream_waits_in_order_under_concurrency_and_rollbacks(
        self, harness: StoreHarness
    ) -> None:
        stores = [await harness.open(), await harness.open()]
        names = [ORDER, OTHER, STOCK]
        await append(stores[0], *(write(name, 0) for name in names))

        async def writer(number: int) -> None:
            for turn in range(6):
                try:
                    async with stores[number % 2].transaction() as transaction:
                        found = await transaction.streams.load(names, lock=True)
                        by = f"-{number}.{turn}"
                        await transaction.streams.append(
                            [write(name, found[name].version, 2, by=by) for name in names]
                        )
                        if (number + turn) % 3 == 0:
                            raise Undo
                except Undo:
                    continue

        await asyncio.gather(*(writer(number) for number in range(4)))
        rows = await waiting(stores[0])
        assert [row.position for row in rows] == sorted(row.position for row in rows)
        for name in names:
            versions = [row.event.version for row in rows if row.event.stream == name]
            assert versions == list(range(1, 34))

    async def test_a_late_commit_is_still_found(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        appended = asyncio.Event()

        async def late() -> None:
            async with one.transaction() as transaction:
                await transaction.streams.append([write(ORDER, 0)])
                appended.set()
                await asyncio.sleep(0.1)

        async def relay() -> list[str]:
            sent: list[str] = []
            for _ in range(200):
                rows = await waiting(other)
                sent += [row.event.stream for row in rows]
                async with other.transaction() as transaction:
                    await transaction.streams.published([row.position for row in rows])
                if len(sent) == 2:
                    break
                await asyncio.sleep(0.005)
            return sent

        async with asyncio.TaskGroup() as group:
            group.create_task(late())
            await appended.wait()
            group.create_task(append(other, write(OTHER, 0)))
            sending = group.create_task(relay())
        assert sorted(sending.result()) == [ORDER, OTHER]

    async def test_a_mark_ends_no_wait_but_of_what_it_names(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0, 3))
        found = await waiting(store)
        async with store.marking() as transaction:
            await transaction.streams.published([row.position for row in found[1:2]])
        assert [row.event.version for row in await waiting(store)] == [1, 3]

    async def test_what_commits_between_a_look_and_its_mark_still_waits(
        self, harness: StoreHarness
    ) -> None:
        """Places are drawn before their commit: a lower one may come after the look."""
        one, other = await harness.open(), await harness.open()
        appended, looked = asyncio.Event(), asyncio.Event()

        async def late() -> None:
            async with one.transaction() as transaction:
                await transaction.streams.append([write(ORDER, 0)])
                appended.set()
                # Not for ever: a store of one transaction at a time lets nobody commit meanwhile.
                with suppress(TimeoutError):
                    await asyncio.wait_for(looked.wait(), 0.5)

        async with asyncio.TaskGroup() as group:
            group.create_task(late())
            await appended.wait()
            await append(other, write(OTHER, 0))
            found = await waiting(other)
            looked.set()
        async with other.marking() as transaction:
            await transaction.streams.published([row.position for row in found])
        seen = [*found, *await waiting(other)]
        assert sorted(row.event.stream for row in seen) == [ORDER, OTHER]

    async def test_the_backlog_counts_and_ages(self, harness: StoreHarness) -> None:
        store = await harness.open()
        async with store.reading() as reading:
            assert (await reading.streams.outbox_backlog()).count == 0
        await append(store, write(ORDER, 0, 3))
        await asyncio.sleep(0.05)
        async with store.reading() as reading:
            backlog = await reading.streams.outbox_backlog()
        assert backlog.count == 3
        assert 0.04 <= backlog.oldest_s < harness.patience_s
