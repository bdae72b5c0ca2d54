"""What a service is made of, and the long-running parts that make it live."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fastapi import APIRouter, FastAPI

from waybill_events.catalogue import SUBSCRIPTIONS, TOPICS
from waybill_events.envelope import Recorded
from waybill_runtime import metrics
from waybill_runtime.consumer import EventConsumer, Handler
from waybill_runtime.decider import AnyDecider
from waybill_runtime.http import app as http_app
from waybill_runtime.http import halted
from waybill_runtime.http.auth import KeyRing
from waybill_runtime.http.limits import Limits
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import Effect, JobRunner, Timer
from waybill_runtime.lifecycle import keep_running
from waybill_runtime.projector import AnyView, projecting
from waybill_runtime.relay import Relay
from waybill_runtime.unpark import Unparking

OBSERVE_S = 5.0


async def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """A service as its composition root describes it.

    `handles` are the types that `handler` acts on; views name their own. `strict` False takes
    types that nobody knows for harmless: right for services that only show.
    """

    name: str
    summary: str
    deciders: Sequence[AnyDecider] = ()
    routers: Sequence[APIRouter] = ()
    handler: Handler | None = None
    handles: Collection[str] = ()
    views: Sequence[AnyView] = ()
    timers: Mapping[str, Timer] = field(default_factory=dict)
    effects: Mapping[str, Effect] = field(default_factory=dict)
    effects_at_once: int = 32
    strict: bool = True
    close: Callable[[], Awaitable[None]] = _nothing


class Service:
    """A blueprint on an infrastructure. Its parts run as tasks of whoever runs it."""

    def __init__(self, blueprint: Blueprint, infrastructure: Infrastructure) -> None:
        self.blueprint = blueprint
        self.infrastructure = infrastructure
        self.topics = SUBSCRIPTIONS[blueprint.name]
        self.own_topics = sorted(t for t, owner in TOPICS.items() if owner == blueprint.name)
        self.handles = set(blueprint.handles).union(*(view.handles for view in blueprint.views))
        self.handler = projecting(blueprint.views, blueprint.handler, blueprint.handles)
        """What is done with what others say; settled once the consumer is first asked for."""

    @cached_property
    def consumer(self) -> EventConsumer:
        blueprint, on = self.blueprint, self.infrastructure
        return EventConsumer(
            name=blueprint.name,
            topics=self.topics,
            handles=self.handles,
            handler=self.handler,
            store=on.store,
            bus=on.bus,
            ids=on.ids,
            stopping=on.stopping,
            strict=blueprint.strict,
        )

    def parts(self, *, shares_process: bool = True) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """The worker's parts by name; each runs until stopping, and may be started again."""
        blueprint, on = self.blueprint, self.infrastructure
        relay = Relay(
            on.store,
            on.bus,
            on.stopping,
            shares_process=shares_process,
            topics=self.own_topics,
            halt=self._halt,
        )
        jobs = JobRunner(
            service=blueprint.name,
            timers=blueprint.timers,
            effects=blueprint.effects,
            store=on.store,
            ids=on.ids,
            stopping=on.stopping,
            at_once=blueprint.effects_at_once,
        )
        parts = {"consumer": self.consumer.run, "relay": relay.run, "observer": self.observe}
        if blueprint.timers or blueprint.effects:
            parts["jobs"] = jobs.run
        return parts

    def _halt(self, gone: Sequence[Recorded]) -> None:
        """End this process, whose store was set back; the next start says so and does nothing."""
        halted.tell(self.blueprint.name, gone)
        self.infrastructure.stopping.set()

    def unparking(self, on: Infrastructure | None = None) -> Unparking:
        """What is parked of it, to be taken up by its own handler; `on` is another way in."""
        on = on or self.infrastructure
        return Unparking(
            self.blueprint.name,
            handles=self.handles,
            handler=self.handler,
            store=on.store,
            ids=on.ids,
            strict=self.blueprint.strict,
        )

    def app(self, keys: KeyRing, limits: Limits | None = None) -> FastAPI:
        """The HTTP side; a worker without an API still has health and metrics."""
        blueprint = self.blueprint
        return http_app.create(
            blueprint.name, blueprint.summary, blueprint.routers, self.infrastructure, keys, limits
        )

    async def run_parts(self, *, shares_process: bool = True) -> None:
        """Run the worker's parts until stopping, starting again what fails."""
        stopping, failing = self.infrastructure.stopping, self.infrastructure.failing
        async with asyncio.TaskGroup() as group:
            for name, run in self.parts(shares_process=shares_process).items():
                group.create_task(keep_running(name, run, stopping, failing), name=name)

    async def observe(self) -> None:
        """Keep the gauges true: lag, outbox, due jobs, parked keys."""
        on = self.infrastructure
        while not await on.stopping.wait(OBSERVE_S):
            bounds = await on.bus.bounds(self.topics)
            async with on.store.reading() as reading:
                positions = await reading.inbox.positions(self.blueprint.name)
                outbox = await reading.streams.outbox_backlog()
                parked = await reading.parking.parked_backlog(self.blueprint.name)
                due = await reading.jobs.job_backlog()
            for topic in self.topics:
                behind = sum(
                    max(0, end - positions.get(partition, 0))
                    for partition, (_, end) in bounds.items()
                    if partition.topic == topic
                )
                metrics.CONSUMER_LAG.labels(topic=topic).set(behind)
            metrics.OUTBOX.set(outbox.count)
            metrics.OUTBOX_OLDEST_S.set(outbox.oldest_s)
            metrics.PARKED.set(parked.count)
            metrics.PARKED_OLDEST_S.set(parked.oldest_s)
            for kind in {*self.blueprint.timers, *self.blueprint.effects}:
                backlog = due.get(kind)
                metrics.JOBS_DUE.labels(kind=kind).set(backlog.count if backlog else 0)
                metrics.JOBS_OLDEST_S.labels(kind=kind).set(backlog.oldest_s if backlog else 0)
