"""Whether a store is behind the bus, or has gone on beside it: nothing may be published from it.

A store that was set back under a service at work reads on, and soon stands at the versions that it
had: then versions tell nothing any more, but what it said anew waits to be sent, and the bus holds
another event in its place.
"""

from collections.abc import Mapping, Sequence

from waybill_events.envelope import Recorded
from waybill_runtime import disowned, setback
from waybill_runtime.bus import Bus, Partition
from waybill_runtime.setback import Sent
from waybill_runtime.store import Store

WAITING_MAX = 10_000

Place = tuple[str, int]


async def look(store: Store, bus: Bus, topics: Sequence[str]) -> Sequence[Recorded]:
    """What these own `topics` hold and the store does not; empty when it may be published from.

    No alarm is false. A relay sends what is committed and on the disk, whichever relay it is, so
    what it sent is in a store that only goes on. What waits is read before the bus: sent meanwhile
    by somebody else, it stands there under its own id. A stranger's message is an alarm only where
    it follows our last, or while our own event of that version still waits and was never sent; once
    a person has disowned it, it is none.

    Raises:
        StoreUnavailable, BusUnavailable: nobody can say.
    """
    if gone := await setback.is_set_back(store, bus, topics):
        return gone
    # The newest that was lost stands at an end, and a store that passed it holds its place anew.
    if not await instead(store, bus, topics, tail=setback.TAIL):
        return ()
    return await instead(store, bus, topics)


async def instead(
    store: Store, bus: Bus, topics: Sequence[str], *, tail: int | None = None
) -> Sequence[Recorded]:
    """What the bus holds in places of what waits to be sent, and nobody disowned.

    `tail`: of so many messages at the end of each partition; of all when None.
    """
    async with store.reading() as reading:
        rows = await reading.streams.unpublished(WAITING_MAX)
    waiting = {(row.event.stream, row.event.version): row.event.event_id for row in rows}
    if not waiting:
        return ()
    found = _in_place_of(waiting, await setback.said(bus, topics, tail=tail))
    async with store.reading() as reading:
        gone = await disowned.known(reading, found)
    return [event for event in found if event.event_id not in gone]


def _in_place_of(
    waiting: Mapping[Place, str], said: Mapping[Partition, Sequence[Sent]]
) -> Sequence[Recorded]:
    """What the bus holds in places for which we have an event that it does not hold."""
    there = setback.once(one.event for of_partition in said.values() for one in of_partition)
    sent = {event.event_id for event in there}
    return [
        event
        for event in there
        if waiting.get((event.stream, event.version), event.event_id) not in sent
    ]
