"""The Postgres and the Kafka of one system: given by the environment, or run by us."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from waybill import home as homes
from waybill import ports
from waybill.embedded import kafka, server
from waybill.embedded.postgres import STOP_SIGNAL, SUPERUSER, EmbeddedPostgres
from waybill.programs import READER, SERVICES, BusName, Program, Secrets, owner

Say = Callable[[str], None]


@dataclass(slots=True)
class Stores:
    """Where the stores are, and the programs that have to run for it, in order."""

    postgres: EmbeddedPostgres | None
    given_postgres: str
    broker: kafka.EmbeddedKafka | None = None
    bootstrap: str = ""
    programs: list[Program] = field(default_factory=list)

    @property
    def superuser_dsn(self) -> str:
        return self.given_postgres if self.postgres is None else self.postgres.dsn()


def prepare(home: homes.Home, bus: BusName, say: Say) -> Stores:
    """Decide where the stores come from and make ready what is ours. Slow the first time.

    Raises:
        Failure: a store can neither be found nor made.
    """
    given = given_postgres(home)
    if given:
        say(f"Postgres: the one of DATABASE_URL, version {server.version(given)}")
        stores = Stores(None, given)
    else:
        stores = _embedded(home, say)
    if bus == "kafka":
        _add_kafka(stores, home, say)
    return stores


def create_databases(stores: Stores, secrets: Secrets) -> dict[str, str]:
    """A database per service and one for the bus, each with a role that owns it and one that works.

    Answers the DSNs by the roles' names, and the superuser's as `postgres`.
    """
    superuser = stores.superuser_dsn
    owners = {name: owner(name) for name in (*SERVICES, "bus")}
    roles = [*owners, *owners.values(), READER]
    passwords = {role: secrets.get(f"database:{role}") for role in roles}
    ours = () if stores.postgres is None else ("postgres", "template1")
    server.provide(superuser, roles=passwords, owners=owners, closed=ours)
    found = {"postgres": superuser}
    for name in owners:
        for role in (name, owner(name)):
            found[role] = server.into(superuser, name, user=role, password=passwords[role])
    return found


def given_postgres(home: homes.Home) -> str:
    """DATABASE_URL, unless it is our own from a dev.env that was read into the environment."""
    given = os.environ.get("DATABASE_URL", "")
    ours = ports.Ports(home.path / "ports.json").known("postgres")
    own = given.startswith(f"postgresql://{SUPERUSER}:") and f"@{ports.HOST}:{ours}/" in given
    return "" if own else given


def given_kafka(home: homes.Home) -> str:
    """KAFKA_BOOTSTRAP, unless it is our own from a dev.env that was read into the environment."""
    given = os.environ.get("KAFKA_BOOTSTRAP", "")
    ours = ports.Ports(home.path / "ports.json").known("kafka")
    return "" if given == f"{ports.HOST}:{ours}" else given


def _embedded(home: homes.Home, say: Say) -> Stores:
    postgres = EmbeddedPostgres(home.path)
    postgres.prepare()
    postgres.stop()
    for note in (f"Postgres: embedded, run as {postgres.account.name}", *postgres.notes):
        say(note)
    command = tuple(postgres.command())
    program = Program(
        name="postgres",
        command=command,
        port=postgres.port,
        # While it recovers it accepts connections only to refuse them.
        ready_check=postgres.ready,
        cwd=str(postgres.room),
        account=postgres.account,
        stop_signal=STOP_SIGNAL,
    )
    return Stores(postgres, "", programs=[program])


def _add_kafka(stores: Stores, home: homes.Home, say: Say) -> None:
    way = kafka.choose(given_kafka(home))
    say(str(way))
    if way.kind == "given":
        stores.bootstrap = way.bootstrap
        return
    broker = kafka.EmbeddedKafka(home.path, way, say)
    broker.stop()
    broker.prepare()
    command = tuple(broker.command())
    stores.broker = broker
    stores.bootstrap = broker.bootstrap
    stores.programs.append(
        Program(name="kafka", command=command, port=broker.port, cwd=str(broker.room))
    )
