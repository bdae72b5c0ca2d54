"""Cases: answers, commits and cancels, listeners, leadership, the clock."""

import asyncio
from datetime import timedelta

from waybill_runtime.store import Store
from waybill_runtime.stored import Committed, LockTimeout, StoreUnavailable
from waybill_runtime.testing.store_harness import (
    ORDER,
    OTHER,
    StoreHarness,
    Undo,
    answer,
    append,
    claimed,
    event,
    job,
    keep,
    loaded,
    refused,
    replayed,
    schedule,
    write,
)


class AnswerCases:
    """What `Answers` promises."""

    async def test_a_kept_answer_is_replayed_byte_for_byte(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        kept = answer(b'{"id":  "ord_1", "raw": "\xff\x00"}\n')
        await keep(one, "key-1", kept)
        found = await replayed(other, "key-1")
        assert found == kept
        assert found is not None
        assert list(found.headers) == ["Location", "ETag"]

    async def test_an_answer_is_told_whatever_the_fingerprint(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await keep(store, "key-1", answer(fingerprint="another"))
        found = await replayed(store, "key-1")
        assert found is not None
        assert found.fingerprint == "another"

    async def test_tenants_and_keys_are_apart(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await keep(store, "key-1", answer())
        assert await replayed(store, "key-1", tenant="other") is None
        assert await replayed(store, "key-2") is None
        assert await replayed(store, "key-1") == answer()

    async def test_a_rollback_frees_the_key(self, harness: StoreHarness) -> None:
        store = await harness.open()

        async def undone() -> None:
            async with store.transaction() as transaction:
                assert await transaction.answers.claim("default", "key-1", "f1") is None
                await transaction.answers.keep("default", "key-1", answer(b"lost"))
                raise Undo

        await refused(Undo, undone())
        await keep(store, "key-1", answer(b"kept"))
        assert await replayed(store, "key-1") == answer(b"kept")

    async def test_a_claim_that_kept_no_answer_leaves_the_key_free(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        assert await replayed(store, "key-1") is None
        await keep(store, "key-1", answer())
        assert await replayed(store, "key-1") == answer()

    async def test_an_answer_needs_a_claim(self, harness: StoreHarness) -> None:
        store = await harness.open()

        async def unclaimed() -> None:
            async with store.transaction() as transaction:
                await transaction.answers.keep("default", "key-1", answer())

        await refused(ValueError, unclaimed())
        assert await replayed(store, "key-1") is None

    async def test_one_of_many_requests_at_once_is_done(self, harness: StoreHarness) -> None:
        stores = [await harness.open(), await harness.open()]
        done: list[int] = []

        async def request(number: int) -> bytes:
            async with stores[number % 2].transaction() as transaction:
                found = await transaction.answers.claim("default", "key-1", "f1")
                if found is not None:
                    return found.body
                await asyncio.sleep(0.02)
                done.append(number)
                mine = answer(str(number).encode())
                await transaction.answers.keep("default", "key-1", mine)
                return mine.body

        bodies = await asyncio.gather(*(request(number) for number in range(6)))
        assert len(done) == 1
        assert set(bodies) == {str(done[0]).encode()}

    async def test_a_request_in_flight_too_long_is_told_so(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        async with one.transaction() as transaction:
            assert await transaction.answers.claim("default", "key-1", "f1") is None
            await refused(LockTimeout, replayed(other, "key-1"))
            await transaction.answers.keep("default", "key-1", answer())
        assert await replayed(other, "key-1") == answer()

    async def test_an_answer_is_read_by_its_tenant_and_key(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        await keep(one, "key-1", answer(b'{"raw": "\xff\x00"}'))
        async with other.reading() as reading:
            assert await reading.answers.kept("default", "key-1") == answer(b'{"raw": "\xff\x00"}')
            assert await reading.answers.kept("default", "key-2") is None
            assert await reading.answers.kept("other", "key-1") is None

    async def test_who_reads_an_answer_waits_for_nobody_and_claims_nothing(
        self, harness: StoreHarness
    ) -> None:
        one, other = await harness.open(), await harness.open()
        assert await replayed(one, "key-1") is None
        async with one.transaction() as transaction:
            assert await transaction.answers.claim("default", "key-1", "f1") is None
            async with other.reading() as reading:
                assert await reading.answers.kept("default", "key-1") is None
            await transaction.answers.keep("default", "key-1", answer())
        async with other.reading() as reading:
            assert await reading.answers.kept("default", "key-1") == answer()


class TransactionCases:
    """What `Store` promises of transactions."""

    async def test_everything_of_a_transaction_commits_together(
        self, harness: StoreHarness
    ) -> None:
        one, other = await harness.open(), await harness.open()
        async with one.transaction() as transaction:
            await transaction.streams.append([write(ORDER, 0)])
            await transaction.inbox.mark("payment", {OTHER: 4})
            await transaction.jobs.schedule([job("j1", one)])
            assert (await loaded(other, ORDER)).version == 0
        assert (await loaded(other, ORDER)).version == 1
        assert (await claimed(other)).id == "j1"
        async with other.reading() as reading:
            assert await reading.inbox.seen("payment", [OTHER]) == {OTHER: 4}

    async def test_a_cancelled_transaction_rolls_back(self, harness: StoreHarness) -> None:
        store = await harness.open()
        appended = asyncio.Event()

        async def waits() -> None:
            async with store.transaction() as transaction:
                await transaction.streams.append([write(ORDER, 0)])
                appended.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(waits())
        await appended.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        async with asyncio.timeout(harness.patience_s):
            await append(store, write(ORDER, 0, by="-again"))
        stream = await loaded(store, ORDER)
        assert list(stream.events) == [event(ORDER, 1, event_id=f"{ORDER}@1-again")]

    async def test_cancels_at_any_moment_commit_all_or_nothing(self, harness: StoreHarness) -> None:
        store = await harness.open()
        names = [f"default/order/ord_{number:03}" for number in range(60)]

        async def place(name: str) -> None:
            await append(store, write(name, 0), write(f"{name}-b", 0))

        for number, name in enumerate(names):
            task = asyncio.create_task(place(name))
            await asyncio.sleep(number * 0.0002)
            task.cancel()
            await asyncio.wait([task])
        await append(store, write(ORDER, 0))
        async with store.reading() as reading:
            found = await reading.streams.load([*names, *(f"{n}-b" for n in names)], lock=False)
        assert all(found[name].version == found[f"{name}-b"].version for name in names)
        assert all(len(stream.events) == stream.version for stream in found.values())
        assert (await loaded(store, ORDER)).version == 1

    async def test_a_listener_is_told_once_of_each_commit(self, harness: StoreHarness) -> None:
        store = await harness.open()
        told: list[Committed] = []
        store.on_commit(told.append)
        await append(store, write(ORDER, 0, 3), write(OTHER, 0))
        await schedule(store, job("j1", store))
        async with store.transaction() as transaction:
            await transaction.streams.append([write(ORDER, 3)])
            await transaction.jobs.schedule([job("j2", store)])
        assert told == [
            Committed(appended=True, scheduled=False),
            Committed(appended=False, scheduled=True),
            Committed(appended=True, scheduled=True),
        ]

    async def test_a_listener_is_told_nothing_of_what_was_not_committed(
        self, harness: StoreHarness
    ) -> None:
        store, other = await harness.open(), await harness.open()
        told: list[Committed] = []
        store.on_commit(told.append)

        async def undone() -> None:
            async with store.transaction() as transaction:
                await transaction.streams.append([write(ORDER, 0)])
                raise Undo

        await refused(Undo, undone())
        await append(other, write(ORDER, 0))
        async with store.transaction() as transaction:
            await transaction.inbox.mark("payment", {ORDER: 1})
        assert told == []
        await append(store, write(ORDER, 1))
        assert told == [Committed(appended=True, scheduled=False)]

    async def test_a_listener_is_told_after_the_commit(self, harness: StoreHarness) -> None:
        store = await harness.open()
        seen: list[asyncio.Task[int]] = []

        async def version() -> int:
            return (await loaded(store, ORDER)).version

        store.on_commit(lambda _: seen.append(asyncio.ensure_future(version())))
        await append(store, write(ORDER, 0))
        assert [await task for task in seen] == [1]

    async def test_a_closed_store_is_unavailable(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await append(store, write(ORDER, 0))
        await store.close()
        await store.close()
        await refused(StoreUnavailable, append(store, write(ORDER, 1)))
        await refused(StoreUnavailable, store.ping())

    async def test_the_clock_goes_on(self, harness: StoreHarness) -> None:
        store, other = await harness.open(), await harness.open()
        await append(store, write(ORDER, 0))
        before = store.now()
        await asyncio.sleep(0.05)
        await append(other, write(OTHER, 0))
        assert timedelta(seconds=0.03) < other.now() - before < timedelta(seconds=5)
        assert before.utcoffset() == timedelta(0)


class MarkingCases:
    """What `Store` promises of marks."""

    async def test_a_mark_is_there_for_others_when_it_is_left(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        await schedule(one, job("j", one))
        async with one.marking() as marking:
            leased = await marking.jobs.claim(["timer"], limit=1, lease_s=60.0)
        assert [claimed.id for claimed in leased] == ["j"]
        async with other.transaction() as transaction:
            assert not await transaction.jobs.claim(["timer"], limit=1, lease_s=60.0)
            assert await transaction.jobs.finish([leased[0].token]) == 1

    async def test_listeners_hear_of_what_a_mark_made_due(self, harness: StoreHarness) -> None:
        store = await harness.open()
        told: list[Committed] = []
        store.on_commit(told.append)
        async with store.marking() as marking:
            await marking.jobs.schedule([job("j", store)])
        assert told == [Committed(appended=False, scheduled=True)]


class LeadershipCases:
    """What `Store` promises of leadership."""

    async def test_one_process_leads_at_a_time(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        async with one.leadership("relay") as leads:
            assert leads
            async with other.leadership("relay") as also:
                assert not also
                assert not await other.still_leader("relay")
            assert await one.still_leader("relay")

    async def test_a_process_does_not_lead_twice(self, harness: StoreHarness) -> None:
        store = await harness.open()
        async with store.leadership("relay") as leads, store.leadership("relay") as again:
            assert (leads, again) == (True, False)
            assert await store.still_leader("relay")

    async def test_leadership_is_handed_over(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        async with one.leadership("relay") as leads:
            assert leads
        assert not await one.still_leader("relay")
        await _leads_in_time(other, harness.patience_s)

    async def test_who_insists_is_given_way_and_gets_the_name(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()

        begun = asyncio.Event()

        async def lead_until_asked() -> bool:
            async with one.leadership("relay") as leads:
                begun.set()
                while await one.still_leader("relay"):  # noqa: ASYNC110 - another process's wish
                    await asyncio.sleep(0.05)
                return leads

        async def insist() -> tuple[bool, bool, bool]:
            await begun.wait()
            async with other.leadership("relay") as quietly:
                undisturbed = await one.still_leader("relay")
            async with other.leadership("relay", insist_s=harness.patience_s) as insisting:
                return quietly, undisturbed, insisting

        led, told = await asyncio.gather(lead_until_asked(), insist())
        assert (led, told) == (True, (False, True, True))

    async def test_who_insists_in_vain_is_told_so(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        async with one.leadership("relay") as leads, other.leadership("relay", insist_s=0.2) as no:
            assert (leads, no) == (True, False)

    async def test_leadership_ends_with_its_process(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        async with one.leadership("relay") as leads:
            assert leads
            await one.close()
            assert not await one.still_leader("relay")
            await _leads_in_time(other, harness.patience_s)

    async def test_names_are_led_apart(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()
        async with one.leadership("relay") as first, other.leadership("timers") as second:
            assert (first, second) == (True, True)
            assert not await other.still_leader("relay")

    async def test_an_exception_gives_leadership_back(self, harness: StoreHarness) -> None:
        one, other = await harness.open(), await harness.open()

        async def fails() -> None:
            async with one.leadership("relay") as leads:
                assert leads
                raise Undo

        await refused(Undo, fails())
        await _leads_in_time(other, harness.patience_s)


async def _leads_in_time(store: Store, patience_s: float) -> None:
    """A server may take a moment to see that the one before is gone."""
    deadline_s = asyncio.get_running_loop().time() + patience_s
    while asyncio.get_running_loop().time() < deadline_s:
        async with store.leadership("relay") as leads:
            if leads:
                assert await store.still_leader("relay")
                return
        await asyncio.sleep(0.02)
    raise AssertionError("nobody could lead")
