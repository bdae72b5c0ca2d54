"""Read models: kept exactly, rebuilt beside the live one, compared, switched."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter

from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime.consumer import EventConsumer
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.projector import View, projecting
from waybill_runtime.rebuild import Comparison, Rebuild
from waybill_runtime.relay import message
from waybill_runtime.stored import Document
from waybill_runtime.testing.world import World, recorded, simulate

TYPE = ContactPreferenceChanged.TYPE


@dataclass(frozen=True)
class Counted:
    events: int


def _count(view: Counted | None, _: Recorded, __: Event) -> Counted:
    return Counted((view.events if view else 0) + 1)


def _attributes(view: Counted) -> Mapping[str, str]:
    return {"odd": str(view.events % 2)}


COUNTS: View[Counted] = View(
    name="counts",
    model=TypeAdapter(Counted),
    handles=frozenset({TYPE}),
    topics=("notifications",),
    key=lambda recorded, _: recorded.key,
    project=_count,
    attributes=_attributes,
)


async def send(on: Infrastructure, keys: str, version: int, copies: int = 1) -> None:
    producer = await on.bus.producer()
    fact = ContactPreferenceChanged(customer_ref="c", channel="email", allowed=True)
    events = [
        recorded(fact, stream=f"s/{key}", version=version, topic="notifications", key=key)
        for key in keys
    ]
    await producer.send([message(event) for event in events for _ in range(copies)])
    await producer.close()


async def counts(on: Infrastructure) -> dict[str, int]:
    async with on.store.reading() as reading:
        found = await reading.documents.get("default", "counts", "abcdef")
    return {key: COUNTS.model.validate_json(d.body).events for key, d in found.items()}


def consumer(on: Infrastructure) -> EventConsumer:
    return EventConsumer(
        name="group",
        topics=["notifications"],
        handles=[TYPE],
        handler=projecting([COUNTS]),
        store=on.store,
        bus=on.bus,
        ids=on.ids,
        stopping=on.stopping,
    )


async def rebuild(on: Infrastructure, *, switch: bool) -> Comparison:
    build = Rebuild(COUNTS, consumer="group", store=on.store, bus=on.bus, ids=on.ids, switch=switch)
    async for _ in build.run():
        pass
    assert build.comparison is not None
    return build.comparison


def test_a_rebuild_beside_a_living_view_ends_equal_and_reads_go_on() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        await on.bus.ensure_topics(["notifications"])
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer(on).run())

            async def orders_flow() -> None:
                for version in range(1, 41):
                    await send(on, "abc", version, copies=2)
                    await asyncio.sleep(0.05)

            flow = group.create_task(orders_flow())
            lowest = 0
            for _ in range(3):
                await asyncio.sleep(0.4)
                comparison = await rebuild(on, switch=True)
                assert comparison.equal
                now = (await counts(on)).get("a", 0)
                assert now >= lowest
                lowest = now
            await flow
            await asyncio.sleep(1)
            on.stopping.set()
        assert await counts(on) == {"a": 40, "b": 40, "c": 40}
        assert comparison.generation == 4

    for seed in range(5):
        simulate(seed, main())


def test_a_view_that_was_tampered_with_is_found_out_and_mended_by_a_rebuild() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        await on.bus.ensure_topics(["notifications"])
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer(on).run())
            await send(on, "ab", 1)
            await asyncio.sleep(1)
            on.stopping.set()
        async with on.store.transaction() as transaction:
            await transaction.documents.put("default", "counts", {"a": Document('{"events":7}', 1)})
        assert not (await rebuild(on, switch=False)).equal
        assert (await counts(on))["a"] == 7
        assert not (await rebuild(on, switch=True)).equal
        assert (await counts(on))["a"] == 1
        assert (await rebuild(on, switch=False)).equal

    simulate(1, main())


def test_views_are_found_by_their_attributes() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        await on.bus.ensure_topics(["notifications"])
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer(on).run())
            await send(on, "ab", 1)
            await send(on, "a", 2)
            await asyncio.sleep(1)
            on.stopping.set()
        async with on.store.reading() as reading:
            found = await reading.documents.find("default", "counts", {"odd": "1"})
        assert [key for key, _ in found] == ["b"]

    simulate(1, main())
