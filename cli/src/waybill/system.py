"""A running system as its operators reach it: databases, bus, URLs and keys.

From `dev.env` of the home, and from the environment, which wins unless a home was named. What the
environment says, secrets may say as files, as they do for the services (`WAYBILL_SECRETS_DIR`).
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
from waybill.failure import UNAVAILABLE, USAGE, Failure
from waybill_runtime.bus import Bus, BusTruncated, BusUnavailable
from waybill_runtime.clock import SystemClock
from waybill_runtime.ids import RandomIds
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping
from waybill_runtime.store import Store
from waybill_runtime.stored import CommitUnknown, LockTimeout, StoreUnavailable

CONNECTIONS = 4
NAMED = ("BUS", "KAFKA_BOOTSTRAP", "KAFKA_REPLICATION")
NAMED_BY_THEIR_END = ("_URL", "_KEY", "_KEY_PEPPER")
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
        ids = RandomIds(clock)
        bus = self._bus(clock, ids)
        store = await PostgresStore.open(
            self.dsn(name), clock=clock, max_connections=CONNECTIONS, name="waybill-operator"
        )
        try:
            await _reach(name, store, clock)
            yield Infrastructure(store, bus, clock, ids, Stopping())
        finally:
            await bus.close()
            await store.close()

    def _bus(self, clock: SystemClock, ids: RandomIds) -> Bus:
        if self.bus == "kafka":
            from waybill_runtime.adapters.kafka.bus import KafkaBus

            return KafkaBus(self._brokers(), replication=self._replication())
        from waybill_runtime.adapters.postgres.bus import PostgresBus

        return PostgresBus(self.dsn("bus"), clock, ids)

    def _brokers(self) -> str:
        if given := self.values.get("KAFKA_BOOTSTRAP"):
            return given
        raise Failure("Nothing says where Kafka is.", "Set KAFKA_BOOTSTRAP.", code=UNAVAILABLE)

    def _replication(self) -> int:
        """Copies of each topic that is missing and made anew, as the services would make it."""
        given = self.values.get("KAFKA_REPLICATION", "1")
        if given.isdecimal() and int(given):
            return int(given)
        what = f"KAFKA_REPLICATION is a number of copies, not {given}."
        raise Failure(what, "Set what the services have.", code=USAGE)


async def _reach(name: str, store: Store, clock: SystemClock) -> None:
    """Say whose database does not answer, or is of another release, and after how long."""
    began_s = clock.monotonic_s()
    try:
        await store.ping()
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
        for name, value in (*_secrets().items(), *os.environ.items())
        if value and (name in NAMED or name.endswith(NAMED_BY_THEIR_END))
    }
    return System(found, {**given, **kept} if home is not None else {**kept, **given})


def _secrets() -> dict[str, str]:
    """The files of the folder that the environment names, if it names one.

    Raises:
        Failure: the folder cannot be read: a mount that is missing is not "no secrets".
    """
    from waybill_runtime.settings import SECRETS_DIR

    folder = os.environ.get(SECRETS_DIR)
    if not folder:
        return {}
    try:
        files = [path for path in Path(folder).iterdir() if path.is_file()]
        return {path.name: path.read_text().strip() for path in files}
    except OSError as error:
        what = f"{SECRETS_DIR} names {folder}, which cannot be read: {error.strerror}."
        raise Failure(what, "Mount it there as the services have theirs.", code=USAGE) from error


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
    here = homes.Home.from_environment().exists()
    ours = "Look with `waybill status` and `waybill logs`; start what is down with `waybill up`."
    return Failure(
        f"A store or the bus does not answer: {error}.",
        ours if here else "See that it runs, can be reached from here, and is of this release.",
        code=UNAVAILABLE,
    )


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
