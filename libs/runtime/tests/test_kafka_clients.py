"""What a Kafka client does beside a broker that is away, and needs no broker to show."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from waybill_runtime.adapters.kafka import clients

NOWHERE = "127.0.0.1:1"
LOOKS_S = 0.45
MOST = 6
"""The first at once, then one for each pause that has passed."""


def _member() -> Any:
    return clients.new_member(
        NOWHERE, "group", client_id="it", session_timeout_ms=6_000, heartbeat_interval_ms=1_000
    )


@pytest.mark.parametrize(
    ("make", "inner"),
    [
        (lambda: clients.new_producer(NOWHERE), "client"),
        (_member, "_client"),
        (lambda: clients.new_reader(NOWHERE), "_client"),
        (lambda: clients.new_admin(NOWHERE), "_client"),
    ],
    ids=["producer", "member", "reader", "admin"],
)
async def test_metadata_is_asked_for_at_once_and_then_not_without_a_pause(
    make: Callable[[], Any], inner: str
) -> None:
    made = make()
    client, asked = getattr(made, inner), 0
    clock = asyncio.get_running_loop().time
    until_s = clock() + LOOKS_S
    try:
        async with asyncio.timeout(clients.METADATA_PAUSE_S / 2):
            assert not await client._metadata_update(client.cluster, [])
        while clock() < until_s:
            assert not await client._metadata_update(client.cluster, [])
            asked += 1
        assert 1 <= asked <= MOST
    finally:
        await clients.discard(made)
