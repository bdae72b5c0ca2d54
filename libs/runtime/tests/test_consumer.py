"""The consumer: each event once, poison set aside with its key, zombies fenced off."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from waybill_events.envelope import Recorded
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime.adapters.memory.bus import MemoryConsumer
from waybill_runtime.bus import Delivery, Message, Partition
from waybill_runtime.consumer import EventConsumer, Handler, Incoming
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.relay import message
from waybill_runtime.stored import Parked, StoreUnavailable
from waybill_runtime.testing.world import World, delivery, recorded, simulate
from waybill_runtime.work import Work

TYPE = ContactPreferenceChanged.TYPE


class Seen:
    """A handler that notes what it is given, in the store, and fails where it is told to."""

    def __init__(self, poison: Sequence[str] = (), transient: int = 0) -> None:
        self.applied: list[str] = []
        self.batches: list[int] = []
        self._poison = set(poison)
        self._transient = transient

    async def __call__(self, work: Work, batch: Sequence[Incoming]) -> None:
        if self._transient:
            self._transient -= 1
            raise StoreUnavailable("for a moment")
        for incoming in batch:
            if incoming.recorded.event_id in self._poison:
                raise ArithmeticError("cannot be applied")
        await work.transaction.numbers.take_numbers("applied", len(batch))
        self.batches.append(len(batch))
        self.applied += [incoming.recorded.event_id for incoming in batch]


def consumer(on: Infrastructure, handler: Handler, *, strict: bool = True) -> EventConsumer:
    return EventConsumer(
        name="group",
        topics=["notifications"],
        handles=[TYPE],
        handler=handler,
        store=on.store,
        bus=on.bus,
        ids=on.ids,
        stopping=on.stopping,
        strict=strict,
    )


def event(stream: str, version: int, key: str = "k", type_: str = TYPE) -> Recorded:
    fact = ContactPreferenceChanged(customer_ref=key, channel="email", allowed=True)
    return recorded(
        fact, stream=stream, version=version, topic="notifications", key=key, type_=type_
    )


async def take(on: Infrastructure, member: EventConsumer, deliveries: Sequence[Delivery]) -> None:
    await member.assigned(sorted({d.partition for d in deliveries}))
    await member.take(deliveries)


async def parked(on: Infrastructure) -> Sequence[Parked]:
    async with on.store.reading() as reading:
        return await reading.parking.parked("group")


def test_a_batch_is_applied_in_one_transaction() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen()
        batch = [delivery(event(f"s{n}", 1), n) for n in range(50)]
        await take(on, consumer(on, handler), batch)
        assert handler.batches == [50]

    simulate(1, main())


def test_a_redelivery_at_a_known_offset_is_not_applied_again() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen()
        member = consumer(on, handler)
        batch = [delivery(event("s", 1), 0), delivery(event("s", 2), 1)]
        await take(on, member, batch)
        await member.take(batch)
        assert handler.applied == ["s@1", "s@2"]

    simulate(1, main())


def test_a_republished_event_at_a_new_offset_is_not_applied_again() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen()
        batch = [delivery(event("s", 1), 0), delivery(event("s", 1), 1), delivery(event("s", 2), 2)]
        await take(on, consumer(on, handler), batch)
        assert handler.applied == ["s@1", "s@2"]

    simulate(1, main())


def test_a_zombie_applies_nothing_after_another_has_taken_over() -> None:
    async def main() -> None:
        world = World()
        on, other = world.infrastructure("db"), world.infrastructure("db", "other")
        old, new = Seen(), Seen()
        zombie = consumer(on, old)
        batch = [delivery(event("s", 1), 0)]
        await zombie.assigned([batch[0].partition])
        await take(other, consumer(other, new), batch)
        await zombie.take([delivery(event("s", 2), 1)])
        assert old.applied == []
        assert new.applied == ["s@1"]

    simulate(1, main())


OUTCOMES = ("applied", "noted", "duplicate", "parked", "fenced")


def counted() -> dict[str, float]:
    return {
        outcome: REGISTRY.get_sample_value("waybill_consumed_total", {"outcome": outcome}) or 0.0
        for outcome in OUTCOMES
    }


def test_each_delivery_is_counted_once_under_what_became_of_it() -> None:
    async def main() -> None:
        world = World()
        first, second = (world.infrastructure("db", node) for node in ("one", "two"))
        old, new = consumer(first, Seen()), consumer(second, Seen())
        batch = [delivery(event("s", 1), 0), delivery(event("s", 2), 1)]
        again = delivery(event("s", 2), 2)
        steps: list[tuple[EventConsumer, list[Delivery], dict[str, float]]] = [
            (old, batch, {"applied": 2}),
            (old, batch, {"duplicate": 2}),
            (old, [batch[1], again], {"duplicate": 2}),
            (new, [batch[0], delivery(event("s", 3), 3)], {"duplicate": 1, "applied": 1}),
            (old, [delivery(event("s", 4), 4)], {"fenced": 1}),
        ]
        await old.assigned([batch[0].partition])
        for member, deliveries, became in steps:
            if member is new:
                await new.assigned([batch[0].partition])
            before = counted()
            await member.take(deliveries)
            after = counted()
            assert {name: after[name] - before[name] for name in OUTCOMES} == {
                **dict.fromkeys(OUTCOMES, 0),
                **became,
            }

    simulate(1, main())


def test_poison_parks_its_key_and_everything_behind_it_and_nothing_else() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen(poison=["bad@2"])
        stream = [event("bad", 1, "bad"), event("good", 1, "good"), event("bad", 2, "bad")]
        stream += [event("bad", 3, "bad"), event("good", 2, "good"), event("other", 1, "bad")]
        batch = [delivery(e, at) for at, e in enumerate(stream)]
        await take(on, consumer(on, handler), batch)
        assert handler.applied == ["bad@1", "good@1", "good@2"]
        kept = await parked(on)
        assert [(p.key, p.offset) for p in kept] == [("bad", 2), ("bad", 3), ("bad", 5)]
        assert "ArithmeticError" in kept[0].reason

    simulate(1, main())


def test_one_poison_in_a_batch_costs_few_transactions_and_changes_no_order() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen(poison=["s9@3"])
        events = [event(f"s{n}", at, f"k{n}") for at in range(1, 6) for n in range(50)]
        await take(on, consumer(on, handler), [delivery(e, at) for at, e in enumerate(events)])
        assert handler.applied == [e.event_id for e in events if e.stream != "s9" or e.version < 3]
        assert [(p.key, p.offset) for p in await parked(on)] == [
            ("k9", at) for at, e in enumerate(events) if e.stream == "s9" and e.version >= 3
        ]
        assert len(handler.batches) <= 8, "one for each halving of 250"

    simulate(1, main())


def test_an_event_that_skips_a_version_is_parked_not_applied() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen()
        batch = [delivery(event("s", 1), 0), delivery(event("s", 3), 1)]
        await take(on, consumer(on, handler), batch)
        assert handler.applied == ["s@1"]
        assert [p.reason for p in await parked(on)] == ["Gap: s is at 1, this is 3"]

    simulate(1, main())


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("k" * 20_000, "k" * 200 + "~" + hashlib.sha256(b"k" * 20_000).hexdigest()),
    ],
)
def test_a_key_that_no_database_would_keep_is_parked_under_a_readable_one(
    key: str, kept: str
) -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen()
        bad = Delivery(Message("notifications", key, b"{}", ()), Partition("notifications", 0), 0)
        await take(on, consumer(on, handler), [bad])
        assert [p.key for p in await parked(on)] == [kept]

    simulate(1, main())


@pytest.mark.parametrize(
    "broken",
    [
        Message("notifications", "k", b"{}", ()),
        Message("notifications", "k", b"\xff\xfe", (("ce_id", b"\xff"),)),
    ],
)
def test_a_message_that_is_no_event_is_parked(broken: Message) -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen()
        good = delivery(event("s", 1), 1)
        bad = Delivery(broken, Partition("notifications", good.partition.number), 0)
        await take(on, consumer(on, handler), [bad, delivery(event("t", 1, "other"), 0), good])
        kept = await parked(on)
        assert kept[0].value == broken.value
        assert "t@1" in handler.applied

    simulate(1, main())


def test_what_is_parked_keeps_the_tenant_of_its_event_where_it_has_one() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen(poison=["bad@1"])
        good = delivery(replace(event("bad", 1), tenant="other"), 0)
        behind = delivery(replace(event("s", 1), tenant="third"), 1)
        odd = Delivery(Message("notifications", "k", b"{}", ()), good.partition, 2)
        await take(on, consumer(on, handler), [good, behind, odd])
        assert [p.tenant for p in await parked(on)] == ["other", "third", "default"]

    simulate(1, main())


def test_data_that_its_model_refuses_is_parked() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen()
        bad = replace(event("s", 1), data='{"customer_ref": 7}')
        await take(on, consumer(on, handler), [delivery(bad, 0)])
        assert handler.applied == []
        assert (
            "InvalidEvent" in (await parked(on))[0].reason
            or "Poison" in (await parked(on))[0].reason
        )

    simulate(1, main())


def test_an_unknown_type_is_poison_for_rules_and_nothing_to_views() -> None:
    async def main() -> None:
        newer = event("s", 1, type_="notification.written_tomorrow.v1")
        on = World().infrastructure("db")
        await take(on, consumer(on, Seen()), [delivery(newer, 0)])
        assert len(await parked(on)) == 1
        on = World().infrastructure("db")
        handler = Seen()
        await take(
            on,
            consumer(on, handler, strict=False),
            [delivery(newer, 0), delivery(event("s", 2), 1)],
        )
        assert await parked(on) == []
        assert handler.applied == ["s@2"]

    simulate(1, main())


def test_trouble_of_the_store_is_waited_out_and_parks_nothing() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen(transient=5)
        await take(on, consumer(on, handler), [delivery(event("s", 1), 0)])
        assert handler.applied == ["s@1"]
        assert await parked(on) == []

    simulate(1, main())


def test_each_tenant_of_a_batch_gets_a_work_of_its_own() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        given: list[tuple[str, list[str]]] = []

        async def note(work: Work, batch: Sequence[Incoming]) -> None:
            given.append((work.tenant, [incoming.recorded.tenant for incoming in batch]))

        tenants = ["default", "other", "default"]
        batch = [
            delivery(replace(event(f"s{n}", 1), tenant=tenant), n)
            for n, tenant in enumerate(tenants)
        ]
        await take(on, consumer(on, note), batch)
        assert given == [("default", ["default", "default"]), ("other", ["other"])]

    simulate(1, main())


async def a_busy_second(on: Infrastructure, handler: Handler) -> None:
    """A hundred events in a second, through the bus, and as long again to take the last."""
    await on.bus.ensure_topics(["notifications"])
    producer = await on.bus.producer()
    async with asyncio.TaskGroup() as group:
        group.create_task(consumer(on, handler).run())
        for number in range(100):
            await producer.send([message(event(f"s{number}", 1))])
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        on.stopping.set()


def test_who_is_long_at_work_takes_more_at_once() -> None:
    async def main() -> None:
        on, seen = World().infrastructure("db"), Seen()

        async def slow(work: Work, batch: Sequence[Incoming]) -> None:
            await asyncio.sleep(0.04)
            await seen(work, batch)

        await a_busy_second(on, slow)
        assert len(seen.applied) == 100
        assert len(seen.batches) <= 16

    simulate(1, main())


def test_the_bus_is_told_how_far_we_are_now_and_then_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        on, told = World().infrastructure("db"), 0
        commit = MemoryConsumer.commit

        async def counted(self: MemoryConsumer, offsets: Mapping[Partition, int]) -> None:
            nonlocal told
            told += 1
            await commit(self, offsets)

        monkeypatch.setattr(MemoryConsumer, "commit", counted)
        await a_busy_second(on, Seen())
        assert 1 <= told <= 4
        ends = {p: end for p, (_, end) in (await on.bus.bounds(["notifications"])).items() if end}
        broker = getattr(on.bus, "_broker")  # noqa: B009 - what it was told is for its displays
        assert broker.committed("group") == ends

    simulate(1, main())
