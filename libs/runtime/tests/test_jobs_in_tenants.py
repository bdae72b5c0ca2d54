"""A job is decided in the tenant of what made it due, and timers that are due together as one."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from waybill_events.envelope import StreamId
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime.decider import Decider, Intent
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import Effect, Outcome, Timer, because_of
from waybill_runtime.stored import ClaimedJob, Job
from waybill_runtime.testing.working import run_jobs
from waybill_runtime.testing.world import EPOCH, World, simulate
from waybill_runtime.work import Work

SAID: Decider[str, None] = Decider(
    category="said",
    topic="notifications",
    initial=None,
    decide=lambda word, _: [ContactPreferenceChanged(customer_ref="c", channel=word, allowed=True)],
    evolve=lambda _, __: None,
    key=lambda event: event.customer_ref,
)


def say(word: str) -> Intent:
    return Intent(SAID, "s", word)


def job(id: str, kind: str, tenant: str = "default", *, due_at: datetime = EPOCH) -> Job:
    return Job(id=id, tenant=tenant, kind=kind, due_at=due_at)


def mixed(kind: str) -> list[Job]:
    """One by one of two tenants, all due at once."""
    tenants = {"j1": "north", "j2": "south", "j3": "north", "j4": "south"}
    return [job(id, kind, tenant) for id, tenant in tenants.items()]


def running(
    jobs: Sequence[Job],
    after: Callable[[Infrastructure], Awaitable[None]],
    *,
    timers: dict[str, Timer] | None = None,
    effects: dict[str, Effect] | None = None,
) -> None:
    """What is true after these jobs had a minute."""

    async def main() -> None:
        on = World().infrastructure("db")
        await run_jobs(on, 60, jobs, timers=timers, effects=effects)
        await after(on)
        async with on.store.reading() as reading:
            assert await reading.jobs.next_due_s([job.kind for job in jobs]) is None

    simulate(1, main())


async def said(on: Infrastructure, tenant: str) -> list[str]:
    """Who caused what was said to this tenant."""
    name = str(StreamId(tenant, SAID.category, "s"))
    async with on.store.reading() as reading:
        stream = (await reading.streams.load([name], lock=False))[name]
    assert {event.tenant for event in stream.events} <= {tenant}
    return [event.causation_id for event in stream.events]


async def said_apart(on: Infrastructure) -> None:
    assert sorted(await said(on, "north")) == ["j1", "j3"]
    assert sorted(await said(on, "south")) == ["j2", "j4"]
    assert await said(on, "default") == []


async def nothing_more(_: Infrastructure) -> None:
    """No job is left; that is all."""


def test_timers_fire_in_their_tenants_and_those_of_one_together() -> None:
    batches: list[tuple[str, list[str]]] = []

    async def timer(work: Work, fired: Sequence[ClaimedJob]) -> None:
        batches.append((work.tenant, [job.id for job in fired]))
        await work.run([(say(job.id), because_of(job, "test")) for job in fired])

    running(mixed("timer"), said_apart, timers={"timer": timer})
    assert batches == [("north", ["j1", "j3"]), ("south", ["j2", "j4"])]


def test_what_effects_bring_back_is_recorded_in_their_tenants() -> None:
    called: dict[str, str] = {}

    async def effect(job: ClaimedJob) -> Outcome:
        called[job.id] = job.tenant
        if job.attempt == 1:
            return Outcome(again_s=0.5)
        return Outcome([say(job.id)])

    running(mixed("call"), said_apart, effects={"call": effect})
    assert called == {"j1": "north", "j2": "south", "j3": "north", "j4": "south"}


def test_kinds_of_timers_fire_apart() -> None:
    fired: list[list[str]] = []

    async def timer(_: Work, jobs: Sequence[ClaimedJob]) -> None:
        fired.append([job.id for job in jobs])

    jobs = [job("j1", "a"), job("j2", "b"), job("j3", "a")]
    running(jobs, nothing_more, timers={"a": timer, "b": timer})
    assert fired == [["j1", "j3"], ["j2"]]


def test_a_timer_may_make_its_own_job_due_once_more() -> None:
    fired: list[int] = []

    async def timer(work: Work, jobs: Sequence[ClaimedJob]) -> None:
        fired.append(round((jobs[0].now - EPOCH).total_seconds()))
        if len(fired) == 1:
            work.schedule([job("t", "timer", due_at=EPOCH + timedelta(seconds=30))])

    running([job("t", "timer")], nothing_more, timers={"timer": timer})
    assert fired == [0, 30]
