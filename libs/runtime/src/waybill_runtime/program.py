"""The program that every service is: serve, migrate, keys."""

import argparse
import asyncio
import gc
import math
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import structlog
import uvloop
from starlette.types import ASGIApp

from waybill_events.catalogue import TOPICS
from waybill_events.envelope import Recorded
from waybill_runtime import forked, logs
from waybill_runtime.adapters.postgres import grants
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.bus import Bus, BusUnavailable
from waybill_runtime.clock import SystemClock
from waybill_runtime.http import halted
from waybill_runtime.http.auth import ROLES, KeyRing
from waybill_runtime.http.limits import Limits, Rate
from waybill_runtime.http.server import STOP_S, Server, new_server
from waybill_runtime.ids import RandomIds
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.lifecycle import Stopping, alongside
from waybill_runtime.service import Blueprint, Service
from waybill_runtime.settings import ServiceSettings
from waybill_runtime.stored import StoreUnavailable

HALTED_LOOK_S = 5.0

log = structlog.get_logger("waybill.program")

BUS_WAIT_S = 60.0
BUS_PAUSE_S = 0.5
COLLECT_EVERY = 20_000
"""Objects made, and not let go of, before the youngest are looked at for cycles."""

S = TypeVar("S", bound=ServiceSettings)
Compose = Callable[[S, Infrastructure], Blueprint]


