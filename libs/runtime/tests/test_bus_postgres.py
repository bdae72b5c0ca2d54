"""The Postgres bus against the suite, and its own traps: gaps, commit order, idle cost, schema."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from waybill_runtime.adapters.postgres import bus_schema
from waybill_runtime.adapters.postgres.bus import PostgresBus
from waybill_runtime.adapters.postgres.bus_codec import pack, unpack
from waybill_runtime.adapters.postgres.bus_membership import Membership
from waybill_runtime.bus import (
    Bus,
    BusTruncated,
    BusUnavailable,
    Message,
    Partition,
    partition_of,
)
from waybill_runtime.clock import SystemClock
from waybill_runtime.ids import RandomIds
from waybill_runtime.testing.bus_conformance import BusConformance
from waybill_runtime.testing.bus_harness import (
    BusHarness,
    Member,
    Owning,
    flat,
    numbered,
    values,
)

pytestmark = pytest.mark.postgres

CLOCK = SystemClock()
IDS = RandomIds(CLOCK)


class PostgresHarness(BusHarness):
    patience_s = 15.0
    quiet_s = 0.3

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.dsn = dsn

    async def make_bus(self) -> Bus:
        return PostgresBus(self.dsn, CLOCK, IDS, lease_s=1.5)

    async def kill(self, member: Member) -> None:
        """A member that stopped polling is dead to this bus: its lease runs out."""

    async def run(self, sql: str, *arguments: object) -> list[Any]:
        """One statement from outside, on a connection of its own."""
        connection = await asyncpg.connect(self.dsn, timeout=5)
        try:
            return list(await connection.fetch(sql, *arguments))
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def bus_dsn(postgres: Any) -> str:
    postgres.create_database("bus_suite")
    return str(postgres.dsn("bus_suite"))


@pytest.fixture
async def harness(bus_dsn: str) -> AsyncIterator[PostgresHarness]:
    harness = PostgresHarness(bus_dsn)
    yield harness
    await harness.close()


class TestPostgresBus(BusConformance):
    pass


async def test_the_schema_may_be_made_by_many_at_once(harness: PostgresHarness) -> None:
    await harness.run("DROP SCHEMA IF EXISTS many CASCADE")
    await harness.run("CREATE SCHEMA many")

    async def make() -> None:
        connection = await asyncpg.connect(
            harness.dsn, timeout=5, server_settings={"search_path": "many"}
        )
        try:
            await bus_schema.create_schema(connection)
        finally:
            await connection.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(make())
    tables = await harness.run("SELECT tablename FROM pg_tables WHERE schemaname = 'many'")
    assert len(tables) == 4


async def test_rolled_back_sends_leave_no_gap(harness: PostgresHarness) -> None:
    bus, topic, producer = await harness.producer()
    bad = Message(topic="nobody-made-this", key="k", value=b"v")
    for start in range(0, 40, 4):
        await producer.send(numbered(topic, 4, keys=1, start=start))
        with pytest.raises(BusUnavailable, match="ensure_topics"):
            await producer.send([*numbered(topic, 4, keys=1, start=9_000), bad])
    partition = await harness.only_partition(bus, topic)
    assert [d.offset for d in await bus.read(partition, 0, 100)] == list(range(40))


async def test_cancelled_sends_leave_no_gap_and_tear_no_batch(harness: PostgresHarness) -> None:
    bus, topic, producer = await harness.producer()
    loop = asyncio.get_running_loop()
    for turn in range(40):
        send = loop.create_task(producer.send(numbered(topic, 50, keys=1, start=turn * 50)))
        await asyncio.sleep(0.0004 * turn)
        send.cancel()
        await asyncio.gather(send, return_exceptions=True)
    await producer.send(numbered(topic, 1, keys=1, start=9_999))
    partition = await harness.only_partition(bus, topic)
    found = await bus.read(partition, 0, 10_000)
    assert [d.offset for d in found] == list(range(len(found)))
    numbers = [int(d.message.value) for d in found[:-1]]
    assert len(numbers) % 50 == 0
    assert all(numbers[at] + 1 == numbers[at + 1] for at in range(len(numbers)) if at % 50 < 49)


async def test_an_offset_becomes_visible_only_after_all_before_it(harness: PostgresHarness) -> None:
    """A reader that stands at the end never has to look back: no commit appears behind it."""
    bus, topic, producer = await harness.producer()
    await producer.send(numbered(topic, 1, keys=1))
    partition = await harness.only_partition(bus, topic)
    writing = True

    async def write(writer: int) -> None:
        own = await (await harness.bus()).producer()
        for step in range(30):
            await own.send(numbered(topic, 3, keys=1, start=writer * 1_000 + step * 3))

    async def follow() -> list[int]:
        seen: list[int] = []
        while writing or (await bus.bounds([topic]))[partition][1] > len(seen):
            seen += [d.offset for d in await bus.read(partition, len(seen), 100)]
        return seen

    async with asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(follow())
        writers = [tasks.create_task(write(writer)) for writer in range(4)]
        await asyncio.gather(*writers)
        writing = False
    assert follower.result() == list(range(1 + 4 * 90))


async def test_a_send_waits_for_one_that_holds_its_partition_and_comes_after_it(
    harness: PostgresHarness,
) -> None:
    bus, topic, producer = await harness.producer()
    await producer.send(numbered(topic, 1, keys=1))
    holder = await asyncpg.connect(harness.dsn, timeout=5)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute(
        "UPDATE bus_partition SET next_offset = next_offset + 1 WHERE topic = $1", topic
    )
    send = asyncio.get_running_loop().create_task(
        producer.send(numbered(topic, 1, keys=1, start=1))
    )
    await asyncio.sleep(0.2)
    assert not send.done()
    await transaction.rollback()
    await holder.close()
    await send
    partition = await harness.only_partition(bus, topic)
    assert [d.offset for d in await bus.read(partition, 0, 10)] == [0, 1]


async def test_sends_over_the_same_partitions_in_other_orders_never_deadlock(
    harness: PostgresHarness,
) -> None:
    bus, topic = await harness.topic()
    messages = numbered(topic, 120, keys=60)

    async def send(own: list[Message]) -> None:
        producer = await (await harness.bus()).producer()
        for _ in range(15):
            await producer.send(own)

    async with asyncio.TaskGroup() as tasks:
        for own in (messages, messages[::-1], messages[1::2] + messages[::2]):
            tasks.create_task(send(own))
    assert len(flat(await harness.log(bus, topic))) == 3 * 15 * 120


async def test_an_idle_group_reads_no_log(harness: PostgresHarness) -> None:
    _, topic, producer = await harness.producer()
    await producer.send(numbered(topic, 24))
    group = harness.group()
    member = await harness.member(group, [topic])
    await harness.until(lambda: len(group.handled) == 24, "all 24 arrived")
    await member.freeze()
    count = "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) AS scans FROM pg_stat_user_tables"
    wait = "SELECT pg_stat_force_next_flush()"
    await member.poll(timeout_s=1.2)
    await asyncio.sleep(1.1)
    await harness.run(wait)
    before = await harness.run(f"{count} WHERE relname = 'bus_log'")
    for _ in range(4):
        await member.poll(timeout_s=0.3)
    await asyncio.sleep(1.1)
    await harness.run(wait)
    assert await harness.run(f"{count} WHERE relname = 'bus_log'") == before


async def test_a_member_whose_lease_lapsed_is_told_before_it_reads_on(
    harness: PostgresHarness,
) -> None:
    _, topic, producer = await harness.producer()
    await producer.send(numbered(topic, 24))
    group = harness.group()
    sleeper = await harness.member(group, [topic], runs=False)
    await harness.poll_until(sleeper, 24)
    assert len(sleeper.owned) == 12
    await asyncio.sleep(2.0)
    group.owners.clear()
    heir = await harness.member(group, [topic])
    await harness.settled(heir)
    await producer.send(numbered(topic, 24, start=24))
    await harness.until(lambda: len(heir.handled) == 24, "the heir got the second half")
    before = len(sleeper.handled)
    await sleeper.poll()
    assert len(sleeper.revocations) >= 1
    assert len(sleeper.handled) == before


async def test_who_starts_in_the_place_of_a_killed_one_waits_for_no_lease(
    harness: PostgresHarness,
) -> None:
    """The second of one place has everything within seconds of an hour's lease; a third member,
    in a place of its own, takes nothing away from either but its share.
    """
    _, topic, _ = await harness.producer()
    group = f"group-{topic}"

    async def joined(place: str) -> tuple[PostgresBus, set[Partition]]:
        bus = PostgresBus(harness.dsn, CLOCK, IDS, lease_s=3600, instance=place)
        listener = Owning()
        member = await bus.consumer(group, [topic], listener)
        await member.poll(max_messages=1, timeout_s=0.1)
        return bus, listener.owned

    killed, before = await joined("here:1")
    assert len(before) == 12
    heir, owned = await joined("here:1")
    assert len(owned) == 12
    other, none_free = await joined("here:11")
    assert none_free == set()
    members = await harness.run("SELECT member FROM bus_member WHERE grp = $1", group)
    assert sorted(row[0].partition("/")[0] for row in members) == ["here:1", "here:11"]
    for bus in (killed, heir, other):
        await bus.close()


async def test_a_log_cut_at_the_front_is_reported_not_skipped(harness: PostgresHarness) -> None:
    bus, topic, producer = await harness.producer()
    await producer.send(numbered(topic, 10, keys=1))
    partition = await harness.only_partition(bus, topic)
    await harness.run('DELETE FROM bus_log WHERE topic = $1 AND "offset" < 4', topic)
    assert (await bus.bounds([topic]))[partition] == (4, 10)
    member = await harness.member(harness.group(), [topic], runs=False)
    with pytest.raises(BusTruncated) as found:
        await harness.poll_until(member, 1)
    assert (found.value.partition, found.value.position) == (partition, 0)
    assert member.handled == []


async def test_a_lost_connection_costs_one_call_and_no_message(harness: PostgresHarness) -> None:
    bus, topic, producer = await harness.producer()
    group = harness.group()
    await harness.member(group, [topic])
    for number in range(0, 30, 10):
        await producer.send(numbered(topic, 10, start=number))
        await harness.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'waybill bus%'"
        )
        await asyncio.sleep(0.05)
    await harness.until(lambda: len(set(group.values())) == 30, "all 30 arrived")
    assert len(values(flat(await harness.log(bus, topic)))) == 30


async def test_a_bus_without_a_server_is_unavailable_within_its_deadlines() -> None:
    bus = PostgresBus("postgresql://nobody:x@127.0.0.1:1/none", CLOCK, IDS)
    producer = await bus.producer()
    async with asyncio.timeout(8.0):
        with pytest.raises(BusUnavailable):
            await bus.ping()
        with pytest.raises(BusUnavailable):
            await producer.send(numbered("t", 1))
        await bus.close()


def test_headers_survive_their_column() -> None:
    headers = (("a", b""), ("ce_id", b"\x00\xff"), ("a", b"again"))
    assert unpack(pack(headers)) == headers
    assert unpack(pack(())) == ()


async def test_members_that_share_fairly_change_nothing_any_more(
    harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, topic = await harness.topic()
    group = harness.group()
    first = await harness.member(group, [topic])
    await harness.settled(first)
    second = await harness.member(group, [topic])
    await harness.settled(first, second)
    changes: list[str] = []
    settle = Membership.settle

    async def counted(it: Membership, connection: Any, release: Any) -> None:
        changes.append(it.member)
        await settle(it, connection, release)

    await asyncio.sleep(0.5)  # what was under way may end
    monkeypatch.setattr(Membership, "settle", counted)
    await asyncio.sleep(1.5)  # four beats of each
    assert changes == []


async def test_a_log_cut_behind_a_reader_stops_that_partition_and_says_so(
    harness: PostgresHarness,
) -> None:
    """A bus that was restored to an earlier moment while members read it (reliability F4)."""
    _, topic, producer = await harness.producer()
    await producer.send(numbered(topic, 48))
    group = harness.group()
    member = await harness.member(group, [topic])
    await harness.until(lambda: len(group.handled) == 48, "all 48 arrived")
    cut = Partition(topic, partition_of("key-0"))
    ended = group.positions[cut]
    for sql in (
        "DELETE FROM bus_log WHERE topic = $1 AND partition = $2",
        "UPDATE bus_partition SET next_offset = 0 WHERE topic = $1 AND partition = $2",
    ):
        await harness.run(sql, topic, cut.number)
    await harness.until(lambda: len(member.truncations) > 0, "it was reported")
    assert [(e.partition, e.position, e.end) for e in member.truncations] == [(cut, ended, 0)]
    others = [m for m in numbered(topic, 24) if partition_of(m.key) != cut.number]
    await producer.send(numbered(topic, 24))
    await harness.until(lambda: len(group.handled) >= 48 + len(others), "the others read on")
    assert len(member.truncations) == 1
