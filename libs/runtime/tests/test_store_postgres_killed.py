"""A Postgres server that is restarted and killed under a store (reliability F5)."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from waybill.embedded.postgres import EmbeddedPostgres
from waybill_runtime.adapters.postgres import migrate
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.clock import SystemClock
from waybill_runtime.stored import CommitUnknown, StoreUnavailable
from waybill_runtime.testing.store_harness import append, write

pytestmark = pytest.mark.postgres

COMMITS_BEFORE_A_KILL = 30


class Server:
    """A Postgres of this test's own, to be killed."""

    def __init__(self, home: Path) -> None:
        self._postgres = EmbeddedPostgres(home)

    async def start(self) -> None:
        await asyncio.to_thread(self._postgres.start)

    async def kill(self) -> None:
        await asyncio.to_thread(self._postgres.kill)

    async def restart(self) -> None:
        await asyncio.to_thread(self._postgres.stop, "fast")
        await self.start()

    async def stop(self) -> None:
        await asyncio.to_thread(self._postgres.stop, "immediate")
        await asyncio.to_thread(self._postgres.drop)

    async def migrated(self, name: str) -> str:
        made = await asyncio.to_thread(self._postgres.create_database, name)
        await migrate.upgrade(made)
        return made


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    made = Server(tmp_path_factory.mktemp("postgres"))
    await made.start()
    yield made
    await made.stop()


async def test_after_a_restart_of_the_server_one_try_at_most_fails(server: Server) -> None:
    store = await PostgresStore.open(await server.migrated("restart"), clock=SystemClock())
    await asyncio.gather(*(append(store, write(f"a/b/{n}", 0)) for n in range(10)))
    await server.restart()
    failures = 0
    for n in range(10):
        try:
            await append(store, write(f"a/b/{n}", 1))
        except StoreUnavailable:
            failures += 1
    assert failures <= 1
    await store.close()


async def test_a_kill_of_the_server_during_commits_loses_and_doubles_nothing(
    server: Server,
) -> None:
    dsn = await server.migrated("killed")
    acknowledged: set[str] = set()
    refused: set[str] = set()
    unknown: set[str] = set()
    for kill in range(4):
        store = await PostgresStore.open(dsn, clock=SystemClock(), max_connections=8)

        async def writer(number: int, kill: int = kill, store: PostgresStore = store) -> None:
            for turn in itertools.count():
                name = f"default/order/ord_{kill}_{number}_{turn}"
                try:
                    await append(store, write(name, 0, 2), write(f"{name}-b", 0))
                    acknowledged.add(name)
                except StoreUnavailable:
                    refused.add(name)
                    return
                except CommitUnknown:
                    unknown.add(name)
                    return

        flowing = len(acknowledged) + COMMITS_BEFORE_A_KILL
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(writer(number))
            while len(acknowledged) < flowing:
                await asyncio.sleep(0.001)  # the writers go on; the kill meets them anywhere
            await server.kill()
        await store.close()
        await server.start()
    assert len(refused) + len(unknown) == 32
    await _audit(dsn, acknowledged, refused, unknown)


async def _audit(dsn: str, acknowledged: set[str], refused: set[str], unknown: set[str]) -> None:
    """Look everything up: acknowledged exists whole, refused not at all, unknown either way."""
    store = await PostgresStore.open(dsn, clock=SystemClock())
    names = sorted(acknowledged | refused | unknown)
    async with store.reading() as reading:
        found = await reading.streams.load([*names, *(f"{n}-b" for n in names)], lock=False)
        outbox = await reading.streams.unpublished(1_000_000)
    await store.close()
    whole = {name for name in names if (found[name].version, found[f"{name}-b"].version) == (2, 1)}
    nothing = {n for n in names if (found[n].version, found[f"{n}-b"].version) == (0, 0)}
    assert whole | nothing == set(names)
    assert acknowledged <= whole
    assert refused <= nothing
    assert len(outbox) == 3 * len(whole)
