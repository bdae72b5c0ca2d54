"""A service worked by hand: a batch handed to it, a command decided, its jobs run for a while."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from waybill_events import codec
from waybill_events.envelope import DEFAULT_TENANT, Recorded
from waybill_runtime.consumer import Handler, Incoming
from waybill_runtime.decider import AnyDecider, Intent
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import Effect, JobRunner, Timer
from waybill_runtime.lifecycle import Stopping
from waybill_runtime.stored import Job
from waybill_runtime.work import Cause, Work

CAUSE = Cause(causation_id="test", actor="system:test")


@asynccontextmanager
async def working(on: Infrastructure, *, tenant: str = DEFAULT_TENANT) -> AsyncIterator[Work]:
    """One transaction's decisions, written when the block ends."""
    async with on.store.transaction() as transaction:
        work = Work(transaction, now=on.store.now(), ids=on.ids, tenant=tenant)
        yield work
        await work.flush()


async def decide(
    on: Infrastructure,
    decider: AnyDecider,
    id_: str,
    *given: object,
    tenant: str = DEFAULT_TENANT,
) -> None:
    """Decide these commands on one stream, one after another, in one transaction."""
    async with working(on, tenant=tenant) as work:
        await work.run([(Intent(decider, id_, command), CAUSE) for command in given])


async def hand(
    on: Infrastructure, handler: Handler, *events: Recorded, tenant: str = DEFAULT_TENANT
) -> None:
    """Give these events to a handler as one batch, in one transaction."""
    async with working(on, tenant=tenant) as work:
        await handler(work, [Incoming(event, codec.decode(event)) for event in events])


async def run_jobs(
    on: Infrastructure,
    seconds: float,
    jobs: Sequence[Job] = (),
    *,
    timers: Mapping[str, Timer] | None = None,
    effects: Mapping[str, Effect] | None = None,
) -> None:
    """Schedule these jobs, run whatever is due for so many seconds, and let it end."""
    async with on.store.transaction() as transaction:
        await transaction.jobs.schedule(jobs)
    stopping = Stopping()
    runner = JobRunner(
        service="test",
        timers=timers or {},
        effects=effects or {},
        store=on.store,
        ids=on.ids,
        stopping=stopping,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(runner.run())
        await asyncio.sleep(seconds)
        stopping.set()
