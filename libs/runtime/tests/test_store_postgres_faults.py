"""The traps of Postgres and asyncpg, each met on purpose (reliability parts 0 and 4.2)."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator

import asyncpg
import pytest

from waybill_runtime.adapters.postgres import connections
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.clock import SystemClock
from waybill_runtime.stored import (
    Committed,
    CommitUnknown,
    LockTimeout,
    StoreUnavailable,
    VersionConflict,
)
from waybill_runtime.testing.postgres import Server, fresh_database
from waybill_runtime.testing.store_harness import (
    ORDER,
    OTHER,
    append,
    loaded,
    waiting,
    write,
)

pytestmark = pytest.mark.postgres

NAME = "store faults"


@pytest.fixture
async def dsn(postgres: Server) -> AsyncIterator[str]:
    async with fresh_database(postgres, "store_faults") as dsn:
        yield dsn


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.open(dsn, clock=SystemClock(), max_connections=8, name=NAME)
    yield opened
    await opened.close()


@pytest.fixture
async def other(dsn: str) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.open(dsn, clock=SystemClock(), max_connections=8, name=NAME)
    yield opened
    await opened.close()


@pytest.fixture
async def eye(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Somebody who looks on, or interferes, from outside."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


BUSY = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'store faults%'
   AND state <> 'idle'
"""
HELD = """
SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
 WHERE d.datname = current_database() AND l.pid <> pg_backend_pid()
"""
TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE $1
"""
SLOW_COMMIT = """
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON streams
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slowly();
"""


async def _quiet(eye: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Within two seconds nothing runs, nothing is idle in a transaction, nothing is locked."""
    async with asyncio.timeout(2.0):
        while await eye.fetchval(BUSY):
            await asyncio.sleep(0.02)
    assert await eye.fetchval(HELD) == 0


