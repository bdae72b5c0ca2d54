"""Runs what is due: timers inside the store, effects outside it.

A job is scheduled with the event that makes it due and dropped with the events that answer it; it
is decided in that event's tenant. Timers that are due together fire as one batch, decided again by
the fold: a late sweeper changes nothing. An effect is called outside any transaction, under a key
that was committed before; a job whose holder dies is taken up again when its lease ends, under the
same key. What cannot be recorded comes back later, alone: it stops no other job.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import structlog

from waybill_runtime import metrics
from waybill_runtime.decider import Intent
from waybill_runtime.ids import Ids
from waybill_runtime.lifecycle import Stopping, Wake
from waybill_runtime.store import Store, Transaction
from waybill_runtime.stored import (
    TRANSIENT,
    ClaimedJob,
    Committed,
    CommitUnknown,
    StoreUnavailable,
)
from waybill_runtime.transact import transact
from waybill_runtime.work import Cause, Work

log = structlog.get_logger("waybill.jobs")

POLL_S = 0.05
IDLE_S = 1.0
"""Others may schedule what we are not woken for; nobody waits longer than this for it."""
LEASE_S = 30.0
CLAIM = 100
AT_ONCE = 32
ROOM = 8
"""With room for fewer effects than this, timers are claimed apart: they need none."""
RETRY_S_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an effect: commands to record it, and whether to come back.

    `again_s` None finishes the job; a number lets it become due again after so many seconds.
    `reason` says what kept it from its end, for the log, without personal data; a poll that found
    nothing new has none.
    """

    intents: Sequence[Intent] = ()
    again_s: float | None = None
    reason: str = ""


class _Failed(Outcome):
    """An effect that raised; counted apart from one that chose to come back."""

    __slots__ = ()


Timer = Callable[[Work, Sequence[ClaimedJob]], Awaitable[None]]
"""Decides what it means that these are due, all of one kind, in one tenant and by one clock, in the
transaction that finishes them: it may run again, or not be committed. What is to become due once
more, it schedules."""

Effect = Callable[[ClaimedJob], Awaitable[Outcome]]
"""Carry out an effect, bounded in time. May be called again for the same job: use its key."""

_Ended = tuple[ClaimedJob, Outcome]


def because_of(job: ClaimedJob, service: str) -> Cause:
    """The cause of what `service` decides because a job was due."""
    return Cause(causation_id=job.id, actor=f"system:{service}")


