"""Jobs: timers decided by the fold, effects outside under one key, orphans taken up again."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from waybill_events.event import Event
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime.adapters.memory.store import MemoryStore
from waybill_runtime.decider import Decider, Intent
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import Outcome, Timer, because_of
from waybill_runtime.store import Transaction
from waybill_runtime.stored import ClaimedJob, Job, StoreUnavailable
from waybill_runtime.testing.working import run_jobs
from waybill_runtime.testing.world import EPOCH, World, simulate
from waybill_runtime.work import Work


def _decide(command: str, said: tuple[str, ...]) -> Sequence[Event]:
    if command == "poison":
        raise ArithmeticError("cannot be decided")
    if command in said:
        return []
    return [ContactPreferenceChanged(customer_ref="c", channel=command, allowed=True)]


SAID: Decider[str, tuple[str, ...]] = Decider(
    category="said",
    topic="notifications",
    initial=(),
    decide=_decide,
    evolve=lambda said, event: (*said, event.channel),
    key=lambda event: event.customer_ref,
)


def say(word: str) -> Intent:
    return Intent(SAID, "s", word)


def saying(words: Callable[[ClaimedJob], str]) -> Timer:
    """A timer that says a word for each job."""

    async def timer(work: Work, fired: Sequence[ClaimedJob]) -> None:
        await work.run([(say(words(job)), because_of(job, "test")) for job in fired])

    return timer


def job(id: str, kind: str = "call", *, in_s: float = 0.0, payload: str = "{}") -> Job:
    due_at = EPOCH + timedelta(seconds=in_s)
    return Job(id=id, tenant="default", kind=kind, due_at=due_at, payload=payload)


async def words(on: Infrastructure) -> list[str]:
    async with on.store.reading() as reading:
        stream = (await reading.streams.load(["default/said/s"], lock=False))["default/said/s"]
    return [event.data.split('"channel":"')[1].split('"')[0] for event in stream.events]


def test_a_timer_fires_when_it_is_due_and_not_before() -> None:
    async def main() -> None:
        fired: list[float] = []

        def word(job: ClaimedJob) -> str:
            fired.append((job.now - EPOCH).total_seconds())
            return "late"

        on = World().infrastructure("db")
        await run_jobs(on, 60, [job("t", "timer", in_s=30)], timers={"timer": saying(word)})
        assert len(fired) == 1
        assert 30 <= fired[0] < 31
        assert await words(on) == ["late"]

    simulate(1, main())


def test_an_effect_that_comes_back_is_repeated_until_it_is_done() -> None:
    async def main() -> None:
        attempts: list[int] = []

        async def effect(job: ClaimedJob) -> Outcome:
            attempts.append(job.attempt)
            if job.attempt < 3:
                return Outcome([say("unknown")], again_s=1.0)
            return Outcome([say("done")])

        on = World().infrastructure("db")
        await run_jobs(on, 30, [job("e")], effects={"call": effect})
        assert attempts == [1, 2, 3]
        assert await words(on) == ["unknown", "done"]

    simulate(1, main())


def test_an_effect_that_raises_is_tried_again() -> None:
    async def main() -> None:
        attempts: list[int] = []

        async def effect(job: ClaimedJob) -> Outcome:
            attempts.append(job.attempt)
            if job.attempt == 1:
                raise ConnectionError("the line went dead")
            return Outcome([say("done")])

        on = World().infrastructure("db")
        await run_jobs(on, 30, [job("e", "dead_line")], effects={"dead_line": effect})
        assert await words(on) == ["done"]
        ended = {outcome: counted("dead_line", outcome) for outcome in ("failed", "again", "done")}
        assert ended == {"failed": 1, "again": 0, "done": 1}

    simulate(1, main())


def test_an_outcome_whose_payload_nobody_can_read_is_recorded_all_the_same() -> None:
    async def main() -> None:
        async def effect(job: ClaimedJob) -> Outcome:
            return Outcome(again_s=1.0, reason="no answer") if job.attempt == 1 else Outcome()

        on = World().infrastructure("db")
        jobs = [job("e", "unreadable", payload="{")]
        await run_jobs(on, 30, jobs, effects={"unreadable": effect})
        ended = {outcome: counted("unreadable", outcome) for outcome in ("failed", "again", "done")}
        assert ended == {"failed": 0, "again": 1, "done": 1}

    simulate(1, main())


def test_a_slow_effect_does_not_hold_up_the_others() -> None:
    async def main() -> None:
        done: list[tuple[str, float]] = []

        async def effect(job: ClaimedJob) -> Outcome:
            await asyncio.sleep(20 if job.id == "slow" else 0.1)
            done.append((job.id, asyncio.get_running_loop().time()))
            return Outcome()

        on = World().infrastructure("db")
        jobs = [job(name) for name in ("slow", "a", "b")]
        await run_jobs(on, 30, jobs, effects={"call": effect})
        assert sorted(name for name, at in done if at < 1) == ["a", "b"]
        assert {name for name, _ in done} == {"slow", "a", "b"}

    simulate(1, main())


def test_the_job_of_a_killed_process_is_taken_up_by_another() -> None:
    async def main() -> None:
        world = World()
        dead, alive = world.infrastructure("db"), world.infrastructure("db", "alive")
        async with dead.store.transaction() as transaction:
            await transaction.jobs.schedule([job("e")])
            claimed = await transaction.jobs.claim(["call"], limit=1, lease_s=30)
        assert len(claimed) == 1

        async def effect(job: ClaimedJob) -> Outcome:
            return Outcome([say(f"attempt {job.attempt}")])

        await run_jobs(alive, 60, effects={"call": effect})
        assert await words(alive) == ["attempt 2"]

    simulate(1, main())


def test_stopping_waits_for_calls_under_way_and_records_them() -> None:
    async def main() -> None:
        async def effect(_: ClaimedJob) -> Outcome:
            await asyncio.sleep(10)
            return Outcome([say("finished")])

        on = World().infrastructure("db")
        await run_jobs(on, 1, [job("e")], effects={"call": effect})
        assert await words(on) == ["finished"]

    simulate(1, main())


class _Breaks:
    """A database in which nothing begins from one second to another, for this reason."""

    def __init__(self, error: Exception, begin_s: float, end_s: float) -> None:
        self._error = error
        self._begin_s = begin_s
        self._end_s = end_s
        self.times = 0

    async def at(self, point: str) -> None:
        now_s = asyncio.get_running_loop().time()
        if point == "begin" and self._begin_s <= now_s < self._end_s:
            self.times += 1
            raise self._error


def test_a_store_out_of_reach_for_a_moment_does_not_end_calls_under_way() -> None:
    async def main() -> None:
        attempts: list[int] = []

        async def effect(job: ClaimedJob) -> Outcome:
            attempts.append(job.attempt)
            await asyncio.sleep(5)
            return Outcome([say("finished")])

        world, away = World(), _Breaks(StoreUnavailable("no connection is free"), 1, 3)
        on = world.infrastructure("db")
        on = replace(on, store=MemoryStore(world.database("db"), away))
        await run_jobs(on, 20, [job("e")], effects={"call": effect})
        assert away.times > 0
        assert attempts == [1]
        assert await words(on) == ["finished"]

    simulate(1, main())


def counted(kind: str, outcome: str) -> float:
    labels = {"kind": kind, "outcome": outcome}
    return REGISTRY.get_sample_value("waybill_jobs_total", labels) or 0.0


def test_one_bad_timer_stops_neither_the_others_nor_an_effect_under_way() -> None:
    async def main() -> None:
        attempts: list[int] = []
        tried: list[int] = []

        async def effect(job: ClaimedJob) -> Outcome:
            attempts.append(job.attempt)
            await asyncio.sleep(5)
            return Outcome([say("finished")])

        def word(job: ClaimedJob) -> str:
            if job.id == "broken":
                raise ValueError("a payload of yesterday")
            if job.id == "poison":
                tried.append(job.attempt)
            return job.id

        on = World().infrastructure("db")
        jobs = [job(name, "poisoned_timer", in_s=2) for name in ("broken", "poison")]
        jobs += [job(name, "timer", in_s=2) for name in ("a", "z")]
        jobs += [job("e")]
        await run_jobs(
            on,
            15,
            jobs,
            timers={"timer": saying(word), "poisoned_timer": saying(word)},
            effects={"call": effect},
        )
        assert attempts == [1]
        assert await words(on) == ["a", "z", "finished"]
        assert tried[:3] == [1, 2, 3]
        assert counted("poisoned_timer", "failed") >= 6
        assert counted("poisoned_timer", "done") == 0
        async with on.store.reading() as reading:
            assert await reading.jobs.next_due_s(["poisoned_timer"]) is not None

    simulate(1, main())


def test_an_outcome_that_cannot_be_recorded_takes_no_other_outcome_with_it() -> None:
    async def main() -> None:
        attempts: list[str] = []

        async def effect(job: ClaimedJob) -> Outcome:
            attempts.append(f"{job.id}{job.attempt}")
            await asyncio.sleep(1)
            poisoned = job.id == "b" and job.attempt < 3
            return Outcome([say("poison" if poisoned else job.id)])

        on = World().infrastructure("db")
        jobs = [job(name, "poisoned_call") for name in "abc"]
        await run_jobs(on, 10, jobs, effects={"poisoned_call": effect})
        said = await words(on)
        assert (sorted(said), said[-1]) == (["a", "b", "c"], "b")
        assert sorted(attempts) == ["a1", "b1", "b2", "b3", "c1"]
        assert counted("poisoned_call", "failed") == 2
        assert counted("poisoned_call", "done") == 3

    simulate(1, main())


def test_a_surprise_while_taking_up_jobs_does_not_end_calls_under_way() -> None:
    async def main() -> None:
        attempts: list[int] = []

        async def effect(job: ClaimedJob) -> Outcome:
            attempts.append(job.attempt)
            await asyncio.sleep(5)
            return Outcome([say("finished")])

        world, failing = World(), _Breaks(RuntimeError("nobody has seen this before"), 1, 3)
        on = world.infrastructure("db")
        on = replace(on, store=MemoryStore(world.database("db"), failing))
        await run_jobs(on, 20, [job("e")], effects={"call": effect})
        assert 0 < failing.times < 10
        assert attempts == [1]
        assert await words(on) == ["finished"]

    simulate(1, main())


def test_an_effect_that_comes_back_with_a_reason_is_logged_and_a_plain_poll_is_not() -> None:
    async def main() -> None:
        async def effect(job: ClaimedJob) -> Outcome:
            if job.attempt > 1:
                return Outcome()
            return Outcome(again_s=1.0, reason="no answer" if job.id == "e" else "")

        on = World().infrastructure("db")
        told = '{"order_id": "ord_1", "name": "Ada Lovelace"}'
        jobs = [
            job("e", payload=told),
            job("poll"),
        ]
        await run_jobs(on, 30, jobs, effects={"call": effect})

    with capture_logs() as lines:
        simulate(1, main())
    assert [line for line in lines if line["log_level"] == "warning"] == [
        {
            "event": "effect comes back",
            "kind": "call",
            "job": "e",
            "order_id": "ord_1",
            "attempt": 1,
            "again_s": 1.0,
            "reason": "no answer",
            "log_level": "warning",
        }
    ]


def test_timers_and_effects_are_claimed_together_and_an_end_claims_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        on, claims = World().infrastructure("db"), 0
        marking = on.store.marking

        def counted() -> AbstractAsyncContextManager[Transaction]:
            nonlocal claims
            claims += 1
            return marking()

        monkeypatch.setattr(on.store, "marking", counted)

        async def effect(job: ClaimedJob) -> Outcome:
            await asyncio.sleep(0.1)
            return Outcome([say(job.id)])

        timers = {"timer": saying(lambda _: "never")}
        jobs = [job(f"e{n}") for n in range(5)]
        await run_jobs(on, 0.9, jobs, timers=timers, effects={"call": effect})
        assert len(await words(on)) == 5
        assert claims == 2

    simulate(1, main())
