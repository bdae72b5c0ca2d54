"""Delivered again, as a relay that died and a lease that lapsed do it; and a stream set back."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import asyncpg

import capture.service
import fulfillment.service
import inventory.service
import notification.service
import payment.service
from crash_system import System
from fulfillment.due import Deadlines
from waybill_events import codec
from waybill_events.envelope import Recorded, StreamId
from waybill_runtime.adapters.postgres.bus_codec import unpack
from waybill_runtime.adapters.postgres.store import PostgresStore
from waybill_runtime.bus import Message
from waybill_runtime.clock import SystemClock
from waybill_runtime.decider import AnyDecider
from waybill_runtime.stored import Job


async def send_messages(system: System, keys: Collection[str]) -> None:
    """Put every message of these keys on the bus once more, in its order."""
    connection = await asyncpg.connect(system.databases["bus"])
    try:
        rows = await connection.fetch(
            "SELECT topic, key, headers, value FROM bus_log WHERE key = ANY($1::bytea[])"
            ' ORDER BY topic, partition, "offset"',
            [key.encode() for key in keys],
        )
    finally:
        await connection.close()
    producer = await system.bus.producer()
    await producer.send(
        [
            Message(row["topic"], row["key"].decode(), row["value"], unpack(row["headers"]))
            for row in rows
        ]
    )
    await producer.close()


async def schedule_jobs(system: System, service: str, events: Sequence[Recorded]) -> None:
    """Make every job due once more that these events of a service ever made due."""
    due = {job.id: job for event in events for job in _jobs(event)}
    if not due:
        return
    store = await PostgresStore.open(
        system.databases[service], clock=SystemClock(), max_connections=2
    )
    try:
        async with store.transaction() as transaction:
            now = store.now()
            jobs = [dataclasses.replace(job, due_at=now) for job in due.values()]
            await transaction.jobs.schedule(jobs)
    finally:
        await store.close()


async def set_back(system: System, service: str, key: str) -> None:
    """Take the newest event of one stream of this key away, as the restore of an old backup does.

    Only once all is quiet: what follows from the event is there already.
    """
    connection = await asyncpg.connect(system.databases[service])
    try:
        async with connection.transaction():
            await connection.execute("ALTER TABLE events DISABLE TRIGGER events_are_immutable")
            stream = await connection.fetchval(
                "UPDATE streams SET version = version - 1 WHERE stream ="
                " (SELECT stream FROM events WHERE key = $1 AND version > 1 LIMIT 1)"
                " RETURNING stream",
                key,
            )
            await connection.execute(
                "DELETE FROM events e USING streams s WHERE e.stream = s.stream"
                " AND e.stream = $1 AND e.version > s.version",
                stream,
            )
            await connection.execute(
                "ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_immutable"
            )
    finally:
        await connection.close()


_WITHIN = Deadlines(
    accept_s=1, pick_s=60, pack_s=60, ship_s=60, deliver_s=60, label_grace_s=0, track_s=0.3
)
_DECIDERS: Mapping[str, AnyDecider] = {
    decider.category: decider
    for decider in (
        capture.service.ORDER,
        inventory.service.RESERVATION,
        payment.service.PAYMENT,
        fulfillment.service.rules(_WITHIN),
        notification.service.MESSAGE,
    )
}


def _jobs(event: Recorded) -> Sequence[Job]:
    decider: Any = _DECIDERS.get(StreamId.parse(event.stream).category)
    if decider is None:
        return ()
    followed: Sequence[Job] = decider.follow(event, codec.decode(event)).schedule
    return followed
