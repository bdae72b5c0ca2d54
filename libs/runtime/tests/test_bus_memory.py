"""The memory bus against the suite, and what only it can show: faults, leases, repeatability."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from waybill_runtime.adapters.memory.broker import MemoryBroker, NoFaults
from waybill_runtime.adapters.memory.bus import MemoryBus
from waybill_runtime.bus import Bus, BusUnavailable, Message, Partition
from waybill_runtime.clock import SystemClock
from waybill_runtime.testing.bus_conformance import BusConformance
from waybill_runtime.testing.bus_harness import BusHarness, Group, Member, flat, numbered, values


class MemoryHarness(BusHarness):
    patience_s = 5.0
    quiet_s = 0.05

    def __init__(self, faults: NoFaults | None = None, lease_s: float = 0.3) -> None:
        super().__init__()
        self.broker = MemoryBroker(SystemClock(), lease_s=lease_s, faults=faults)
        self._nodes = 0

    async def make_bus(self) -> Bus:
        self._nodes += 1
        return MemoryBus(self.broker, f"node-{self._nodes}")

    async def kill(self, member: Member) -> None:
        """A member that stopped polling is dead to this bus: its lease runs out."""


@pytest.fixture
async def harness() -> AsyncIterator[MemoryHarness]:
    harness = MemoryHarness()
    yield harness
    await harness.close()


class TestMemoryBus(BusConformance):
    pass


async def test_a_killed_node_loses_its_partitions_only_with_its_lease() -> None:
    broker = MemoryBroker(SystemClock(), lease_s=0.2)
    group = Group("g")
    bus = MemoryBus(broker, "killed")
    await bus.ensure_topics(["t"])
    victim, heir = Member(bus, group), Member(MemoryBus(broker, "heir"), group)
    await victim.join(["t"])
    await victim.poll()
    broker.kill("killed")
    await heir.join(["t"])
    await heir.poll()
    assert heir.owned == set()
    with pytest.raises(BusUnavailable):
        await victim.poll()
    await asyncio.sleep(0.25)
    victim.forget()
    await heir.poll()
    assert len(heir.owned) == 12


async def test_a_killed_node_may_leave_at_once_and_come_back() -> None:
    broker = MemoryBroker(SystemClock(), lease_s=60.0)
    group = Group("g")
    await MemoryBus(broker, "n").ensure_topics(["t"])
    victim = Member(MemoryBus(broker, "n"), group)
    await victim.join(["t"])
    await victim.poll()
    broker.kill("n", leaves=True)
    victim.forget()
    again = Member(MemoryBus(broker, "n"), group)
    await again.join(["t"])
    await again.poll()
    assert len(again.owned) == 12
    assert group.violations == []


class LyingBus(NoFaults):
    """Loses the first answer, doubles what is sent, and starts every poll three back."""

    def __init__(self) -> None:
        self.sends = 0

    def fails_after(self, node: str, messages: Sequence[Message]) -> int | None:
        self.sends += 1
        return len(messages) if self.sends == 1 else None

    def copies(self, node: str, message: Message) -> int:
        return 2

    def rewinds(self, node: str, partition: Partition) -> int:
        return 3


async def test_faults_double_messages_and_lose_answers_but_never_messages() -> None:
    harness = MemoryHarness(LyingBus())
    bus, topic, producer = await harness.producer()
    with pytest.raises(BusUnavailable):
        await producer.send(numbered(topic, 4, keys=1))
    await producer.send(numbered(topic, 4, keys=1))
    sent = values(flat(await harness.log(bus, topic)))
    assert sent == [b"0", b"0", b"1", b"1", b"2", b"2", b"3", b"3"] * 2
    member = await harness.member(harness.group(), [topic], runs=False)
    first, second = await member.poll(), await member.poll()
    assert [d.offset for d in first] == list(range(16))
    assert [d.offset for d in second] == [13, 14, 15]
    await harness.close()


class RefusingBus(NoFaults):
    """Refuses one call in three, late."""

    def __init__(self) -> None:
        self.calls = 0

    def delay_s(self, node: str, operation: str) -> float:
        return 0.001

    def refuses(self, node: str, operation: str) -> bool:
        self.calls += 1
        return operation in {"send", "poll"} and self.calls % 3 == 0


async def test_a_refused_send_writes_nothing_and_a_refused_poll_loses_nothing() -> None:
    harness = MemoryHarness(RefusingBus())
    bus, topic, producer = await harness.producer()
    group = harness.group()
    await harness.member(group, [topic])
    acknowledged = 0
    for number in range(60):
        try:
            await producer.send(numbered(topic, 1, start=number))
        except BusUnavailable:
            continue
        acknowledged += 1
    assert 0 < acknowledged < 60
    await harness.until(lambda: len(group.handled) == acknowledged, "all acknowledged arrived")
    assert len(flat(await harness.log(bus, topic))) == acknowledged
    await harness.close()


async def test_a_topic_that_nobody_made_refuses_messages() -> None:
    bus = MemoryBus(MemoryBroker(SystemClock()))
    producer = await bus.producer()
    with pytest.raises(BusUnavailable, match="ensure_topics"):
        await producer.send(numbered("nobody-made-this", 1))
