"""S17 in containers: the script that makes compose's roles, run by psql on a real server."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from waybill import ports, programs
from waybill.embedded import binaries, server
from waybill.embedded.postgres import SUPERUSER, EmbeddedPostgres
from waybill_runtime.adapters.postgres import grants, migrate

pytestmark = pytest.mark.postgres

SCRIPT = Path(__file__).parents[2] / "deploy" / "compose" / "databases.sh"
PASSWORD = 'it\'s a $1 "secret" \\'


@pytest.fixture(scope="module")
def running() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="waybill-compose-"))
    folder.chmod(0o711)
    postgres = EmbeddedPostgres(folder)
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.stop("immediate")
        postgres.drop()
        shutil.rmtree(folder, ignore_errors=True)


def run_script(postgres: EmbeddedPostgres) -> None:
    given = {f"{name.upper()}_DB_PASSWORD": PASSWORD for name in programs.SERVICES}
    subprocess.run(
        ["sh", str(SCRIPT)],
        env={
            **given,
            "OWNER_DB_PASSWORD": PASSWORD,
            "READER_DB_PASSWORD": PASSWORD,
            "PATH": f"{binaries.locate() / 'bin'}:{os.environ['PATH']}",
            "POSTGRES_USER": SUPERUSER,
            "PGHOST": ports.HOST,
            "PGPORT": str(postgres.port),
            "PGPASSWORD": (postgres.room / "password").read_text().strip(),
        },
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )


def way_in(postgres: EmbeddedPostgres, role: str, database: str) -> str:
    return server.into(postgres.dsn(), database, user=role, password=PASSWORD)


async def tried(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_compose_makes_the_same_roles_and_takes_over_an_earlier_volume(
    running: EmbeddedPostgres,
) -> None:
    running.create_database("payment", owner="payment", password="before")
    before = server.into(running.dsn(), "payment", user="payment", password="before")
    await migrate.upgrade(before)
    for _ in range(2):
        run_script(running)
    for service in programs.SERVICES:
        roles = grants.Roles(application=service, reader=programs.READER)
        await migrate.upgrade(way_in(running, f"{service}_owner", service), roles)
        await tried(way_in(running, service, service), "INSERT INTO numbers VALUES ('n', 1)")
        await tried(way_in(running, programs.READER, service), "TABLE events")
        for role in (service, programs.READER):
            for statement in ("DELETE FROM events", "CREATE TABLE mine (id int)"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await tried(way_in(running, role, service), statement)
        for other in {*programs.SERVICES, "postgres"} - {service}:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                await tried(way_in(running, service, other), "SELECT 1")
