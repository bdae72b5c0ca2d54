"""A store that was set back to an earlier backup: the bus holds what it said since then.

Going on from there would say other things under versions that others have taken: they would drop
them as known. So a service looks before it works, and stays halted until what it said is back.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby

from waybill_events import codec
from waybill_events.catalogue import CATALOGUE
from waybill_events.codec import InvalidEvent, UnknownType
from waybill_events.envelope import Recorded, StreamId
from waybill_runtime import intake
from waybill_runtime.bus import Bus
from waybill_runtime.decider import AnyDecider
from waybill_runtime.ids import Ids
from waybill_runtime.intake import Poison
from waybill_runtime.store import Store, Transaction
from waybill_runtime.stored import Job, StreamWrite
from waybill_runtime.transact import transact

TAIL = 100
"""Messages at the end of each partition that a start looks at: among them stand the newest."""
PAGE = 1_000
STREAMS_AT_ONCE = 200


async def is_set_back(store: Store, bus: Bus, topics: Sequence[str]) -> Sequence[Recorded]:
    """What the store has lost of its own `topics`, by a look at their ends; empty when whole.

    The whole of the topics is read only where an end gives reason to.

    Raises:
        StoreUnavailable, BusUnavailable: nobody can say.
    """
    if not await _newer(store, await _said(bus, topics, tail=TAIL)):
        return ()
    return await lost(store, bus, topics)


async def lost(store: Store, bus: Bus, topics: Sequence[str]) -> Sequence[Recorded]:
    """Every event of these topics that follows what the store has of its stream, in order.

    What is no event of ours, or follows nothing, is somebody else's, and left out.
    """
    newer = await _newer(store, await _said(bus, topics, tail=None))
    found: list[Recorded] = []
    for _, events in groupby(newer, lambda pair: pair[0].stream):
        at = 0
        for event, stands_at in events:
            at = max(at, stands_at)
            if event.version == at + 1:
                found.append(event)
                at = event.version
    return found


async def _said(bus: Bus, topics: Sequence[str], *, tail: int | None) -> Sequence[Recorded]:
    found: dict[tuple[str, int], Recorded] = {}
    for partition, (first, end) in (await bus.bounds(topics)).items():
        at = first if tail is None else max(first, end - tail)
        while at < end and (batch := await bus.read(partition, at, min(PAGE, end - at))):
            for delivery in batch:
                sent = delivery.message
                try:
                    event = intake.opened(sent.topic, sent.key, sent.headers, sent.value)
                    StreamId.parse(event.stream)
                    model = codec.decode(event)
                except (Poison, InvalidEvent, UnknownType, ValueError):
                    continue
                if CATALOGUE[model.TYPE].topic == sent.topic:
                    found.setdefault((event.stream, event.version), event)
            at = batch[-1].offset + 1
    return [found[place] for place in sorted(found)]


async def _newer(store: Store, events: Sequence[Recorded]) -> Sequence[tuple[Recorded, int]]:
    """Those beyond what the store has of their stream, and where that stands."""
    names = sorted({event.stream for event in events})
    versions: dict[str, int] = {}
    for start in range(0, len(names), STREAMS_AT_ONCE):
        async with store.reading() as reading:
            page = await reading.streams.load(names[start : start + STREAMS_AT_ONCE], lock=False)
        versions |= {name: stream.version for name, stream in page.items()}
    return [(e, versions[e.stream]) for e in events if e.version > versions[e.stream]]


async def give_back(
    store: Store, ids: Ids, deciders: Collection[AnyDecider], events: Sequence[Recorded]
) -> int:
    """Append lost events under their own ids and versions, and make due what they make due.

    `events` as `lost` gives them; may be told again. Answers how many were appended.

    Raises:
        StoreUnavailable, VersionConflict: some streams may have theirs already; look again.
    """
    by_category = {decider.category: decider for decider in deciders}
    streams = [list(of) for _, of in groupby(events, lambda event: event.stream)]
    given = 0
    for start in range(0, len(streams), STREAMS_AT_ONCE):
        page = streams[start : start + STREAMS_AT_ONCE]

        async def body(transaction: Transaction, page: Sequence[Sequence[Recorded]] = page) -> None:
            writes = [StreamWrite(of[0].stream, of[0].version - 1, of) for of in page]
            await transaction.streams.append(writes)
            jobs = _due(by_category, [event for of in page for event in of])
            await transaction.jobs.cancel([name for name, job in jobs.items() if job is None])
            await transaction.jobs.schedule([job for job in jobs.values() if job is not None])

        await transact(store, ids, body)
        given += sum(len(of) for of in page)
    return given


def _due(
    deciders: Mapping[str, AnyDecider], events: Sequence[Recorded]
) -> Mapping[str, Job | None]:
    jobs: dict[str, Job | None] = {}
    for event in events:
        follow = deciders[StreamId.parse(event.stream).category].follow(event, codec.decode(event))
        jobs.update(dict.fromkeys(follow.cancel))
        jobs.update({job.id: job for job in follow.schedule})
    return jobs
