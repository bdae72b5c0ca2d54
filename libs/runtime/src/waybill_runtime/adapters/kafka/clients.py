"""How aiokafka's clients are made, and how they are got rid of when they will not stop.

Each setting that differs from aiokafka's default does so because the default loses, doubles or
hangs (reliability 2.3 and 4.1). No transactional id and no group instance id, ever: aiokafka
speaks too old a protocol for either to fence anything (what a static member is good for, is in
`succession`).
"""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaError

from waybill_runtime.bus import BusUnavailable

log = structlog.get_logger(__name__)

START_S = 10.0
STOP_S = 3.0
UNDO_S = 1.0
METADATA_PAUSE_S = 0.1
"""Between two requests for metadata, as Java's client has it (`retry.backoff.ms`)."""

FAILURES = (KafkaError, OSError, TimeoutError, AssertionError)
"""aiokafka asserts where a topic or partition is unknown to its metadata."""

_REQUEST_MS = 10_000
_METADATA_MS = 30_000


def new_producer(bootstrap: str) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id="waybill",
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        request_timeout_ms=_REQUEST_MS,
        metadata_max_age_ms=_METADATA_MS,
        max_batch_size=256 * 1024,
        max_request_size=1024 * 1024,
    )
    _pace(producer.client)
    return producer


def new_member(
    bootstrap: str,
    group: str,
    *,
    client_id: str,
    session_timeout_ms: int,
    heartbeat_interval_ms: int,
) -> AIOKafkaConsumer:
    """A group member of the classic protocol, the only one that aiokafka speaks."""
    member = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id=client_id,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=session_timeout_ms,
        heartbeat_interval_ms=heartbeat_interval_ms,
        rebalance_timeout_ms=60_000,
        max_poll_interval_ms=300_000,
        request_timeout_ms=_REQUEST_MS,
        metadata_max_age_ms=_METADATA_MS,
        max_poll_records=200,
        check_crcs=True,
    )
    _pace(member._client)
    return member


def new_reader(bootstrap: str) -> AIOKafkaConsumer:
    """A consumer of no group, for partitions that it is told."""
    reader = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id="waybill-reader",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=_REQUEST_MS,
        metadata_max_age_ms=_METADATA_MS,
        fetch_max_wait_ms=100,
        check_crcs=True,
    )
    _pace(reader._client)
    return reader


def new_admin(bootstrap: str) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, client_id="waybill-admin", request_timeout_ms=_REQUEST_MS
    )
    _pace(admin._client)
    return admin


def _pace(client: AIOKafkaClient) -> None:
    """Let metadata be asked for no more often than METADATA_PAUSE_S allows.

    aiokafka's producer and fetcher ask again at once while a leader is unknown: beside a broker
    that refuses connections, one client tried 2,800 times a second and held a core.
    """
    clock = asyncio.get_running_loop().time
    ask = client._metadata_update
    free_s = 0.0

    async def paced(cluster: ClusterMetadata, topics: Collection[str]) -> bool:
        nonlocal free_s
        await asyncio.sleep(max(0.0, free_s - clock()))
        free_s = clock() + METADATA_PAUSE_S
        return bool(await ask(cluster, topics))

    client._metadata_update = paced


async def started(client: Any, deadline_s: float = START_S) -> None:
    """Start a client, or undo what it had begun.

    Raises:
        BusUnavailable: no broker answered in time.
    """
    starting = asyncio.get_running_loop().create_task(client.start())
    try:
        async with asyncio.timeout(deadline_s):
            await asyncio.shield(starting)
    except BaseException as error:
        await asyncio.shield(_undo(client, starting))
        if isinstance(error, FAILURES):
            raise BusUnavailable(f"{type(error).__name__}: {error}") from error
        raise


async def _undo(client: Any, starting: "asyncio.Task[None]") -> None:
    """Stop what is still starting; cancelled while it connects, it would leave a socket open."""
    await asyncio.wait({starting}, timeout=UNDO_S)
    _cancel(starting)
    await asyncio.wait({starting}, timeout=UNDO_S)
    await discard(client)


async def discard(client: Any) -> None:
    """Stop a client within a few seconds, and whatever of it is left after that by force.

    A stop may wait for the broker for ever. A client that is merely dropped goes on in the
    background: its producer writes what was given up long ago, its heartbeat keeps partitions
    that nobody reads. There is no public way to its tasks.
    """
    if isinstance(client, AIOKafkaProducer):
        await _bounded("producer connections", client.client.close())
        _cancel(getattr(client._sender, "sender_task", None))
    is_admin = isinstance(client, AIOKafkaAdminClient)
    await _bounded(type(client).__name__, client.close() if is_admin else client.stop())
    if isinstance(client, AIOKafkaConsumer):
        await kill(client)


async def kill(consumer: AIOKafkaConsumer) -> None:
    """End a consumer's tasks and connections without a word to the broker; may be called twice."""
    consumer._closed = True
    coordinator, fetcher = consumer._coordinator, consumer._fetcher
    for name in ("_coordination_task", "_heartbeat_task", "_commit_refresh_task"):
        _cancel(getattr(coordinator, name, None))
    _cancel(getattr(fetcher, "_fetch_task", None))
    await _bounded("consumer connections", consumer._client.close())


async def _bounded(what: str, closing: Coroutine[Any, Any, None]) -> None:
    """Run it for a few seconds, in a task of its own: whatever comes of it must not reach us.

    aiokafka awaits tasks that it cancelled, and lets their CancelledError out: a poll would take
    it for its own and end.
    """
    task = asyncio.get_running_loop().create_task(closing)
    await asyncio.wait({task}, timeout=STOP_S)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=UNDO_S)
    if not task.done() or task.cancelled() or task.exception() is not None:
        log.warning("kafka.abandoned", what=what)


def _cancel(task: "asyncio.Task[object] | None") -> None:
    if task is not None and not task.done():
        task.cancel()
