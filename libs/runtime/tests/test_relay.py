"""The relay: everything committed reaches the bus, in each stream's order, at least once."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from waybill_events.envelope import Recorded
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime import disowned
from waybill_runtime.adapters.memory.broker import NoFaults
from waybill_runtime.bus import Message
from waybill_runtime.disowned import Disowned
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import keep_running
from waybill_runtime.relay import Relay, message
from waybill_runtime.stored import StreamWrite
from waybill_runtime.testing.world import World, recorded, simulate


async def append(on: Infrastructure, stream: str, version: int, event_id: str = "") -> None:
    fact = ContactPreferenceChanged(customer_ref=stream, channel="email", allowed=True)
    name = f"default/preference/{stream}"
    event = recorded(fact, stream=name, version=version, topic="notifications", key=stream)
    event = replace(event, event_id=event_id or event.event_id)
    async with on.store.transaction() as transaction:
        await transaction.streams.append([StreamWrite(name, version - 1, [event])])


async def on_bus(on: Infrastructure) -> list[str]:
    """Event ids in the order of each partition."""
    found: list[str] = []
    for partition in sorted(await on.bus.bounds(["notifications"])):
        deliveries = await on.bus.read(partition, 0, 1000)
        found += [dict(d.message.headers)["ce_id"].decode() for d in deliveries]
    return found


async def relay(on: Infrastructure, seconds: float, gone: list[str] | None = None) -> None:
    await on.bus.ensure_topics(["notifications"])

    def halt(events: Sequence[Recorded]) -> None:
        (gone if gone is not None else []).extend(event.event_id for event in events)
        on.stopping.set()

    part = Relay(
        on.store,
        on.bus,
        on.stopping,
        shares_process=True,
        topics=["notifications"],
        halt=halt,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(keep_running("relay", part.run, on.stopping))
        await asyncio.sleep(seconds)
        on.stopping.set()


def test_what_is_committed_reaches_the_bus_in_stream_order() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        for version in range(1, 11):
            await append(on, "a", version)
            await append(on, "b", version)
        await relay(on, 5)
        found = await on_bus(on)
        assert len(found) == 20
        for stream in "ab":
            name = f"default/preference/{stream}"
            assert [f for f in found if f.startswith(name)] == [
                f"{name}@{version}" for version in range(1, 11)
            ]
        async with on.store.reading() as reading:
            assert (await reading.streams.outbox_backlog()).count == 0

    simulate(1, main())


class FailsOnce(NoFaults):
    """The bus takes two messages of the first send and then says that it is gone."""

    def __init__(self) -> None:
        self.failures = 1

    def fails_after(self, node: str, messages: Sequence[Message]) -> int | None:
        if self.failures and len(messages) > 2:
            self.failures -= 1
            return 2
        return None


def test_a_send_that_failed_half_way_is_repeated_whole() -> None:
    async def main() -> None:
        world = World()
        world.broker.faults = FailsOnce()
        on = world.infrastructure("db")
        for version in range(1, 6):
            await append(on, "a", version)
        await relay(on, 10)
        found = [f.rpartition("@")[2] for f in await on_bus(on)]
        assert found == ["1", "2", "1", "2", "3", "4", "5"]

    simulate(1, main())


def test_of_two_relays_one_works_and_the_other_takes_over() -> None:
    async def main() -> None:
        world = World()
        first, second = world.infrastructure("db", "first"), world.infrastructure("db", "second")
        await append(first, "a", 1)
        async with first.store.leadership("relay") as leads:
            assert leads
            await relay(second, 5)
            assert await on_bus(second) == []
        await relay(world.infrastructure("db", "third"), 5)
        assert await on_bus(second) == ["default/preference/a@1"]

    simulate(1, main())


def test_a_relay_that_has_lost_the_leadership_publishes_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        leads = True

        async def still_leader(_: str) -> bool:
            return leads

        monkeypatch.setattr(on.store, "still_leader", still_leader)
        await append(on, "a", 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(relay(on, 10))
            await asyncio.sleep(5)
            assert await on_bus(on) == ["default/preference/a@1"]
            leads = False
            await asyncio.sleep(1)
            await append(on, "a", 2)
        assert await on_bus(on) == ["default/preference/a@1"]

    simulate(1, main())


def test_a_busy_relay_looks_whether_it_leads_a_few_times_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        looked: list[float] = []

        async def still_leader(_: str) -> bool:
            looked.append(asyncio.get_running_loop().time())
            return True

        monkeypatch.setattr(on.store, "still_leader", still_leader)
        async with asyncio.TaskGroup() as group:
            group.create_task(relay(on, 10))
            for version in range(1, 801):
                await append(on, "a", version)
                await asyncio.sleep(0.01)
        assert len(await on_bus(on)) == 800
        assert len(looked) <= 51

    simulate(1, main())


@pytest.mark.parametrize("is_ahead", [False, True])
def test_a_relay_whose_store_was_exchanged_for_an_older_one_publishes_nothing_and_halts(
    *, is_ahead: bool
) -> None:
    """Also where the older one has gone on meanwhile, saying other things as versions 2 and 3."""

    async def main() -> None:
        world = World()
        first = world.infrastructure("db")
        for version in (1, 2):
            await append(first, "a", version)
        await relay(first, 5)
        backup = world.infrastructure("backup")
        await append(backup, "a", 1)
        if is_ahead:
            await append(backup, "a", 2, "another")
            await append(backup, "a", 3)
        await append(backup, "b", 1)
        gone: list[str] = []
        await relay(backup, 5, gone)
        assert gone == ["default/preference/a@2"]
        assert await on_bus(first) == [f"default/preference/a@{version}" for version in (1, 2)]

    simulate(1, main())


@pytest.mark.parametrize("is_disowned", [False, True])
def test_a_forgery_in_the_place_of_what_waits_halts_a_relay_until_it_is_disowned(
    *, is_disowned: bool
) -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        await append(on, "a", 1)
        fact = ContactPreferenceChanged(customer_ref="a", channel="email", allowed=False)
        ours = "default/preference/a"
        event = recorded(fact, stream=ours, version=1, topic="notifications", key="a")
        forged = replace(event, event_id="forged")
        await on.bus.ensure_topics(["notifications"])
        await (await on.bus.producer()).send([message(forged)])
        if is_disowned:
            async with on.store.transaction() as transaction:
                await disowned.keep(transaction, Disowned(events=[forged]), "today")
        gone: list[str] = []
        await relay(on, 5, gone)
        assert gone == ([] if is_disowned else ["forged"])
        assert await on_bus(on) == (["forged", f"{ours}@1"] if is_disowned else ["forged"])

    simulate(1, main())


def test_what_was_sent_and_not_marked_halts_no_relay() -> None:
    async def main() -> None:
        world = World()
        first = world.infrastructure("db", "first")
        world.broker.faults = FailsOnce()
        for version in range(1, 6):
            await append(first, "a", version)
        await relay(first, 10)
        async with first.store.transaction() as transaction:
            await transaction.streams.unpublish()
        gone: list[str] = []
        await relay(world.infrastructure("db", "second"), 5, gone)
        assert not gone

    simulate(1, main())
