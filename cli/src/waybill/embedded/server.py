"""What we ask of any Postgres server, ours or a given one: roles, databases and their owners."""

import asyncio
import concurrent.futures
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from waybill.failure import UNAVAILABLE, Failure

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 60.0
T = TypeVar("T")

_DATABASES = "SELECT datname, rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba"


def dsn(user: str, password: str, host: str, port: int, database: str) -> str:
    return f"postgresql://{quote(user)}:{quote(password, safe='')}@{host}:{port}/{quote(database)}"


def into(given: str, database: str, *, user: str | None = None, password: str = "") -> str:
    """The same server's DSN for another database, and for another user if one is named."""
    parts = urlsplit(given)
    where = parts.netloc
    if user is not None:
        _, _, host = where.rpartition("@")
        where = f"{quote(user)}:{quote(password, safe='')}@{host}"
    return urlunsplit(parts._replace(netloc=where, path="/" + quote(database)))


def at(given: str, port: int) -> str:
    """The same URL at another port of its host."""
    parts = urlsplit(given)
    where, _, _ = parts.netloc.rpartition(":")
    return urlunsplit(parts._replace(netloc=f"{where}:{port}"))


def create_database(
    superuser_dsn: str, name: str, *, owner: str | None = None, password: str = ""
) -> None:
    """Make a database and its owner; may be called twice, the latest password holds.

    Raises:
        Failure: the server does not answer, or refuses.
    """
    _in_a_loop_of_its_own(_create(superuser_dsn, name, owner, password))


def provide(
    superuser_dsn: str,
    *,
    roles: Mapping[str, str],
    owners: Mapping[str, str],
    closed: Sequence[str] = (),
) -> None:
    """Make roles by name with their passwords, and databases by name with their owners' roles.

    Those that are `closed` are there already, and nobody but a superuser enters them.

    May be called again; the latest passwords hold. A database that still belongs to the role of
    its own name, as all did before there were owners, is handed over with all that is in it.

    Raises:
        Failure: the server does not answer, or refuses.
    """
    _in_a_loop_of_its_own(_provide(superuser_dsn, roles, owners, closed))


def drop_database(superuser_dsn: str, name: str) -> None:
    """Drop a database, with those who are in it; may be called twice.

    Raises:
        Failure: the server does not answer, or refuses.
    """
    statement = f"DROP DATABASE IF EXISTS {_name(name)} WITH (FORCE)"
    _in_a_loop_of_its_own(_execute(superuser_dsn, statement))


def version(superuser_dsn: str) -> str:
    """The server's version.

    Raises:
        Failure: it does not answer.
    """
    return _in_a_loop_of_its_own(_fetch(superuser_dsn, "SHOW server_version"))


async def refusal(superuser_dsn: str, limit_s: float) -> str | None:
    """Why a server answers no query within the limit; None when it answers."""
    try:
        async with asyncio.timeout(limit_s):
            await _fetch(superuser_dsn, "SELECT 1")
    except TimeoutError:
        return f"no answer to a query within {limit_s:g} s"
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return str(error) or type(error).__name__
    return None


def _in_a_loop_of_its_own(work: Coroutine[Any, Any, T]) -> T:
    """A thread of its own: callers may have a running loop, or one that must not be replaced."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(asyncio.run, work).result()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Failure(
                f"The Postgres server refused: {error or type(error).__name__}.",
                "Look whether DATABASE_URL names a running server and a superuser.",
                code=UNAVAILABLE,
            ) from error


async def _connect(superuser_dsn: str) -> "Connection":
    return await asyncpg.connect(
        superuser_dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=STATEMENT_TIMEOUT_S
    )


async def _fetch(superuser_dsn: str, statement: str) -> str:
    connection = await _connect(superuser_dsn)
    try:
        return str(await connection.fetchval(statement))
    finally:
        await connection.close()


async def _execute(superuser_dsn: str, statement: str) -> None:
    connection = await _connect(superuser_dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _create(superuser_dsn: str, name: str, owner: str | None, password: str) -> None:
    connection = await _connect(superuser_dsn)
    try:
        if owner is not None:
            await _make_role(connection, owner, password)
        found = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name)
        if not found:
            await _make_database(connection, name, owner)
    finally:
        await connection.close()


async def _provide(
    superuser_dsn: str, roles: Mapping[str, str], owners: Mapping[str, str], closed: Sequence[str]
) -> None:
    connection = await _connect(superuser_dsn)
    try:
        for role, password in roles.items():
            await _make_role(connection, role, password)
        rows = await connection.fetch(_DATABASES)
        found = {row["datname"]: row["rolname"] for row in rows}
        for name, owner in owners.items():
            if name not in found:
                await _make_database(connection, name, owner)
            elif found[name] == name != owner:
                await _hand_over(superuser_dsn, name, owner)
        for name in closed:
            await connection.execute(_close(name))
    finally:
        await connection.close()


async def _make_role(connection: "Connection", role: str, password: str) -> None:
    known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    verb = "ALTER" if known else "CREATE"
    await connection.execute(f"{verb} ROLE {_name(role)} LOGIN PASSWORD {_text(password)}")


async def _make_database(connection: "Connection", name: str, owner: str | None) -> None:
    owned = "" if owner is None else f" OWNER {_name(owner)}"
    await connection.execute(f"CREATE DATABASE {_name(name)}{owned}")
    # One service's role must not even enter another's database.
    await connection.execute(_close(name))


async def _hand_over(superuser_dsn: str, name: str, owner: str) -> None:
    """All of it in one transaction: what was cut short is begun again."""
    connection = await _connect(into(superuser_dsn, name))
    try:
        async with connection.transaction():
            await connection.execute(f"REASSIGN OWNED BY {_name(name)} TO {_name(owner)}")
            await connection.execute(f"ALTER DATABASE {_name(name)} OWNER TO {_name(owner)}")
    finally:
        await connection.close()


def _close(database: str) -> str:
    return f"REVOKE ALL ON DATABASE {_name(database)} FROM PUBLIC"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
