"""Cases: streams with expected versions, loading, snapshots, scans."""

import asyncio
from collections.abc import Sequence

from waybill_events.envelope import Recorded
from waybill_runtime.store import Store
from waybill_runtime.stored import StreamWrite, VersionConflict
from waybill_runtime.testing.store_harness import (
    ORDER,
    OTHER,
    STOCK,
    StoreHarness,
    Undo,
    append,
    event,
    loaded,
    refused,
    write,
)

ROUNDS = 15


async def _won(store: Store, wanted: StreamWrite) -> bool:
    try:
        await append(store, wanted)
    except VersionConflict:
        return False
    return True


async def _scanned(store: Store, category: str | None = None) -> Sequence[Recorded]:
    async with store.reading() as reading:
        return [found async for found in reading.streams.scan(category)]


class StreamCases:
    """What `Streams` promises of streams."""

    async def test_an_unknown_stream_is_at_version_0_beside_one_that_is_known(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0))
        async with store.reading() as reading:
            found = await reading.streams.load([ORDER, OTHER], lock=False)
        assert {name: stream.version for name, stream in found.items()} == {ORDER: 1, OTHER: 0}
        assert list(found[OTHER].events) == []
        assert found[OTHER].snapshot is None

    async def test_events_come_back_as_they_were_appended(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0, 3))
        assert list((await loaded(store, ORDER)).events) == [event(ORDER, n) for n in (1, 2, 3)]

    async def test_an_append_is_seen_by_another_process(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        await append(one, write(ORDER, 0))
        assert (await loaded(other, ORDER)).version == 1

    async def test_data_is_kept_byte_for_byte(self, harness: StoreHarness) -> None:
        store = await harness.open()
        texts = (
            '{"b":1,  "a" : 1.50, "b":2}',
            '{"emoji":"🧾🚚","escaped":"\\ud83d\\ude9a\\u00e9","slash":"\\/"}',
            ' {"tab":"\\t","big":123456789012345678901234567890,"e":1E2}\n',
            '"ünïcødé \\u0000 ﷽"',
        )
        events = [event(ORDER, n, data=text) for n, text in enumerate(texts, 1)]
        await append(store, StreamWrite(ORDER, 0, events))
        assert tuple(found.data for found in (await loaded(store, ORDER)).events) == texts

    async def test_two_writers_of_one_version_have_one_winner(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        for version in range(ROUNDS):
            won = await asyncio.gather(
                _won(one, write(ORDER, version, by="-one")),
                _won(other, write(ORDER, version, by="-other")),
            )
            assert sorted(won) == [False, True], f"version {version + 1}"
        assert (await loaded(one, ORDER)).version == ROUNDS

    async def test_many_writers_of_a_new_stream_have_one_winner(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        won = await asyncio.gather(
            *(_won(store, write(ORDER, 0, 2, by=f"-{writer}")) for writer in range(8))
        )
        assert sum(won) == 1
        assert [found.version for found in (await loaded(store, ORDER)).events] == [1, 2]

    async def test_a_conflict_names_the_stream(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0), write(OTHER, 0))
        late = append(store, write(ORDER, 1), write(OTHER, 0, by="-late"))
        assert (await refused(VersionConflict, late)).stream == OTHER

    async def test_a_version_ahead_of_the_stream_is_a_conflict(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0))
        await refused(VersionConflict, append(store, write(ORDER, 2)))
        await refused(VersionConflict, append(store, write(OTHER, 1)))
        assert (await loaded(store, ORDER)).version == 1

    async def test_a_conflict_takes_everything_of_its_transaction_back(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0))

        async def both() -> None:
            async with store.transaction() as transaction:
                await transaction.numbers.take_numbers("invoice", 1)
                await transaction.streams.append([write(STOCK, 0)])
                await transaction.streams.append([write(OTHER, 0), write(ORDER, 0, by="-late")])

        await refused(VersionConflict, both())
        assert [found.stream for found in await _scanned(store)] == [ORDER]
        async with store.transaction() as transaction:
            assert await transaction.numbers.take_numbers("invoice", 1) == 1

    async def test_a_conflict_that_was_swallowed_still_commits_nothing(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0))

        async def stubborn() -> None:
            async with store.transaction() as transaction:
                await transaction.streams.append([write(STOCK, 0)])
                await refused(
                    VersionConflict, transaction.streams.append([write(ORDER, 0, by="-late")])
                )

        await refused(VersionConflict, stubborn())
        assert (await loaded(store, STOCK)).version == 0

    async def test_versions_are_contiguous_under_many_writers(self, harness: StoreHarness) -> None:
        stores = [await harness.open(), await harness.open()]

        async def writer(number: int) -> None:
            for turn in range(4):
                async with stores[number % 2].transaction() as transaction:
                    at = (await transaction.streams.load([ORDER], lock=True))[ORDER].version
                    wanted = write(ORDER, at, 2, by=f"-{number}.{turn}")
                    await transaction.streams.append([wanted])

        await append(stores[0], write(ORDER, 0))
        await asyncio.gather(*(writer(number) for number in range(4)))
        stream = await loaded(stores[0], ORDER)
        assert [found.version for found in stream.events] == list(range(1, 34))

    async def test_what_a_locked_load_saw_can_be_appended_to(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        await append(one, write(ORDER, 0))

        async def move(store: Store, by: str) -> int:
            async with store.transaction() as transaction:
                stream = (await transaction.streams.load([ORDER], lock=True))[ORDER]
                assert [e.version for e in stream.events] == list(range(1, stream.version + 1))
                await asyncio.sleep(0.02)
                await transaction.streams.append([write(ORDER, stream.version, by=by)])
                return stream.version

        moved = await asyncio.gather(move(one, "-one"), move(other, "-other"))
        assert sorted(moved) == [1, 2]

    async def test_one_append_moves_many_streams(self, harness: StoreHarness) -> None:
        store = await harness.open()
        names = [f"default/order/ord_{number:03}" for number in range(50)]
        await append(store, *(write(name, 0, 2) for name in names[:25]))
        await append(store, *(write(name, 2 if name in names[:25] else 0, 3) for name in names))
        async with store.reading() as reading:
            found = await reading.streams.load(names, lock=False)
        assert [found[name].version for name in names] == [5] * 25 + [3] * 25
        assert all(len(stream.events) == stream.version for stream in found.values())

    async def test_a_snapshot_stands_for_the_events_before_it(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0, 3, snapshot='{"n":  3}'))
        await append(store, write(ORDER, 3, 2))
        stream = await loaded(store, ORDER)
        assert (stream.version, stream.snapshot) == (5, '{"n":  3}')
        assert [found.version for found in stream.events] == [4, 5]

    async def test_a_newer_snapshot_replaces_the_older(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0, 2, snapshot='{"n": 2}'))
        await append(store, write(ORDER, 2, 2, snapshot='{"n": 4}'))
        stream = await loaded(store, ORDER)
        assert (stream.version, stream.snapshot, list(stream.events)) == (4, '{"n": 4}', [])

    async def test_a_locked_load_reads_the_snapshot_too(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0, 2, snapshot='{"n": 2}'))
        await append(store, write(ORDER, 2))
        async with store.transaction() as transaction:
            stream = (await transaction.streams.load([ORDER], lock=True))[ORDER]
        assert (stream.version, stream.snapshot, len(stream.events)) == (3, '{"n": 2}', 1)

    async def test_a_scan_finds_every_event_each_stream_in_order(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await append(store, write(STOCK, 0, 2), write(ORDER, 0, 2, snapshot='{"n": 2}'))
        await append(store, write(ORDER, 2, 10), write(OTHER, 0))
        found = await _scanned(store)
        assert len(found) == 15
        for stream, last in ((ORDER, 12), (OTHER, 1), (STOCK, 2)):
            versions = [event.version for event in found if event.stream == stream]
            assert versions == list(range(1, last + 1))

    async def test_a_scan_of_a_category_leaves_the_others_out(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(STOCK, 0, 2), write(ORDER, 0), write(OTHER, 0))
        assert [found.stream for found in await _scanned(store, "stock")] == [STOCK, STOCK]

    async def test_a_long_scan_leaves_nothing_out(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0, 1_500), write(OTHER, 0, 700), write(STOCK, 0))
        found = await _scanned(store, "order")
        assert [(e.stream, e.version) for e in found] == [
            *((ORDER, version) for version in range(1, 1_501)),
            *((OTHER, version) for version in range(1, 701)),
        ]

    async def test_streams_of_a_category_are_listed_page_by_page(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        names = [f"default/order/ord_{number}" for number in (1, 10, 2, 3)]
        strangers = [STOCK, "other/order/ord_9", "default/orders/ord_9"]
        await append(store, *(write(name, 0) for name in [*names, *strangers]))
        async with store.reading() as reading:
            first = await reading.streams.stream_ids("default", "order", after="", limit=3)
            rest = await reading.streams.stream_ids("default", "order", after=names[2], limit=3)
        assert (list(first), list(rest)) == (names[:3], names[3:])

    async def test_an_event_id_is_taken_once(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0))
        again = event(OTHER, 1, event_id=f"{ORDER}@1")
        await refused(ValueError, append(store, StreamWrite(OTHER, 0, [again])))
        assert (await loaded(store, OTHER)).version == 0

    async def test_versions_with_a_gap_are_refused(self, harness: StoreHarness) -> None:
        store = await harness.open()
        gap = StreamWrite(ORDER, 0, [event(ORDER, 1), event(ORDER, 3)])
        await refused(ValueError, append(store, gap))
        assert (await loaded(store, ORDER)).version == 0

    async def test_a_reading_sees_only_what_is_committed(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        async with one.transaction() as transaction:
            await transaction.streams.append([write(ORDER, 0)])
            assert (await transaction.streams.load([ORDER], lock=False))[ORDER].version == 1
            assert (await loaded(other, ORDER)).version == 0
        assert (await loaded(other, ORDER)).version == 1

    async def test_an_open_reading_sees_what_is_committed_meanwhile(
        self, harness: StoreHarness
    ) -> None:
        one, other = await harness.open(), await harness.open()
        async with one.reading() as reading:
            before = (await reading.streams.load([ORDER], lock=False))[ORDER].version
            await append(other, write(ORDER, 0))
            after = (await reading.streams.load([ORDER], lock=False))[ORDER].version
        assert (before, after) == (0, 1)

    async def test_a_reading_refuses_to_change_anything(self, harness: StoreHarness) -> None:
        store = await harness.open()
        async with store.reading() as reading:
            await refused(RuntimeError, reading.streams.append([write(ORDER, 0)]))
        assert (await loaded(store, ORDER)).version == 0

    async def test_an_exception_rolls_back(self, harness: StoreHarness) -> None:
        store = await harness.open()

        async def undone() -> None:
            async with store.transaction() as transaction:
                await transaction.streams.append([write(ORDER, 0)])
                raise Undo

        await refused(Undo, undone())
        await append(store, write(ORDER, 0, by="-again"))
        assert [e.event_id for e in (await loaded(store, ORDER)).events] == [f"{ORDER}@1-again"]
