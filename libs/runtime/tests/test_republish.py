"""A bus that was lost is given its events again, while services work."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waybill_events import envelope
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime.consumer import EventConsumer, Incoming
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import keep_running
from waybill_runtime.relay import Relay
from waybill_runtime.republish import RelayAtWork, republish, unsent
from waybill_runtime.stored import StoreUnavailable, StreamWrite
from waybill_runtime.testing.world import World, recorded, simulate
from waybill_runtime.work import Work

TYPE = ContactPreferenceChanged.TYPE
TOPIC = "notifications"
STREAMS = 7


class Shop:
    """`source` publishes, `reader` applies: real relay and consumer, one broker."""

    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed)
        self.source = self.world.infrastructure("source")
        self.reader = self.world.infrastructure("reader")
        self.applied: list[str] = []
        self._versions: Counter[str] = Counter()

    async def say(self, count: int) -> None:
        """So many more events, over all streams."""
        for number in range(count):
            name = f"default/preference/{number % STREAMS}"
            before = self._versions[name]
            self._versions[name] += 1
            fact = ContactPreferenceChanged(customer_ref=name, channel="email", allowed=True)
            event = recorded(fact, stream=name, version=before + 1, topic=TOPIC, key=name)
            async with self.source.store.transaction() as transaction:
                await transaction.streams.append([StreamWrite(name, before, [event])])

    async def _apply(self, _: Work, batch: Sequence[Incoming]) -> None:
        self.applied += [incoming.recorded.event_id for incoming in batch]

    async def live(self, on: Infrastructure, role: str) -> None:
        if role == "relay":
            part = Relay(on.store, on.bus, on.stopping, shares_process=True).run
        else:
            part = EventConsumer(
                name="reader",
                topics=[TOPIC],
                handles=[TYPE],
                handler=self._apply,
                store=on.store,
                bus=on.bus,
                ids=on.ids,
                stopping=on.stopping,
            ).run
        await keep_running(role, part, on.stopping)

    async def republish(self, *, away: str = "") -> int:
        """As an operator does it, in a process of its own, with one store `away` or none."""
        stores = {
            name: self.world.infrastructure(name, "operator").store for name in ("source", "reader")
        }
        if away:
            await stores[away].close()
        told = await republish(
            stores,
            self.world.infrastructure("reader", "operator").bus,
            self.world.ids,
            publishers={"source": [TOPIC]},
            subscriptions={"reader": [TOPIC]},
        )
        return sum(told.named.values())

    async def on_bus(self) -> list[tuple[str, int]]:
        found = []
        for partition, (first, end) in (await self.reader.bus.bounds([TOPIC])).items():
            for delivery in await self.reader.bus.read(partition, first, end - first):
                sent = delivery.message
                event = envelope.from_message(TOPIC, sent.headers, sent.value)
                found.append((event.stream, event.version))
        return found

    def said(self) -> set[str]:
        return {f"{name}@{v}" for name, n in self._versions.items() for v in range(1, n + 1)}


def in_sequence(found: Sequence[tuple[str, int]]) -> bool:
    """No version comes on the bus before the one that it follows."""
    last: Counter[str] = Counter()
    for stream, version in found:
        if version > last[stream] + 1:
            return False
        last[stream] = max(last[stream], version)
    return True


async def lose_and_republish(shop: Shop, before: int, strays: int, after: int) -> None:
    await shop.source.bus.ensure_topics([TOPIC])
    async with asyncio.TaskGroup() as group:
        group.create_task(shop.live(shop.source, "relay"))
        group.create_task(shop.live(shop.reader, "consumer"))
        await shop.say(before)
        await asyncio.sleep(3)
        await shop.say(before)  # some of it is applied, some only sent, some not even that
        await asyncio.sleep(0.3)
        shop.world.broker.lose()
        await shop.say(strays)  # the relay knows nothing of it
        await asyncio.sleep(2)
        await shop.republish()
        await shop.say(after)
        await asyncio.sleep(60)
        shop.source.stopping.set()
        shop.reader.stopping.set()


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(1, 10_000),
    before=st.integers(1, 40),
    strays=st.integers(0, 30),
    after=st.integers(0, 20),
)
def test_after_a_lost_bus_each_event_is_applied_once_and_the_log_is_whole(
    seed: int, before: int, strays: int, after: int
) -> None:
    async def main() -> None:
        shop = Shop(seed)
        await lose_and_republish(shop, before, strays, after)
        found = await shop.on_bus()
        assert in_sequence(found)
        assert {f"{stream}@{version}" for stream, version in found} == shop.said()
        async with shop.reader.store.reading() as reading:
            parked = await reading.parking.parked("reader")
            seen = await reading.inbox.seen("reader", {stream for stream, _ in found})
        assert Counter(shop.applied).most_common(1)[0][1] == 1
        waiting = {f"{p.key}" for p in parked}
        assert all(
            seen[stream] == version or stream in waiting
            for stream, version in Counter(stream for stream, _ in {*found}).items()
        )

    simulate(seed, main())


def test_a_consumer_that_stood_beyond_the_new_end_reads_on_by_itself() -> None:
    async def main() -> None:
        shop = Shop()
        await lose_and_republish(shop, before=40, strays=0, after=5)
        assert sorted(shop.applied) == sorted(shop.said())

    simulate(1, main())


def test_a_republish_that_died_half_way_is_simply_run_again() -> None:
    async def main() -> None:
        shop = Shop()
        await shop.source.bus.ensure_topics([TOPIC])
        await shop.say(20)
        shop.world.broker.lose()
        assert await shop.republish() == 20
        assert await shop.republish() == 20
        assert await unsent([shop.source.store]) == 20 + 20  # once again, before what waited
        async with asyncio.TaskGroup() as group:
            group.create_task(shop.live(shop.source, "relay"))
            group.create_task(shop.live(shop.reader, "consumer"))
            await asyncio.sleep(30)
            shop.source.stopping.set()
            shop.reader.stopping.set()
        assert sorted(shop.applied) == sorted(shop.said())

    simulate(1, main())


def test_nothing_is_named_before_every_consumer_is_placed() -> None:
    """A relay sends what is named at once: who is placed after that begins behind it."""

    async def main() -> None:
        shop = Shop()
        await shop.source.bus.ensure_topics([TOPIC])
        await shop.say(3)
        with pytest.raises(StoreUnavailable):
            await shop.republish(away="reader")
        assert await unsent([shop.source.store]) == 3

    simulate(1, main())


def test_nothing_is_changed_while_a_relay_does_not_give_way() -> None:
    async def main() -> None:
        shop = Shop()
        await shop.say(3)
        async with shop.source.store.leadership("relay") as leads:
            assert leads
            with pytest.raises(RelayAtWork):
                await shop.republish()
        assert await unsent([shop.source.store]) == 3

    simulate(1, main())