class JobRunner:
    """Claims due jobs and runs them. Any number of these may run on one store."""

    def __init__(
        self,
        *,
        service: str,
        timers: Mapping[str, Timer],
        effects: Mapping[str, Effect],
        store: Store,
        ids: Ids,
        stopping: Stopping,
        at_once: int = AT_ONCE,
    ) -> None:
        self._service = service
        self._timers = timers
        self._effects = effects
        self._store = store
        self._ids = ids
        self._stopping = stopping
        self._wake = Wake()
        self._free = at_once
        self._done: asyncio.Queue[_Ended] = asyncio.Queue(maxsize=2 * at_once)
        store.on_commit(self._woken)

    def _woken(self, committed: Committed) -> None:
        if committed.scheduled:
            self._wake.set()

    async def run(self) -> None:
        """Run due jobs until stopping; then let running effects end and record them."""
        async with asyncio.TaskGroup() as group:
            recorder = group.create_task(self._record_outcomes())
            async with asyncio.TaskGroup() as calls:
                while not self._stopping:
                    if not await self._take(calls):
                        await self._wake.wait(await self._patience_s())
            await self._done.join()
            recorder.cancel()

    async def _take(self, calls: asyncio.TaskGroup) -> int:
        """Take up what is due. Nothing that goes wrong here may end calls under way: their
        outcomes would be lost, and their jobs asleep until the leases end.
        """
        try:
            if self._free >= ROOM:
                claimed = await self._claim([*self._timers, *self._effects], self._free)
            else:
                claimed = [
                    *await self._claim(self._timers.keys(), CLAIM),
                    *await self._claim(self._effects.keys(), self._free),
                ]
            self._start_effects([job for job in claimed if job.kind in self._effects], calls)
            await self._fire_timers([job for job in claimed if job.kind in self._timers])
        except TRANSIENT as error:
            log.warning("nothing taken up", reason=repr(error))
        except Exception:  # whatever it is, it is no reason to cancel the effects
            log.exception("nothing taken up")
        else:
            return len(claimed)
        await self._stopping.wait(IDLE_S)
        return 0

    async def _patience_s(self) -> float:
        """How long to sleep unless woken: until the next job is due, within bounds."""
        try:
            async with self._store.reading() as reading:
                due_s = await reading.jobs.next_due_s([*self._timers, *self._effects])
        except Exception as error:  # noqa: BLE001 - as in `_take`
            log.warning("next due time unknown", reason=repr(error))
            return IDLE_S
        return IDLE_S if due_s is None else min(max(due_s, POLL_S), IDLE_S)

    async def _claim(self, kinds: Collection[str], limit: int) -> Sequence[ClaimedJob]:
        if not kinds or limit < 1:
            return ()
        # A lease that a crash of the server undid has lapsed: the same key goes out again.
        async with self._store.marking() as transaction:
            return await transaction.jobs.claim(kinds, limit=limit, lease_s=LEASE_S)

    async def _fire_timers(self, claimed: Sequence[ClaimedJob]) -> None:
        """Each kind in a transaction of its own: streams are locked in one order."""
        for _, fired in groupby(sorted(claimed, key=_kind), _kind):
            await self._settle([(job, Outcome()) for job in fired])

    def _start_effects(self, claimed: Sequence[ClaimedJob], calls: asyncio.TaskGroup) -> None:
        for job in claimed:
            self._free -= 1
            calls.create_task(self._perform(job))

    async def _perform(self, job: ClaimedJob) -> None:
        try:
            with metrics.EFFECT_SECONDS.labels(kind=job.kind).time():
                async with asyncio.timeout(LEASE_S * 0.8):
                    outcome = await self._effects[job.kind](job)
        except Exception:  # an adapter's surprise: the job comes back later
            log.exception("effect failed", kind=job.kind, job=job.id)
            outcome = _Failed(again_s=backoff_s(job.attempt, self._ids))
        finally:
            if not self._free:
                self._wake.set()  # there may be more that is due: there was no room for it
            self._free += 1
        await self._done.put((job, outcome))

    async def _record_outcomes(self) -> None:
        """Record what has ended, as many as are there in one transaction."""
        while True:
            outcomes = [await self._done.get()]
            while not self._done.empty():
                outcomes.append(self._done.get_nowait())
            try:
                await self._settle(outcomes)
            except Exception:  # the lease ends, and the same key goes out again
                log.exception("outcome not recorded", jobs=len(outcomes))
            finally:
                for _ in outcomes:
                    self._done.task_done()

    async def _settle(self, outcomes: Sequence[_Ended]) -> None:
        """Record outcomes together or, when that fails, one by one: one bad job stops no other.

        Raises:
            StoreUnavailable, CommitUnknown: what is not recorded comes back when its lease ends.
        """
        try:
            await self._record(outcomes)
        except (StoreUnavailable, CommitUnknown):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            if len(outcomes) == 1:
                await self._put_off(outcomes[0][0], error)
                return
            log.warning("jobs failed together", jobs=len(outcomes), reason=repr(error))
            for outcome in outcomes:
                await self._settle([outcome])

    async def _put_off(self, job: ClaimedJob, error: Exception) -> None:
        """Let a job that cannot be recorded come back later, and say so."""
        log.error("job failed", kind=job.kind, job=job.id, attempt=job.attempt, exc_info=error)
        metrics.JOBS_DONE.labels(kind=job.kind, outcome="failed").inc()
        async with self._store.transaction() as transaction:
            await transaction.jobs.retry({job.token: backoff_s(job.attempt, self._ids)})

    async def _record(self, outcomes: Sequence[_Ended]) -> None:
        async def body(transaction: Transaction) -> None:
            # Tenant by tenant, streams before jobs, as the consumer locks them.
            for tenant, ended in groupby(sorted(outcomes, key=_tenant), _tenant):
                work = Work(transaction, now=self._store.now(), ids=self._ids, tenant=tenant)
                await self._decide(work, list(ended))

        await transact(self._store, self._ids, body)
        for job, outcome in outcomes:
            metrics.JOBS_DONE.labels(kind=job.kind, outcome=_ended(outcome)).inc()
            if outcome.again_s is not None and outcome.reason:
                log.warning(
                    "effect comes back",
                    kind=job.kind,
                    job=job.id,
                    order_id=_order_id(job.payload),
                    attempt=job.attempt,
                    again_s=round(outcome.again_s, 1),
                    reason=outcome.reason,
                )

    async def _decide(self, work: Work, outcomes: Sequence[_Ended]) -> None:
        """What jobs of one tenant have come to; what was due is done before more becomes so."""
        kind = outcomes[0][0].kind
        if kind in self._timers:
            await self._timers[kind](work, [job for job, _ in outcomes])
        else:
            await work.run(
                [
                    (intent, because_of(job, self._service))
                    for job, outcome in outcomes
                    for intent in outcome.intents
                ]
            )
        if done := [job.token for job, outcome in outcomes if outcome.again_s is None]:
            await work.transaction.jobs.finish(done)
        if again := {j.token: o.again_s for j, o in outcomes if o.again_s is not None}:
            await work.transaction.jobs.retry(again)
        await work.flush()


def _kind(job: ClaimedJob) -> str:
    return job.kind


def _tenant(ended: _Ended) -> str:
    return ended[0].tenant


def _ended(outcome: Outcome) -> str:
    if isinstance(outcome, _Failed):
        return "failed"
    return "done" if outcome.again_s is None else "again"


def _order_id(payload: str) -> str | None:
    """The order that a job is about, where its payload says so. Never raises: it is for the log."""
    try:
        read = json.loads(payload)
    except ValueError:
        return None
    return read.get("order_id") if isinstance(read, dict) else None


def backoff_s(attempt: int, ids: Ids) -> float:
    """Seconds to wait before the next try: exponential, capped, half of it jitter."""
    ceiling = min(0.2 * 2.0 ** min(attempt, 16), RETRY_S_MAX)
    return ceiling / 2 + ids.jitter() * ceiling / 2
