"""Cases: timers and effects, due by the database's clock."""

import asyncio
from datetime import timedelta

from waybill_runtime.testing.store_harness import (
    StoreHarness,
    Undo,
    claim,
    claimed,
    claimed_in_time,
    job,
    refused,
    schedule,
)


class JobCases:
    """What `Jobs` promises."""

    async def test_a_due_job_is_claimed_as_it_was_scheduled(self, harness: StoreHarness) -> None:
        store = await harness.open()
        scheduled = job("j1", store)
        await schedule(store, scheduled)
        found = await claimed(store)
        assert (found.id, found.kind, found.payload) == ("j1", "timer", '{"a": 1}')
        assert (found.due_at, found.attempt) == (scheduled.due_at, 1)

    async def test_a_job_is_claimed_in_the_tenant_it_was_scheduled_in(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store), job("j2", store, tenant="other"))
        assert {each.id: each.tenant for each in await claim(store, lease_s=0.0)} == {
            "j1": "default",
            "j2": "other",
        }
        await schedule(store, job("j1", store, tenant="third"))
        found = {each.id: each.tenant for each in await claim(store)}
        assert found == {"j1": "third", "j2": "other"}

    async def test_a_claim_carries_the_clock_of_the_store(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store))
        found = await claimed(store)
        assert abs(found.now - store.now()) < timedelta(seconds=1)
        assert found.now.utcoffset() == timedelta(0)

    async def test_a_job_is_not_claimed_before_it_is_due(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("later", store, in_s=0.15), job("much_later", store, in_s=600))
        found = await claimed_in_time(store, harness.patience_s)
        assert found.id == "later"
        assert found.now >= found.due_at
        assert list(await claim(store)) == []

    async def test_the_oldest_are_claimed_first(self, harness: StoreHarness) -> None:
        store = await harness.open()
        jobs = [job(f"j{age}", store, in_s=-age) for age in (2, 5, 3, 4)]
        await schedule(store, *jobs)
        assert [found.id for found in await claim(store, limit=3)] == ["j5", "j4", "j3"]
        assert [found.id for found in await claim(store, limit=3)] == ["j2"]

    async def test_only_the_kinds_asked_for_are_claimed(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store), job("j2", store, kind="effect"))
        assert [found.id for found in await claim(store, kind="effect")] == ["j2"]
        assert [found.id for found in await claim(store)] == ["j1"]

    async def test_a_job_is_claimed_by_one_of_many(self, harness: StoreHarness) -> None:
        stores = [await harness.open(), await harness.open()]
        await schedule(stores[0], *(job(f"j{number}", stores[0]) for number in range(40)))
        batches = await asyncio.gather(*(claim(stores[n % 2], limit=7) for n in range(10)))
        ids = [found.id for batch in batches for found in batch]
        assert len(ids) == len(set(ids))
        assert len(ids) >= 7
        rest = [found.id for found in await claim(stores[0])]
        assert sorted([*ids, *rest]) == sorted(f"j{number}" for number in range(40))

    async def test_a_claim_is_ours_until_its_lease_ends(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store))
        first = await claimed(store, lease_s=0.15)
        again = await claimed_in_time(store, harness.patience_s)
        assert (again.attempt, first.attempt) == (2, 1)
        assert again.token != first.token
        assert again.now - first.now >= timedelta(seconds=0.15)

    async def test_a_finished_job_is_gone(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store), job("j2", store))
        tokens = [found.token for found in await claim(store)]
        async with store.transaction() as transaction:
            assert await transaction.jobs.finish(tokens) == 2
        async with store.transaction() as transaction:
            assert await transaction.jobs.finish(tokens) == 0
            assert await transaction.jobs.next_due_s(["timer"]) is None

    async def test_a_job_is_finished_only_by_its_last_claimer(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store))
        late = await claimed(store, lease_s=0.02)
        current = await claimed_in_time(store, harness.patience_s)
        async with store.transaction() as transaction:
            assert await transaction.jobs.finish([late.token]) == 0
            assert await transaction.jobs.finish([current.token]) == 1

    async def test_a_token_of_a_job_of_before_finishes_nothing(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store))
        old = await claimed(store)
        async with store.transaction() as transaction:
            await transaction.jobs.cancel(["j1", "unknown"])
        await schedule(store, job("j1", store))
        new = await claimed(store)
        async with store.transaction() as transaction:
            assert await transaction.jobs.finish([old.token]) == 0
            await transaction.jobs.retry({old.token: 0.0})
            assert await transaction.jobs.finish([new.token]) == 1

    async def test_a_retried_job_becomes_due_after_its_delay(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store))
        first = await claimed(store)
        async with store.transaction() as transaction:
            await transaction.jobs.retry({first.token: 0.1})
        again = await claimed_in_time(store, harness.patience_s)
        assert again.attempt == 2
        assert again.now - first.now >= timedelta(seconds=0.1)

    async def test_many_are_retried_at_once_each_after_its_own_delay(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store), job("j2", store), job("j3", store))
        tokens = {found.id: found.token for found in await claim(store)}
        assert sorted(tokens) == ["j1", "j2", "j3"]
        async with store.transaction() as transaction:
            await transaction.jobs.retry({})
            await transaction.jobs.retry({tokens["j1"]: 600, tokens["j2"]: 0.05})
        again = await claimed_in_time(store, harness.patience_s)
        assert (again.id, again.attempt) == ("j2", 2)
        async with store.transaction() as transaction:
            assert await transaction.jobs.finish([tokens["j1"]]) == 0
            assert await transaction.jobs.finish([tokens["j3"]]) == 1

    async def test_a_retried_job_is_no_longer_ours(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store))
        first = await claimed(store)
        async with store.transaction() as transaction:
            await transaction.jobs.retry({first.token: 60})
            assert await transaction.jobs.finish([first.token]) == 0

    async def test_scheduling_again_replaces(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store))
        held = await claimed(store)
        await schedule(store, job("j1", store, kind="effect"))
        async with store.transaction() as transaction:
            assert await transaction.jobs.finish([held.token]) == 0
        found = await claim(store, kind="effect")
        assert [(each.id, each.attempt) for each in found] == [("j1", 1)]

    async def test_the_last_of_one_id_in_one_call_counts(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store, in_s=60), job("j1", store))
        assert (await claimed(store)).id == "j1"

    async def test_a_cancelled_job_never_runs(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store), job("j2", store))
        async with store.transaction() as transaction:
            await transaction.jobs.cancel(["j1", "unknown"])
        assert [found.id for found in await claim(store)] == ["j2"]

    async def test_a_rolled_back_claim_was_no_attempt(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store))

        async def undone() -> None:
            async with store.transaction() as transaction:
                await transaction.jobs.claim(["timer"], limit=1, lease_s=60)
                raise Undo

        await refused(Undo, undone())
        assert (await claimed(store)).attempt == 1

    async def test_next_due_counts_down_to_what_waits(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store, in_s=30), job("j2", store, kind="effect"))
        async with store.reading() as reading:
            timer = await reading.jobs.next_due_s(["timer"])
            either = await reading.jobs.next_due_s(["timer", "effect"])
            neither = await reading.jobs.next_due_s(["sweep"])
        assert timer is not None
        assert 25 < timer <= 30
        assert (either, neither) == (0.0, None)

    async def test_next_due_of_a_claimed_job_is_the_end_of_its_lease(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store))
        await claimed(store, lease_s=20)
        async with store.reading() as reading:
            due_s = await reading.jobs.next_due_s(["timer"])
        assert due_s is not None
        assert 15 < due_s <= 20

    async def test_the_job_backlog_counts_what_is_due_by_kind(self, harness: StoreHarness) -> None:
        store = await harness.open()
        await schedule(
            store,
            job("j1", store, in_s=-5),
            job("j2", store),
            job("j3", store, in_s=60),
            job("j4", store, kind="effect"),
        )
        async with store.reading() as reading:
            backlog = await reading.jobs.job_backlog()
        assert {kind: each.count for kind, each in backlog.items()} == {"timer": 2, "effect": 1}
        assert 5 <= backlog["timer"].oldest_s < 5 + harness.patience_s

    async def test_the_job_backlog_counts_and_ages_what_is_claimed_or_put_off(
        self, harness: StoreHarness
    ) -> None:
        store = await harness.open()
        await schedule(store, job("j1", store, in_s=-7), job("j2", store, in_s=-5))
        claims = {found.id: found.token for found in await claim(store)}
        assert sorted(claims) == ["j1", "j2"]
        async with store.transaction() as transaction:
            await transaction.jobs.retry({claims["j1"]: 600})
        async with store.reading() as reading:
            backlog = await reading.jobs.job_backlog()
        assert {kind: each.count for kind, each in backlog.items()} == {"timer": 2}
        assert 7 <= backlog["timer"].oldest_s < 7 + harness.patience_s
