"""How every connection of a store is made: with a limit on each wait, at both ends."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from waybill_runtime.adapters.postgres.session import Row

CONNECT_S = 5.0
COMMAND_S = 10.0

_IDLE_S = 60.0
_STATEMENTS = 300

_SERVER_SETTINGS = {
    "TimeZone": "UTC",
    "default_transaction_isolation": "read committed",
    "lock_timeout": "2s",
    "statement_timeout": "15s",
    "idle_in_transaction_session_timeout": "10s",
    # Without it a backend whose client went away runs on, holding its locks, until its statement
    # ends (reliability 0.5).
    "client_connection_check_interval": "500ms",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
    "jit": "off",
    # A plan made while a database was new would go on reading whole tables as they grow: every
    # statement of ours has its index, so the planner is told to keep to it.
    "enable_seqscan": "off",
    # For the same reason one plan serves all values. By itself the server would compare costs, find
    # that a list of two is cheaper than the ten it guesses, and plan anew for every such call.
    "plan_cache_mode": "force_generic_plan",
}


async def pool(
    dsn: str,
    *,
    name: str,
    max_connections: int,
    greet: "Callable[[asyncpg.Connection[Row]], Awaitable[None]]",
    waits_for_disk: bool = True,
) -> "asyncpg.Pool[Row]":
    """A pool that connects when first used; `greet` is called with each new connection.

    `waits_for_disk` False: a commit is answered before it is on the disk.
    """
    settings = _SERVER_SETTINGS | {"application_name": name}
    if not waits_for_disk:
        settings["synchronous_commit"] = "off"

    async def init(connection: "asyncpg.Connection[Row]") -> None:
        _keep_alive(connection)
        await greet(connection)

    made: asyncpg.Pool[Row] = await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=max_connections,
        max_inactive_connection_lifetime=_IDLE_S,
        timeout=CONNECT_S,
        command_timeout=COMMAND_S,
        statement_cache_size=_STATEMENTS,
        max_cacheable_statement_size=0,
        server_settings=settings,
        init=init,
        reset=_nothing_to_reset,
    )
    return made


async def dedicated(dsn: str, *, name: str) -> "asyncpg.Connection[Row]":
    """One connection outside the pool, for what lives as long as its session."""
    connection: asyncpg.Connection[Row] = await asyncpg.connect(
        dsn,
        timeout=CONNECT_S,
        command_timeout=COMMAND_S,
        server_settings=_SERVER_SETTINGS | {"application_name": name},
    )
    _keep_alive(connection)
    return connection


async def _nothing_to_reset(connection: "asyncpg.Connection[Row]") -> None:
    """Transactions end before a release and no session state is ever set: saves a round trip."""


def _keep_alive(connection: "asyncpg.Connection[Row]") -> None:
    """Notice a peer that is gone without a word in 25 s, and one that acknowledges nothing in 20.

    asyncpg offers no way to its socket; a test holds that this still finds it.
    """
    transport: asyncio.Transport = getattr(connection, "_transport")  # noqa: B009 - not in its types
    found: socket.socket | None = transport.get_extra_info("socket")
    if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 10),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 20_000),
    ):
        if hasattr(socket, option):
            found.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
