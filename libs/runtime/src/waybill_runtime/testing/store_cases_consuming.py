"""Cases: fenced positions, marks, parked keys and gapless numbers."""

import asyncio
from dataclasses import replace

from waybill_runtime.bus import Partition
from waybill_runtime.store import Store
from waybill_runtime.stored import Advance
from waybill_runtime.testing.store_harness import (
    ORDER,
    OTHER,
    P0,
    P1,
    StoreHarness,
    Undo,
    delivery,
    owned,
    refused,
)


async def _advance(store: Store, epoch: int, to: int, partition: Partition = P0) -> int | None:
    """The offset before, or None for one that is not ours."""
    async with store.transaction() as transaction:
        moved = await transaction.inbox.advance("payment", {partition: Advance(epoch, to)})
    return moved.get(partition)


async def _position(store: Store, partition: Partition = P0) -> int | None:
    async with store.reading() as reading:
        return (await reading.inbox.positions("payment")).get(partition)


async def _mark(store: Store, consumer: str, **versions: int) -> None:
    async with store.transaction() as transaction:
        await transaction.inbox.mark(consumer, versions)


class InboxCases:
    """What `Inbox` promises."""

    async def test_a_first_owner_starts_at_offset_0(self, harness: StoreHarness) -> None:
        ownership = await owned(await harness.open(), P0)
        assert (ownership.epoch, ownership.next_offset) == (1, 0)

    async def test_each_owner_has_a_later_epoch(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        epochs = [(await owned(store, P0)).epoch for store in (one, other, one)]
        assert epochs == [1, 2, 3]

    async def test_a_new_owner_goes_on_where_the_last_one_was(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await _advance(store, (await owned(store, P0)).epoch, 7)
        assert (await owned(store, P0)).next_offset == 7

    async def test_an_advance_answers_the_offset_before(self, harness: StoreHarness) -> None:
        store = await harness.open()
        epoch = (await owned(store, P0)).epoch
        assert [await _advance(store, epoch, to) for to in (3, 5, 9)] == [0, 3, 5]
        assert await _position(store) == 9

    async def test_an_owner_of_before_is_fenced_off(self, harness: StoreHarness) -> None:
        store = await harness.open()
        old = (await owned(store, P0)).epoch
        new = (await owned(store, P0)).epoch
        assert await _advance(store, new, 4) == 0
        assert await _advance(store, old, 9) is None
        assert await _position(store) == 4

    async def test_a_position_never_goes_back(self, harness: StoreHarness) -> None:
        store = await harness.open()
        epoch = (await owned(store, P0)).epoch
        assert [await _advance(store, epoch, to) for to in (8, 2, 8)] == [0, 8, 8]
        assert await _position(store) == 8

    async def test_partitions_move_each_for_itself(self, harness: StoreHarness) -> None:
        store = await harness.open()
        zero, one = await owned(store, P0), await owned(store, P1)
        await owned(store, P1)
        async with store.transaction() as transaction:
            moved = await transaction.inbox.advance(
                "payment", {P0: Advance(zero.epoch, 5), P1: Advance(one.epoch, 5)}
            )
        assert moved == {P0: 0}
        assert (await _position(store), await _position(store, P1)) == (5, 0)

    async def test_a_partition_that_nobody_took_is_not_moved(self, harness: StoreHarness) -> None:
        store = await harness.open()
        epoch = (await owned(store, P0)).epoch
        assert await _advance(store, epoch, 5, P1) is None
        assert (await _advance(store, epoch, 5), await _position(store, P1)) == (0, None)

    async def test_consumers_own_apart(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await _advance(store, (await owned(store, P0)).epoch, 6)
        assert (await owned(store, P0, "tracking")).next_offset == 0
        assert await _position(store) == 6

    async def test_a_rolled_back_advance_moved_nothing(self, harness: StoreHarness) -> None:
        store = await harness.open()
        epoch = (await owned(store, P0)).epoch

        async def undone() -> None:
            async with store.transaction() as transaction:
                await transaction.inbox.advance("payment", {P0: Advance(epoch, 5)})
                raise Undo

        await refused(Undo, undone())
        assert await _advance(store, epoch, 3) == 0

    async def test_two_advances_at_once_follow_each_other(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        epochs = {P0: (await owned(one, P0)).epoch, P1: (await owned(one, P1)).epoch}

        async def move(store: Store, to: int, order: list[Partition]) -> dict[Partition, int]:
            async with store.transaction() as transaction:
                moves = {partition: Advance(epochs[partition], to) for partition in order}
                moved = await transaction.inbox.advance("payment", moves)
                await asyncio.sleep(0.02)
                return dict(moved)

        before = await asyncio.gather(move(one, 4, [P0, P1]), move(other, 6, [P1, P0]))
        assert {P0: 0, P1: 0} in before
        assert before[0] != before[1]
        assert await _position(one) == 6

    async def test_marks_are_remembered_and_unknown_sources_left_out(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await _mark(store, "payment", **{ORDER: 3})
        async with store.reading() as reading:
            assert await reading.inbox.seen("payment", [ORDER, OTHER]) == {ORDER: 3}
            assert await reading.inbox.seen("tracking", [ORDER]) == {}

    async def test_a_mark_never_goes_back(self, harness: StoreHarness) -> None:
        store = await harness.open()
        for version in (3, 5, 4):
            await _mark(store, "payment", **{ORDER: version, OTHER: 1})
        async with store.reading() as reading:
            assert await reading.inbox.seen("payment", [ORDER, OTHER]) == {ORDER: 5, OTHER: 1}

    async def test_a_restart_places_every_consumer_and_keeps_its_marks(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        old = (await owned(store, P0)).epoch
        await _advance(store, old, 9)
        await _mark(store, "payment", **{ORDER: 3})
        await owned(store, P1, "tracking")
        async with store.transaction() as transaction:
            await transaction.inbox.restart("payment", {P0: 4, P1: 2})
        assert await _advance(store, old, 5) is None
        again = await owned(store, P0)
        assert (again.next_offset, again.epoch > old) == (4, True)
        assert (await owned(store, P1)).next_offset == 2
        assert (await owned(store, P1, "tracking")).next_offset == 2
        async with store.reading() as reading:
            assert await reading.inbox.seen("payment", [ORDER]) == {ORDER: 3}
            assert P0 not in await reading.inbox.positions("tracking")

    async def test_a_forgotten_consumer_starts_again_and_stays_fenced(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        old = (await owned(store, P0)).epoch
        await _advance(store, old, 9)
        await _mark(store, "payment", **{ORDER: 3})
        await _mark(store, "tracking", **{ORDER: 2})
        async with store.transaction() as transaction:
            await transaction.inbox.forget("payment")
        again = await owned(store, P0)
        assert again.next_offset == 0
        assert again.epoch > old
        assert await _advance(store, old, 5) is None
        async with store.reading() as reading:
            assert await reading.inbox.seen("payment", [ORDER]) == {}
            assert await reading.inbox.seen("tracking", [ORDER]) == {ORDER: 2}


class ParkingCases:
    """What `Parking` promises."""

    async def test_a_parked_delivery_comes_back_byte_for_byte(self, harness: StoreHarness) -> None:
        store = await harness.open()
        sent = delivery("ord_1", 4, value=b"\x00\xffnot json")
        async with store.transaction() as transaction:
            await transaction.parking.park("payment", [sent])
        async with store.reading() as reading:
            found = await reading.parking.parked("payment")
        assert [replace(each, position=0) for each in found] == [sent]

    async def test_a_parked_delivery_keeps_its_tenant(self, harness: StoreHarness) -> None:
        store = await harness.open()
        sent = [delivery("ord_1", 1), delivery("ord_1", 2, tenant="other")]
        async with store.transaction() as transaction:
            await transaction.parking.park("payment", sent)
        async with store.reading() as reading:
            all_ = await reading.parking.parked("payment")
            of_key = await reading.parking.parked("payment", key="ord_1")
        assert [each.tenant for each in all_] == ["default", "other"]
        assert [each.tenant for each in of_key] == ["default", "other"]

    async def test_a_key_waits_in_order_of_arrival(self, harness: StoreHarness) -> None:
        store = await harness.open()
        for offsets in ((4, 5), (9,)):
            async with store.transaction() as transaction:
                parked = [delivery("ord_1", offset) for offset in offsets]
                await transaction.parking.park("payment", [*parked, delivery("ord_2", 7)])
        async with store.reading() as reading:
            found = await reading.parking.parked("payment", key="ord_1")
            page = await reading.parking.parked("payment", limit=2)
            rest = await reading.parking.parked("payment", after=page[-1].position if page else 0)
        assert [each.offset for each in found] == [4, 5, 9]
        assert [each.offset for each in [*page, *rest]] == [4, 5, 7, 9, 7]

    async def test_parked_keys_are_known_by_consumer(self, harness: StoreHarness) -> None:
        store = await harness.open()
        async with store.transaction() as transaction:
            await transaction.parking.park("payment", [delivery("ord_1", 1), delivery("ord_1", 2)])
            await transaction.parking.park("tracking", [delivery("ord_2", 1)])
        async with store.reading() as reading:
            found = await reading.parking.parked_keys("payment", ["ord_1", "ord_2", "ord_3"])
        assert set(found) == {"ord_1"}

    async def test_unparking_frees_the_key_when_nothing_is_left(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        async with store.transaction() as transaction:
            await transaction.parking.park("payment", [delivery("ord_1", n) for n in (1, 2)])
        async with store.transaction() as transaction:
            positions = [each.position for each in await transaction.parking.parked("payment")]
            await transaction.parking.unpark("tracking", positions)
            await transaction.parking.unpark("payment", positions[:1])
            assert set(await transaction.parking.parked_keys("payment", ["ord_1"])) == {"ord_1"}
            await transaction.parking.unpark("payment", positions)
        async with store.reading() as reading:
            assert set(await reading.parking.parked_keys("payment", ["ord_1"])) == set()

    async def test_the_parked_backlog_counts_one_consumer(self, harness: StoreHarness) -> None:
        store = await harness.open()
        async with store.transaction() as transaction:
            await transaction.parking.park("payment", [delivery("ord_1", n) for n in (1, 2, 3)])
        async with store.reading() as reading:
            backlog = await reading.parking.parked_backlog("payment")
            other = await reading.parking.parked_backlog("tracking")
        assert (backlog.count, other.count, other.oldest_s) == (3, 0, 0.0)
        assert backlog.oldest_s > 0


class NumberCases:
    """What `Numbers` promises."""

    async def test_numbers_go_on_from_1(self, harness: StoreHarness) -> None:
        store = await harness.open()
        taken = []
        for count in (1, 3, 1):
            async with store.transaction() as transaction:
                taken.append(await transaction.numbers.take_numbers("invoice", count))
        async with store.transaction() as transaction:
            assert await transaction.numbers.take_numbers("credit", 1) == 1
        assert taken == [1, 2, 5]

    async def test_numbers_are_gapless_under_rollbacks_and_concurrency(
        self, harness: StoreHarness
    ) -> None:
        stores = [await harness.open(), await harness.open()]
        taken: list[int] = []

        async def taker(number: int) -> None:
            for turn in range(6):
                try:
                    async with stores[number % 2].transaction() as transaction:
                        first = await transaction.numbers.take_numbers("invoice", 1)
                        if (number + turn) % 2:
                            raise Undo
                    taken.append(first)
                except Undo:
                    continue

        await asyncio.gather(*(taker(number) for number in range(4)))
        assert sorted(taken) == list(range(1, 13))