def main(name: str, read_settings: Callable[[], S], compose: Compose[S]) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}")
    parser.add_argument("--role", choices=("all", "api", "worker"))
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("migrate", help="bring the database to this release's schema")
    keys = commands.add_parser("keys", help="let API keys in or out")
    keys.add_argument("action", choices=("add", "revoke"))
    keys.add_argument("--name", default="unnamed")
    keys.add_argument("--scopes", default="", help="scopes or roles, comma separated")
    keys.add_argument("--secret-stdin", action="store_true", help="read the key, do not make one")
    keys.add_argument("--id", default="")
    arguments = parser.parse_args()
    settings = read_settings()
    if arguments.role:
        settings = settings.model_copy(update={"role": arguments.role})
    logs.configure(name, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        match arguments.command:
            case "migrate":
                runner.run(_migrate(settings))
            case "keys":
                runner.run(_keys(settings, arguments))
            case _:
                runner.run(_serve(settings, compose))


async def _migrate(settings: ServiceSettings) -> None:
    """As the owner; the application, whose way in is `database_url`, is let in by its name."""
    # Only here: who serves would start a fifth later, and carry alembic for nothing.
    from waybill_runtime.adapters.postgres import migrate

    application = settings.database_url.get_secret_value()
    owner = settings.owner_database_url.get_secret_value() or application
    roles = grants.Roles(
        application=unquote(urlsplit(application).username or ""), reader=settings.reader_role
    )
    await migrate.upgrade(owner, roles)


async def connect(settings: ServiceSettings) -> Infrastructure:
    """The real thing: Postgres, the chosen bus, the machine's clock.

    A process whose database is exchanged for another one stops: its next start looks at that one.
    """
    clock = SystemClock()
    ids = RandomIds(clock)
    stopping = Stopping()
    store = await PostgresStore.open(
        settings.database_url.get_secret_value(),
        clock=clock,
        max_connections=settings.pool_size,
        exchanged=stopping.set,
    )
    return Infrastructure(store, _bus(settings, clock, ids), clock, ids, stopping)


def _bus(settings: ServiceSettings, clock: SystemClock, ids: RandomIds) -> Bus:
    # A port is one process's at a time: whoever listens there comes after whoever did before.
    instance = f"{socket.gethostname()}:{settings.port}" if settings.port else ""
    if settings.bus == "kafka":
        from waybill_runtime.adapters.kafka.bus import KafkaBus

        bootstrap, replication = settings.kafka_bootstrap, settings.kafka_replication
        return KafkaBus(bootstrap, replication=replication, instance=instance)
    from waybill_runtime.adapters.postgres.bus import PostgresBus

    dsn = settings.bus_database_url.get_secret_value()
    return PostgresBus(dsn, clock, ids, instance=instance)


async def _keys(settings: ServiceSettings, arguments: argparse.Namespace) -> None:
    infrastructure = await connect(settings)
    ring = KeyRing(
        infrastructure.store, infrastructure.clock, settings.key_pepper.get_secret_value()
    )
    try:
        if arguments.action == "revoke":
            await ring.revoke(arguments.id)
            return
        from waybill_runtime.http import auth

        given = sys.stdin.readline().strip() if arguments.secret_stdin else ""
        key = given or auth.new_key()
        await ring.add(key, name=arguments.name, scopes=scopes_of(arguments.scopes.split(",")))
        if not given:
            sys.stdout.write(f"{key}\n")
    finally:
        await infrastructure.store.close()
        await infrastructure.bus.close()


def scopes_of(names: Sequence[str]) -> set[str]:
    """Scopes as they are, roles as the scopes they stand for."""
    return {scope for name in names if name for scope in ROLES.get(name, (name,))}


async def _serve(settings: S, compose: Compose[S]) -> None:
    infrastructure = await connect(settings)
    blueprint = compose(settings, infrastructure)
    service = Service(blueprint, infrastructure)
    ring = KeyRing(
        infrastructure.store, infrastructure.clock, settings.key_pepper.get_secret_value()
    )
    limits = Limits(
        infrastructure.clock,
        key=Rate(per_s=settings.key_requests_per_s, burst=settings.key_burst),
        address=Rate(per_s=settings.address_requests_per_s, burst=settings.address_burst),
    )
    try:
        own = service.own_topics
        gone = await looked(infrastructure, own)
        is_halted = bool(gone)
        app: ASGIApp = service.app(ring, limits)
        if is_halted:
            halted.tell(blueprint.name, gone)
            app = halted.create(blueprint.name)
        _spare_the_collector()
        server = new_server(app, host=settings.host, port=settings.port)
        async with asyncio.TaskGroup() as group:
            stopper = group.create_task(_stop_when_told(settings, infrastructure, server))
            serving = group.create_task(server.serve())
            if is_halted:
                group.create_task(_until_whole(infrastructure, own, server))
            elif settings.role != "api":
                shares = settings.role == "all"
                group.create_task(_work(service, infrastructure, shares_process=shares))
            await serving
            infrastructure.stopping.set()
            stopper.cancel()
    finally:
        await blueprint.close()
        await infrastructure.bus.close()
        await infrastructure.store.close()
        log.info("stopped")


def _spare_the_collector() -> None:
    """Let it pass over what a start leaves for good, and look less often: orders make few cycles.

    That is a twentieth of an order's CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)


async def looked(infrastructure: Infrastructure, own: Sequence[str]) -> Sequence[Recorded]:
    """What our store has lost of these own topics: known before anything is served.

    Who has no topics has nothing to lose, and shows what it has while the bus is away.

    Raises:
        StoreUnavailable, BusUnavailable: they did not answer for BUS_WAIT_S.
    """
    if not own:
        return ()
    await topics_made(infrastructure)
    return await _lost(infrastructure, own)


async def topics_made(infrastructure: Infrastructure, within_s: float = BUS_WAIT_S) -> None:
    """Make what topics are missing, once the bus answers: a start costs more than a wait.

    Raises:
        BusUnavailable: it did not answer within the time.
    """
    clock = infrastructure.clock
    deadline_s = clock.monotonic_s() + within_s
    while not infrastructure.stopping:
        try:
            return await infrastructure.bus.ensure_topics(sorted(TOPICS))
        except BusUnavailable as error:
            if clock.monotonic_s() > deadline_s:
                raise
            log.warning("bus unavailable", error=str(error))
        await infrastructure.stopping.wait(BUS_PAUSE_S * infrastructure.ids.jitter())
    return None


async def _lost(infrastructure: Infrastructure, own: Sequence[str]) -> Sequence[Recorded]:
    """What our store has lost, once store and bus answer; no work begins before that is known.

    Raises:
        StoreUnavailable, BusUnavailable: they did not answer for BUS_WAIT_S.
    """
    clock = infrastructure.clock
    deadline_s = clock.monotonic_s() + BUS_WAIT_S
    while True:
        try:
            return await forked.look(infrastructure.store, infrastructure.bus, own)
        except (StoreUnavailable, BusUnavailable) as error:
            if clock.monotonic_s() > deadline_s:
                raise
            log.warning("cannot look for what was lost", error=str(error))
        await asyncio.sleep(BUS_PAUSE_S * infrastructure.ids.jitter())


async def _until_whole(infrastructure: Infrastructure, own: Sequence[str], server: Server) -> None:
    """End the process once the store has everything again: it is started anew, and works."""
    while not await infrastructure.stopping.wait(HALTED_LOOK_S):
        try:
            gone = await forked.look(infrastructure.store, infrastructure.bus, own)
        except (StoreUnavailable, BusUnavailable):
            continue
        if not gone:
            server.should_exit = True
            return


async def _stop_when_told(
    settings: ServiceSettings, infrastructure: Infrastructure, server: Server
) -> None:
    """SIGTERM: unready first, then no new requests and no new work, then out.

    Who stops by itself, for its store was set back, takes no request more.
    """
    is_told = False

    def tell() -> None:
        nonlocal is_told
        is_told = True
        infrastructure.stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell)
    await infrastructure.stopping.wait()
    log.info("stopping")
    if is_told:
        await asyncio.sleep(settings.drain_s)
    server.should_exit = True


async def _work(service: Service, infrastructure: Infrastructure, *, shares_process: bool) -> None:
    """The worker's parts; once stopping, they have STOP_S to finish what they are at.

    Who only shows serves already, and waits for the bus as long as a consumer does: till it comes.
    """
    if not service.own_topics:
        await topics_made(infrastructure, within_s=math.inf)
    async with alongside(service.run_parts(shares_process=shares_process)) as parts:
        await infrastructure.stopping.wait()
        await asyncio.wait([parts], timeout=STOP_S)
