"""A running system as its operators reach it: databases, bus, URLs and keys.

From `dev.env` of the home, and from the environment, which wins unless a home was named.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from waybill import home as homes
from waybill.embedded import server
from waybill.failure import UNAVAILABLE, Failure
from waybill_runtime.bus import Bus, BusTruncated, BusUnavailable
from waybill_runtime.clock import SystemClock
from waybill_runtime.ids import RandomIds
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping
from waybill_runtime.store import Store
from waybill_runtime.stored import CommitUnknown, LockTimeout, StoreUnavailable

CONNECTIONS = 4
NAMED = ("BUS", "BUS_DATABASE_URL", "DATABASE_URL", "KAFKA_BOOTSTRAP")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class System:
    """Where everything is. `home` may be a folder that does not exist."""

    home: homes.Home
    values: Mapping[str, str]

    @property
    def bus(self) -> str:
        return self.values.get("BUS") or "postgres"

    def dsn(self, name: str) -> str:
        """The database of a service, or of `bus`: named, else on the server of DATABASE_URL.

        Raises:
            Failure: neither is known.
        """
        if given := self.values.get(f"{name.upper()}_DATABASE_URL"):
            return given
        if given := self.values.get("DATABASE_URL"):
            return server.into(given, name)
        raise Failure(
            f"Nothing says where the database of {name} is.",
            f"Run `waybill up`, or set DATABASE_URL or {name.upper()}_DATABASE_URL.",
            code=UNAVAILABLE,
        )

    @asynccontextmanager
    async def connect(self, name: str) -> AsyncIterator[Infrastructure]:
        """A service's own store, and the bus."""
        # Imported where it is used: commands that need no store start in a third of the time.
        from waybill_runtime.adapters.postgres.store import PostgresStore

        clock = SystemClock()
        store = await PostgresStore.open(
            self.dsn(name), clock=clock, max_connections=CONNECTIONS, name="waybill-operator"
        )
        ids = RandomIds(clock)
        bus = self._bus(clock, ids)
        try:
            await _reach(name, store, clock)
            yield Infrastructure(store, bus, clock, ids, Stopping())
        finally:
            await bus.close()
            await store.close()

    def _bus(self, clock: SystemClock, ids: RandomIds) -> Bus:
        if self.bus == "kafka":
            from waybill_runtime.adapters.kafka.bus import KafkaBus

            return KafkaBus(self.values.get("KAFKA_BOOTSTRAP", ""))
        from waybill_runtime.adapters.postgres.bus import PostgresBus

        return PostgresBus(self.dsn("bus"), clock, ids)


async def _reach(name: str, store: Store, clock: SystemClock) -> None:
    """Say whose database it is that does not answer, and after how long."""
    began_s = clock.monotonic_s()
    try:
        async with store.reading():
            return
    except StoreUnavailable as error:
        passed_s = clock.monotonic_s() - began_s
        why = str(error).strip().removesuffix(":")
        raise StoreUnavailable(f"the database of {name}, in {passed_s:.1f} s ({why})") from error


def find(home: Path | None) -> System:
    """The system of this home, of WAYBILL_HOME, or of the current folder."""
    found = homes.Home(home) if home is not None else homes.Home.from_environment()
    kept = dev_env(found.dev_env)
    given = {
        name: value
        for name, value in os.environ.items()
        if value and (name in NAMED or name.endswith(("_URL", "_KEY")))
    }
    return System(found, {**given, **kept} if home is not None else {**kept, **given})


def dev_env(file: Path) -> dict[str, str]:
    """The variables of a `dev.env`; none when there is no such file."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name: value for name, value in pairs if value}


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work with logs on stderr; whoever does not answer is told in words.

    Raises:
        Failure: a store or the bus is not there.
    """
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        return asyncio.run(_boxed(work))[0]
    except (StoreUnavailable, CommitUnknown, LockTimeout, BusUnavailable, BusTruncated) as error:
        raise _unavailable(error) from error
    except BaseExceptionGroup as group:
        for leaf in _leaves(group):
            if isinstance(leaf, Failure):
                raise leaf from group
            if isinstance(leaf, StoreUnavailable | BusUnavailable | LockTimeout):
                raise _unavailable(leaf) from group
        raise


async def _boxed(work: Coroutine[Any, Any, T]) -> "_Box[T]":
    return _Box((await work,))


class _Box(tuple[T]):
    """A result that is not drawn: `asyncio.run` makes a text of the task, result and all, and
    throws it away (`signal.getsignal` tries to make an enum of it); seconds of an audit's time.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<a result>"


def _unavailable(error: BaseException) -> Failure:
    return Failure(
        f"A store or the bus does not answer: {error}.",
        "Look with `waybill status` and `waybill logs`; start what is down with `waybill up`.",
        code=UNAVAILABLE,
    )


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
