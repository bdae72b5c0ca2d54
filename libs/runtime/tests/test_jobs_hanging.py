"""An effect that does not come back is given up before its job is anybody else's."""

import asyncio

from waybill_runtime.jobs import LEASE_S, JobRunner, Outcome
from waybill_runtime.stored import ClaimedJob, Job
from waybill_runtime.testing.world import EPOCH, World, simulate


def test_an_effect_that_hangs_ends_before_its_lease_and_never_runs_twice_at_once() -> None:
    async def main() -> None:
        world = World()
        here, there = world.infrastructure("db"), world.infrastructure("db", "other")
        begun_s: list[float] = []
        ended_s: list[float] = []

        async def hangs(_: ClaimedJob) -> Outcome:
            clock = asyncio.get_running_loop().time
            begun_s.append(clock())
            try:
                await asyncio.sleep(3_600)
            finally:
                ended_s.append(clock())
            return Outcome()

        job = Job(id="e", tenant="default", kind="call", due_at=EPOCH, payload="{}")
        async with here.store.transaction() as transaction:
            await transaction.jobs.schedule([job])
        async with asyncio.TaskGroup() as group:
            for on in (here, there):
                runner = JobRunner(
                    service="test",
                    timers={},
                    effects={"call": hangs},
                    store=on.store,
                    ids=on.ids,
                    stopping=on.stopping,
                )
                group.create_task(runner.run())
            await asyncio.sleep(4 * LEASE_S)
            here.stopping.set()
            there.stopping.set()
        assert len(begun_s) > 2
        assert all(end - begin < LEASE_S for begin, end in zip(begun_s, ended_s, strict=True))
        assert all(end <= again for end, again in zip(ended_s, begun_s[1:], strict=False))

    simulate(1, main())
