"""pytest plugin: a real Postgres and a real Kafka for a whole test session.

Each comes from the first of: what the environment names, a Docker engine with images, our own
embedded ones in a temporary folder. One line at the end says which.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from waybill.embedded import docker, kafka, server
from waybill.embedded.postgres import SETTINGS, EmbeddedPostgres
from waybill.failure import Failure

POSTGRES_VARIABLE = "WAYBILL_TEST_DATABASE_URL"
KAFKA_VARIABLE = "WAYBILL_TEST_KAFKA_BOOTSTRAP"
USED = pytest.StashKey[dict[str, str]]()


class TestPostgres:
    """A server for tests: as many databases as they like, by name."""

    __test__ = False

    def __init__(self, superuser_dsn: str) -> None:
        self._superuser_dsn = superuser_dsn

    def dsn(self, database: str = "postgres") -> str:
        """The superuser's `postgresql://` way into one database."""
        return server.into(self._superuser_dsn, database)

    def create_database(self, name: str, *, owner: str | None = None, password: str = "") -> str:
        """A database, new or as it was; answers the DSN of its owner, else of the superuser."""
        server.create_database(self._superuser_dsn, name, owner=owner, password=password)
        return server.into(self._superuser_dsn, name, user=owner, password=password)

    def drop_database(self, name: str) -> None:
        """Drop a database with whoever is in it; nothing to do when there is none."""
        server.drop_database(self._superuser_dsn, name)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[TestPostgres]:
    """A Postgres for the session."""
    given = os.environ.get(POSTGRES_VARIABLE)
    if given:
        _used(request.config, "postgres", f"{POSTGRES_VARIABLE}, version {server.version(given)}")
        yield TestPostgres(given)
        return
    against = docker.reason_against(docker.POSTGRES_IMAGE)
    if against is None:
        _used(request.config, "postgres", f"testcontainers, {docker.POSTGRES_IMAGE}")
        yield from _contained_postgres()
        return
    with_home = _temporary_home()
    try:
        embedded = EmbeddedPostgres(with_home)
        embedded.start()
        why = f"embedded, run as {embedded.account.name} ({against})"
        _used(request.config, "postgres", why)
        yield TestPostgres(embedded.dsn())
        embedded.stop("immediate")
        embedded.drop()
    finally:
        shutil.rmtree(with_home, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka_bootstrap(request: pytest.FixtureRequest) -> Iterator[str]:
    """A Kafka for the session. With KAFKA=required in the environment none is a failure."""
    way = kafka.choose(os.environ.get(KAFKA_VARIABLE, ""))
    if way.kind == "given":
        _used(request.config, "kafka", f"{KAFKA_VARIABLE}={way.bootstrap}")
        yield way.bootstrap
        return
    if way.kind == "docker":
        _used(request.config, "kafka", f"testcontainers, {way.why}")
        yield from _contained_kafka()
        return
    home = _temporary_home()
    try:
        broker = kafka.EmbeddedKafka(home, way)
        try:
            broker.start()
        except Failure as failure:
            _without_kafka(request.config, failure)
        _used(request.config, "kafka", f"embedded on a JVM ({way.why})")
        yield broker.bootstrap
        broker.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def need_kafka(config: pytest.Config, folder: Path) -> None:
    """Let a test go on only where `waybill up` can have a broker of its own.

    `folder` is for what it takes to find out. With KAFKA=required in the environment none is a
    failure, else the test is skipped.
    """
    way = kafka.choose("")
    try:
        kafka.EmbeddedKafka(folder, way).prepare()
    except Failure as failure:
        _without_kafka(config, failure)
    _used(config, "kafka of whole systems", str(way))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """One line per resource: which one the tests ran against."""
    for name, which in config.stash.get(USED, {}).items():
        terminalreporter.write_line(f"{name}: {which}")


def _used(config: pytest.Config, name: str, which: str) -> None:
    config.stash.setdefault(USED, {})[name] = which


def _without_kafka(config: pytest.Config, failure: Failure) -> None:
    what = f"no Kafka: {failure.what} {failure.remedy}"
    _used(config, "kafka", f"none; {what}")
    if os.environ.get("KAFKA") == "required":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def _temporary_home() -> Path:
    """A folder that the account which runs Postgres can walk through."""
    folder = Path(tempfile.mkdtemp(prefix="waybill-test-"))
    folder.chmod(0o711)
    return folder


def _contained_postgres() -> Iterator[TestPostgres]:
    from testcontainers.community.postgres import PostgresContainer

    settings = {n: v for n, v in SETTINGS.items() if n != "unix_socket_directories"}
    settings["listen_addresses"] = "*"
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    with PostgresContainer(docker.POSTGRES_IMAGE).with_command(options) as container:
        yield TestPostgres(container.get_connection_url(driver=None))


def _contained_kafka() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import wait_for_logs

    home = _temporary_home()
    try:
        broker = kafka.EmbeddedKafka(home, kafka.Way("docker", "a test"))
        broker.prepare()
        port, settings = broker.container_settings()
        container = DockerContainer(docker.KAFKA_IMAGE).with_bind_ports(9092, port)
        for name, value in settings.items():
            container = container.with_env(name, value)
        with container:
            wait_for_logs(container, "Kafka Server started", timeout=kafka.START_TIMEOUT_S)
            yield f"127.0.0.1:{port}"
    finally:
        shutil.rmtree(home, ignore_errors=True)
