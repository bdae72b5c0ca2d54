"""From the outbox to the bus: at least once, in each stream's order, one relay per store.

Rows are found by flag in one statement, never by a cursor: an identity column is drawn before its
transaction commits, so a cursor passes over late commits (reliability: polling an identity).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from waybill_events import envelope
from waybill_events.envelope import Recorded
from waybill_runtime import forked, metrics
from waybill_runtime.bus import SENT_AGAIN, Bus, BusUnavailable, Message, Producer
from waybill_runtime.lifecycle import Stopping, Wake, rest_s
from waybill_runtime.store import Store
from waybill_runtime.stored import Committed, Unpublished

log = structlog.get_logger("waybill.relay")

BATCH = 1_000
POLL_S = 0.05
IDLE_POLL_S = 0.25
STANDBY_S = 1.0
REST_S_MAX = 0.1
"""A relay that emptied its outbox rests for up to so long, so that more comes in one batch."""
LOOK_S = 0.2
"""How often a relay looks whether it still leads. Two at work send each event in order, twice."""


def message(event: Recorded) -> Message:
    """The bus message of an event: its envelope as headers, its JSON as value."""
    return Message(event.topic, event.key, event.data.encode(), envelope.headers(event))


def _sent(row: Unpublished) -> Message:
    """What was named again says so: a start that looks for what was lost has to know."""
    sent = message(row.event)
    return replace(sent, headers=(*sent.headers, SENT_AGAIN)) if row.is_again else sent


class Relay:
    """Publishes what the store has committed. Several may run; one of them works at a time."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        stopping: Stopping,
        *,
        shares_process: bool,
        topics: Sequence[str] = (),
        halt: Callable[[Sequence[Recorded]], None] = lambda _: None,
    ) -> None:
        """`shares_process`: the writers run here too and wake us, so we may poll slowly.

        `halt` is told once these own `topics` hold what the store does not; nothing is sent then.
        """
        self._store = store
        self._bus = bus
        self._stopping = stopping
        self._topics = topics
        self._halt = halt
        self._wake = Wake()
        self._poll_s = IDLE_POLL_S if shares_process else POLL_S
        store.on_commit(self._woken)

    def _woken(self, committed: Committed) -> None:
        if committed.appended:
            self._wake.set()

    async def run(self) -> None:
        """Publish for as long as this process leads; stand by otherwise."""
        while not self._stopping:
            async with self._store.leadership("relay") as leads:
                if leads:
                    await self._lead()
            await self._stopping.wait(STANDBY_S)

    async def _lead(self) -> None:
        # Whoever exchanges a store ends every leadership of the one before: here it shows first.
        if gone := await forked.look(self._store, self._bus, self._topics):
            self._halt(gone)
            return
        producer = await self._bus.producer()
        clock = asyncio.get_running_loop().time
        look_s = clock()
        try:
            while not self._stopping:
                begun_s = clock()
                if begun_s >= look_s:
                    if not await self._store.still_leader("relay"):
                        return
                    look_s = begun_s + LOOK_S
                match await self._publish(producer):
                    case 0:
                        await self._wake.wait(self._poll_s)
                    case sent if sent < BATCH:
                        await self._stopping.wait(rest_s(clock() - begun_s, REST_S_MAX))
        finally:
            await producer.close()

    async def _publish(self, producer: Producer) -> int:
        """Send one batch and mark it; what is sent and not marked is sent again."""
        async with self._store.reading() as reading:
            rows = await reading.streams.unpublished(BATCH)
        if not rows:
            return 0
        try:
            await producer.send([_sent(row) for row in rows])
        except BusUnavailable:
            metrics.RELAY_FAILURES.inc()
            raise
        await self._mark(rows)
        return len(rows)

    async def _mark(self, rows: Sequence[Unpublished]) -> None:
        # What the bus has taken may be sent again: the mark need not outlive a crash of the server.
        async with self._store.marking() as transaction:
            await transaction.streams.published([row.position for row in rows])
        metrics.RELAYED.inc(len(rows))
