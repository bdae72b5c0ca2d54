"""Delivered again, as a relay that died and a lease that lapsed do it; and a stream set back."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import asyncpg

import capture.service
import fulfillment.service
import inventory.service
import notification.service
import payment.service
from crash_stories import Shop
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


@dataclass(frozen=True, slots=True)
class Again:
    """What was delivered once more, by its kind, against how much of it there was at the least."""

    counts: Mapping[str, int]
    owed: Mapping[str, int]
    violations: Sequence[str]

    @property
    def lacking(self) -> str:
        """In words, what was not delivered again though there was something; empty if it was."""
        short = [
            f"{self.counts[what]} of {n} {what}"
            for what, n in self.owed.items()
            if self.counts[what] < n
        ]
        return f"delivered again: {', '.join(short)}" if short else ""


async def deliver(system: System, service: str, shop: Shop, events: Sequence[Recorded]) -> Again:
    """Every message of a shop's orders and goods, every command, every job of these events.

    Counted where it arrives: repetitions as the bus has them, answers, jobs that are due.
    """
    due = _jobs_of(events)
    keys = {*shop.orders, *shop.skus}
    before = await _doubled(system, keys)
    await send_messages(system, keys)
    messages = await _doubled(system, keys) - before
    answered = shop.answered_again
    violations = await shop.send_again()
    counts = {
        "messages": messages,
        "commands": shop.answered_again - answered,
        "jobs": await schedule_jobs(system, service, due),
    }
    owed = {"messages": 1, "commands": len(shop.sent), "jobs": len(due)}
    return Again(counts, owed, violations)


_DOUBLED = """
SELECT count(*) - count(DISTINCT (topic, key, headers, value)) FROM bus_log
 WHERE key = ANY($1::bytea[])
"""


async def _doubled(system: System, keys: Collection[str]) -> int:
    """How many messages of these keys stand on the bus as repetitions, whoever sent them."""
    connection = await asyncpg.connect(system.databases["bus"])
    try:
        found: int = await connection.fetchval(_DOUBLED, [key.encode() for key in keys])
    finally:
        await connection.close()
    return found


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


def _jobs_of(events: Sequence[Recorded]) -> Sequence[Job]:
    """Every job that these events ever made due, each once."""
    return list({job.id: job for event in events for job in _jobs(event)}.values())


async def schedule_jobs(system: System, service: str, jobs: Sequence[Job]) -> int:
    """Make these due now, once more; answers how many of their kinds are due then."""
    if not jobs:
        return 0
    store = await PostgresStore.open(
        system.databases[service], clock=SystemClock(), max_connections=2
    )
    try:
        async with store.transaction() as transaction:
            # The store's idea of the time may be a little ahead of the database's.
            now = store.now() - timedelta(seconds=1)
            await transaction.jobs.schedule([replace(job, due_at=now) for job in jobs])
            due = await transaction.jobs.job_backlog()
            return sum(due[kind].count for kind in {job.kind for job in jobs} if kind in due)
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