async def test_a_storm_of_cancels_leaves_no_backend_and_no_lock(
    store: PostgresStore, eye: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    chance = random.Random(7)
    await append(store, write(ORDER, 0))

    async def work(number: int) -> None:
        async with store.transaction() as transaction:
            at = (await transaction.streams.load([ORDER], lock=True))[ORDER].version
            await transaction.streams.append([write(ORDER, at, by=f"-{number}")])
            await transaction.jobs.claim(["timer"], limit=1, lease_s=1)

    for start in range(0, 400, 20):
        tasks = [asyncio.create_task(work(number)) for number in range(start, start + 20)]
        for task in tasks:
            await asyncio.sleep(chance.random() * 0.003)
            task.cancel()
        await asyncio.wait(tasks)
        unexpected = [t for t in tasks if not t.cancelled() and t.exception() is not None]
        assert [t.exception() for t in unexpected] == []
    await _quiet(eye)
    stream = await loaded(store, ORDER)
    assert [event.version for event in stream.events] == list(range(1, stream.version + 1))
    await asyncio.gather(*(append(store, write(f"a/b/{n}", 0)) for n in range(16)))


async def test_a_cancelled_wait_for_a_lock_ends_on_the_server_at_once(
    store: PostgresStore, other: PostgresStore, eye: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await append(store, write(ORDER, 0))

    async def waits() -> None:
        async with other.transaction() as transaction:
            await transaction.streams.load([ORDER], lock=True)

    async with store.transaction() as transaction:
        await transaction.streams.load([ORDER], lock=True)
        task = asyncio.create_task(waits())
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        assert await eye.fetchval(blocked) == 0
    await _quiet(eye)


async def test_a_cancel_during_commit_waits_for_its_end(
    store: PostgresStore, eye: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    told: list[Committed] = []
    store.on_commit(told.append)
    await eye.execute(SLOW_COMMIT)
    task = asyncio.create_task(append(store, write(ORDER, 0)))
    await _committing(eye)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.01)
    assert not task.done()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (await loaded(store, ORDER)).version == 1
    assert told == [Committed(appended=True, scheduled=False)]
    await _quiet(eye)


async def test_a_connection_lost_during_commit_is_told_as_unknown(
    store: PostgresStore, eye: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    told: list[Committed] = []
    store.on_commit(told.append)
    await eye.execute(SLOW_COMMIT)
    task = asyncio.create_task(append(store, write(ORDER, 0)))
    await _committing(eye)
    assert await eye.fetchval(TERMINATE, f"{NAME}%") == 1
    with pytest.raises(CommitUnknown):
        await task
    assert told == []
    await eye.execute("DROP TRIGGER slow_commit ON streams")
    version = (await loaded(store, ORDER)).version
    await append(store, write(ORDER, version, by="-after"))


async def _committing(eye: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Return when some backend is inside its COMMIT."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'"
    async with asyncio.timeout(5.0):
        while not await eye.fetchval(query):
            await asyncio.sleep(0.01)


async def test_a_connection_lost_inside_a_transaction_committed_nothing(
    store: PostgresStore, eye: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async def cut() -> None:
        async with store.transaction() as transaction:
            await transaction.streams.append([write(ORDER, 0)])
            await eye.fetchval(TERMINATE, f"{NAME}%")
            await asyncio.sleep(0.05)
            await transaction.streams.append([write(OTHER, 0)])

    async def cut_before_commit() -> None:
        async with store.transaction() as transaction:
            await transaction.streams.append([write(ORDER, 0)])
            await eye.fetchval(TERMINATE, f"{NAME}%")
            await asyncio.sleep(0.05)

    for lost in (cut, cut_before_commit):
        with pytest.raises(StoreUnavailable):
            await lost()
        assert (await loaded(store, ORDER)).version == 0


async def test_idle_connections_that_died_are_replaced_unseen(
    store: PostgresStore, eye: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await asyncio.gather(*(append(store, write(f"a/b/{n}", 0)) for n in range(8)))
    assert await eye.fetchval(TERMINATE, f"{NAME}%") >= 2
    for n in range(8):
        await append(store, write(f"a/b/{n}", 1))


async def test_a_row_that_stays_locked_is_a_lock_timeout(
    store: PostgresStore, other: PostgresStore
) -> None:
    await append(store, write(ORDER, 0))
    async with store.transaction() as transaction:
        await transaction.streams.load([ORDER], lock=True)
        started_s = asyncio.get_running_loop().time()
        with pytest.raises(LockTimeout):
            await append(other, write(ORDER, 1))
        assert 1.5 < asyncio.get_running_loop().time() - started_s < 3.0


async def test_an_append_decided_on_an_old_version_loses_to_one_in_flight(
    store: PostgresStore, other: PostgresStore
) -> None:
    await append(store, write(ORDER, 0))
    async with store.transaction() as transaction:
        await transaction.streams.append([write(ORDER, 1)])
        rival = asyncio.create_task(append(other, write(ORDER, 1, by="-rival")))
        await asyncio.sleep(0.1)
        assert not rival.done()
    with pytest.raises(VersionConflict):
        await rival


async def test_a_locked_load_sees_what_it_waited_for(
    store: PostgresStore, other: PostgresStore
) -> None:
    await append(store, write(ORDER, 0, 2, snapshot='{"n": 2}'))

    async def load() -> list[int]:
        async with other.transaction() as transaction:
            stream = (await transaction.streams.load([ORDER, OTHER], lock=True))[ORDER]
            return [stream.version, *(event.version for event in stream.events)]

    async with store.transaction() as transaction:
        await transaction.streams.append([write(ORDER, 2, 2)])
        waits = asyncio.create_task(load())
        await asyncio.sleep(0.1)
        assert not waits.done()
    assert await waits == [4, 3, 4]


async def test_a_late_commit_is_found_behind_later_positions(
    store: PostgresStore, other: PostgresStore
) -> None:
    async with store.transaction() as transaction:
        await transaction.streams.append([write(ORDER, 0)])
        await append(other, write(OTHER, 0))
        rows = await waiting(other)
        assert [row.event.stream for row in rows] == [OTHER]
        async with other.transaction() as relay:
            await relay.streams.published([row.position for row in rows])
    late = await waiting(other)
    assert [row.event.stream for row in late] == [ORDER]
    assert late[0].position < rows[0].position


async def test_many_writers_over_few_hot_streams_never_deadlock(
    store: PostgresStore, other: PostgresStore, eye: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    names = [f"default/stock/sku_{number}" for number in range(10)]
    outcomes = {"won": 0, "lost": 0}

    async def writer(number: int) -> None:
        chance = random.Random(number)
        for turn in range(4):
            chosen = chance.sample(names, 4)
            lock = chance.random() < 0.7
            try:
                async with (store, other)[number % 2].transaction() as transaction:
                    found = await transaction.streams.load(chosen, lock=lock)
                    by = f"-{number}.{turn}"
                    writes = [write(name, found[name].version, by=by) for name in chosen]
                    await transaction.streams.append(writes)
                outcomes["won"] += 1
            except VersionConflict:
                outcomes["lost"] += 1

    await append(store, *(write(name, 0) for name in names[:7]))
    # As many at a time as the pools hold: more would only wait to begin.
    places = asyncio.Semaphore(16)

    async def in_turn(number: int) -> None:
        async with places:
            await writer(number)

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(in_turn(number))
    assert outcomes["won"] + outcomes["lost"] == 200
    assert outcomes["won"] > 100
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    await eye.execute("SELECT pg_stat_force_next_flush()")
    assert await eye.fetchval(deadlocks) == 0
    total = sum([(await loaded(store, name)).version for name in names])
    assert total == 7 + outcomes["won"] * 4


async def test_a_migration_under_a_prepared_statement_is_told_as_unavailable_once(
    store: PostgresStore, eye: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await append(store, write(ORDER, 0, snapshot="{}"))
    assert (await loaded(store, ORDER)).version == 1

    async def load() -> int:
        async with store.transaction() as transaction:
            return (await transaction.streams.load([ORDER], lock=True))[ORDER].version

    assert await load() == 1
    await eye.execute("ALTER TABLE streams ALTER snapshot TYPE text")
    with pytest.raises(StoreUnavailable):
        await load()
    assert await load() == 1


async def test_a_leader_whose_session_ended_leads_no_longer(
    store: PostgresStore, other: PostgresStore, eye: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with store.leadership("relay") as leads:
        assert leads
        assert await eye.fetchval(TERMINATE, f"{NAME} leadership") == 1
        assert not await store.still_leader("relay")
        async with other.leadership("relay") as takes_over:
            assert takes_over


async def test_a_leader_holds_no_transaction_open(
    store: PostgresStore, eye: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with store.leadership("relay") as leads:
        assert leads
        states = await eye.fetch(
            "SELECT state, xact_start FROM pg_stat_activity WHERE application_name = $1",
            f"{NAME} leadership",
        )
        assert [(row["state"], row["xact_start"]) for row in states] == [("idle", None)]


async def test_a_pool_that_is_empty_is_unavailable_and_not_for_ever(dsn: str) -> None:
    store = await PostgresStore.open(dsn, clock=SystemClock(), max_connections=1)
    async with store.transaction():
        with pytest.raises(StoreUnavailable):
            await append(store, write(ORDER, 0))
    await append(store, write(ORDER, 0))
    await store.close()


async def test_both_ends_notice_a_peer_that_is_gone(dsn: str) -> None:
    connection = await connections.dedicated(dsn, name=NAME)
    transport = connection._transport  # type: ignore[attr-defined]  # asyncpg offers no other way
    found = transport.get_extra_info("socket")
    assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000
    for setting, value in (
        ("lock_timeout", "2s"),
        ("statement_timeout", "15s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("client_connection_check_interval", "500ms"),
        ("tcp_keepalives_idle", "10"),
    ):
        assert await connection.fetchval(f"SHOW {setting}") == value
    await connection.close()
