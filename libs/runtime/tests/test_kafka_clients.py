"""What a Kafka client does beside a broker that is away, and needs no broker to show."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from waybill_runtime.adapters.kafka import clients
from waybill_runtime.testing.world import simulate

NOWHERE = "127.0.0.1:1"


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
def test_metadata_is_asked_for_at_once_and_then_not_without_a_pause(
    make: Callable[[], Any], inner: str
) -> None:
    async def asked_at() -> list[float]:
        made = make()
        client, clock = getattr(made, inner), asyncio.get_running_loop().time
        begun_s, at = clock(), []
        try:
            for _ in range(4):
                assert not await client._metadata_update(client.cluster, [])
                at.append(clock() - begun_s)
        finally:
            await clients.discard(made)
        return at

    pause_s = clients.METADATA_PAUSE_S
    assert simulate(1, asked_at()) == pytest.approx([0, pause_s, 2 * pause_s, 3 * pause_s])
