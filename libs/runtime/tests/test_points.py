"""Points: each durable action has one before and one after it, on stores and buses as they are."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import timedelta

import pytest

from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime.consumer import EventConsumer
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.jobs import JobRunner, Outcome
from waybill_runtime.lifecycle import keep_running
from waybill_runtime.relay import Relay
from waybill_runtime.stored import (
    ClaimedJob,
    CommitUnknown,
    Document,
    Job,
    StoreUnavailable,
    StreamWrite,
)
from waybill_runtime.testing.points import Point, watch, watched
from waybill_runtime.testing.world import World, recorded, simulate
from waybill_runtime.transact import transact
from waybill_runtime.work import Work

Main = Callable[[Infrastructure, list[str]], Coroutine[None, None, None]]


def seen(main: Main, *, fails_at: str = "") -> list[str]:
    """What points a service passes, as `<moment> <label>`; at one of them its port fails."""
    passed: list[str] = []

    async def hook(point: Point) -> None:
        passed.append(f"{point.moment} {point.label}")
        if passed[-1] == fails_at:
            raise point.error("injected")

    async def run() -> None:
        await main(watch(World().infrastructure("db"), "shop", hook), passed)

    simulate(1, run())
    return passed


async def put(on: Infrastructure, key: str = "a") -> None:
    async with on.store.transaction() as transaction:
        await transaction.documents.put("default", "notes", {key: Document("{}")})


async def count(on: Infrastructure) -> int:
    async with on.store.reading() as reading:
        return len(await reading.documents.find("default", "notes", {}, limit=10))


def test_a_transaction_that_wrote_has_a_point_on_both_sides_named_after_its_caller() -> None:
    async def main(on: Infrastructure, _: list[str]) -> None:
        await put(on)

    assert seen(main) == ["before shop/test_points.put", "after shop/test_points.put"]


def test_a_transaction_that_only_looked_has_none() -> None:
    async def main(on: Infrastructure, _: list[str]) -> None:
        async with on.store.transaction() as transaction:
            await transaction.documents.get("default", "notes", ["a"])

    assert seen(main) == []


def test_a_transaction_is_named_after_who_wanted_it_and_not_after_who_retries_it() -> None:
    async def main(on: Infrastructure, _: list[str]) -> None:
        await transact(on.store, on.ids, lambda t: t.documents.drop("default", "notes", ["a"]))

    assert seen(main)[0] == "before shop/test_points.main"


def test_a_failure_before_rolls_back_and_one_after_leaves_what_was_committed() -> None:
    async def failing(on: Infrastructure, _: list[str]) -> None:
        with pytest.raises((StoreUnavailable, CommitUnknown)):
            await put(on)
        _.append(str(await count(on)))

    assert seen(failing, fails_at="before shop/test_points.put")[-1] == "0"
    assert seen(failing, fails_at="after shop/test_points.put")[-1] == "1"


def test_the_parts_of_a_service_are_told_apart_by_what_they_do() -> None:
    fact = ContactPreferenceChanged(customer_ref="c", channel="email", allowed=True)
    event = recorded(fact, stream="default/preference/c", version=1, topic="notifications")

    async def handle(work: Work, batch: object) -> None:
        due = Job(
            id="j", tenant="default", kind="shop.call", due_at=work.now, payload=json.dumps({})
        )
        work.schedule([due])

    async def call(job: ClaimedJob) -> Outcome:
        return Outcome()

    async def main(on: Infrastructure, _: list[str]) -> None:
        await on.bus.ensure_topics(["notifications"])
        async with on.store.transaction() as transaction:
            await transaction.streams.append([StreamWrite(event.stream, 0, [event])])
        relay = Relay(on.store, on.bus, on.stopping, shares_process=True)
        consumer = EventConsumer(
            name="shop",
            topics=["notifications"],
            handles={fact.TYPE},
            handler=handle,
            store=on.store,
            bus=on.bus,
            ids=on.ids,
            stopping=on.stopping,
        )
        jobs = JobRunner(
            service="shop",
            timers={},
            effects={"shop.call": call},
            store=on.store,
            ids=on.ids,
            stopping=on.stopping,
        )
        async with asyncio.TaskGroup() as group:
            for run in (relay.run, consumer.run, jobs.run):
                group.create_task(keep_running("part", run, on.stopping))
            await asyncio.sleep(timedelta(seconds=5).total_seconds())
            on.stopping.set()

    passed = seen(main)
    for label in (
        "relay.run leadership",
        "relay.publish",
        "relay.mark",
        "consumer.take",
        "consumer.apply notifications",
        "consumer.acknowledge",
        "jobs.claim shop.call",
        "jobs.record shop.call",
    ):
        assert passed.count(f"before shop/{label}") == 1, label
        assert passed.count(f"after shop/{label}") == 1, label


def test_a_port_outside_has_points_around_each_call_and_keeps_what_is_none() -> None:
    passed: list[str] = []

    class Shouting:
        said = "nothing"

        async def say(self, word: str) -> str:
            self.said = word
            return word.upper()

        async def close(self) -> None:
            return None

    async def hook(point: Point) -> None:
        passed.append(f"{point.moment} {point.label}")
        if point.moment == "after":
            raise point.error("no answer")

    async def main() -> None:
        port = watched(Shouting(), "shop/port", hook, error=ConnectionError)
        with pytest.raises(ConnectionError):
            await port.say("ay")
        await port.close()
        assert port.said == "ay"

    simulate(1, main())
    assert passed == ["before shop/port.say", "after shop/port.say"]
