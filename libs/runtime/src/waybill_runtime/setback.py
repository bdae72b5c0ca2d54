"""A store that was set back to an earlier backup: the bus holds what it said since then.

Going on from there would say other things under versions that others have taken: they would drop
them as known. So a service looks before it works, and stays halted until what it said is back.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import structlog

from waybill_events import codec
from waybill_events.catalogue import CATALOGUE
from waybill_events.codec import InvalidEvent, UnknownType
from waybill_events.envelope import Recorded, StreamId
from waybill_runtime import disowned, intake
from waybill_runtime.bus import Bus, Message, Partition, is_sent_again
from waybill_runtime.decider import AnyDecider
from waybill_runtime.disowned import NOTHING_DISOWNED, Disowned
from waybill_runtime.ids import Ids
from waybill_runtime.intake import Poison
from waybill_runtime.store import Store, Transaction
from waybill_runtime.stored import Job, StreamWrite
from waybill_runtime.transact import transact

log = structlog.get_logger("waybill.setback")

TAIL = 100
"""Messages at the end of each partition that a start looks at: among them stand the newest.

Not the last one alone: behind the newest may stand what a relay sent twice, or what is not ours.
"""
PAGE = 1_000
STREAMS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Lost:
    """What the bus holds under our name beyond our store."""

    events: Sequence[Recorded] = ()
    """Each follows what the store has of its stream, or the one before it, in order."""
    rivals: Sequence[Recorded] = ()
    """Others under the same stream and version as one of `events`: only one can be ours."""
    _newer: Sequence[tuple[Recorded, int]] = ()

    @classmethod
    def of(cls, newer: Sequence[tuple[Recorded, int]]) -> "Lost":
        """`newer` by stream and version, each with where its stream stands in the store.

        What follows nothing is somebody else's, and left out. Of rivals the first that came counts.
        """
        events, rivals = [], []
        for _, group in groupby(newer, lambda pair: pair[0].stream):
            at, last = 0, 0
            for event, stands_at in group:
                at = max(at, stands_at)
                if event.version == at + 1:
                    events.append(event)
                    at = last = event.version
                elif event.version == last:
                    rivals.append(event)
        return cls(events, rivals, newer)

    def without(self, ids: Collection[str]) -> "Lost":
        """As if these stood nowhere."""
        return Lost.of([pair for pair in self._newer if pair[0].event_id not in ids])


async def is_set_back(store: Store, bus: Bus, topics: Sequence[str]) -> Sequence[Recorded]:
    """What the store has lost of its own `topics`, by a look at their ends; empty when whole.

    The whole of the topics is read only where an end gives reason to: it holds what the store does
    not, or nothing but what was sent again. That stands in the order of streams, the newest
    anywhere in it; once something was said since and the store has it, the rest is there too.

    Raises:
        StoreUnavailable, BusUnavailable: nobody can say.
    """
    tails = await said(bus, topics, tail=TAIL)
    if not await _newer(store, tails) and not _is_all_sent_again(tails):
        return ()
    return (await look(store, bus, topics)).events


async def look(store: Store, bus: Bus, topics: Sequence[str]) -> Lost:
    """The whole of these topics, compared with the store. What was disowned is left out."""
    return Lost.of(await _newer(store, await said(bus, topics, tail=None)))


async def lost(store: Store, bus: Bus, topics: Sequence[str]) -> Sequence[Recorded]:
    """Every event of these topics that follows what the store has of its stream, in order."""
    return (await look(store, bus, topics)).events


@dataclass(frozen=True, slots=True)
class Sent:
    """An event as it stands on the bus."""

    event: Recorded
    is_again: bool


async def said(
    bus: Bus, topics: Sequence[str], *, tail: int | None
) -> Mapping[Partition, Sequence[Sent]]:
    """Our events there, by partition, in the order in which they came.

    `tail`: of so many messages at the end of each partition; of all when None.
    """
    found: dict[Partition, list[Sent]] = {}
    for partition, (first, end) in (await bus.bounds(topics)).items():
        found[partition] = []
        at = first if tail is None else max(first, end - tail)
        while at < end and (batch := await bus.read(partition, at, min(PAGE, end - at))):
            for delivery in batch:
                if (event := _ours(delivery.message)) is not None:
                    found[partition].append(Sent(event, is_sent_again(delivery.message)))
            at = batch[-1].offset + 1
    return found


def _ours(sent: Message) -> Recorded | None:
    """The event that a message carries, if it is one of ours, where it belongs."""
    try:
        event = intake.said(sent)
        StreamId.parse(event.stream)
        model = codec.decode(event)
    except (Poison, InvalidEvent, UnknownType, ValueError):
        return None
    return event if CATALOGUE[model.TYPE].topic == sent.topic else None


def _is_all_sent_again(tails: Mapping[Partition, Sequence[Sent]]) -> bool:
    """Whether something was sent again here, and nothing stands behind it that was not."""
    is_again = False
    for sent in tails.values():
        marks = [one.is_again for one in sent]
        if True in marks:
            is_again = True
            if not marks[-1]:
                return False
    return is_again


async def _newer(
    store: Store, sent: Mapping[Partition, Sequence[Sent]]
) -> Sequence[tuple[Recorded, int]]:
    """What is beyond the store's streams and not disowned, each once, and where those stand."""
    events = once(one.event for those in sent.values() for one in those)
    names = sorted({event.stream for event in events})
    versions: dict[str, int] = {}
    for start in range(0, len(names), STREAMS_AT_ONCE):
        async with store.reading() as reading:
            page = await reading.streams.load(names[start : start + STREAMS_AT_ONCE], lock=False)
        versions |= {name: stream.version for name, stream in page.items()}
    newer = [event for event in events if event.version > versions[event.stream]]
    if newer:
        async with store.reading() as reading:
            gone = await disowned.known(reading, newer)
        newer = [event for event in newer if event.event_id not in gone]
    return [(event, versions[event.stream]) for event in newer]


def once(events: Iterable[Recorded]) -> Sequence[Recorded]:
    """Each id once at its place, by stream and version; of one place the first that came first."""
    found: dict[tuple[str, int, str], Recorded] = {}
    for event in events:
        found.setdefault((event.stream, event.version, event.event_id), event)
    return sorted(found.values(), key=lambda event: (event.stream, event.version))


async def give_back(
    store: Store,
    ids: Ids,
    deciders: Collection[AnyDecider],
    events: Sequence[Recorded],
    gone: Disowned = NOTHING_DISOWNED,
) -> int:
    """Append lost events under their own ids and versions, and make due what they make due.

    `events` as `lost` gives them; may be told again. What is disowned is so from the first page
    on. Answers how many were appended.

    Raises:
        StoreUnavailable, VersionConflict: some streams may have theirs already; look again.
    """
    by_category = {decider.category: decider for decider in deciders}
    streams = [list(of) for _, of in groupby(events, lambda event: event.stream)]
    given = 0
    for start in range(0, max(len(streams), 1), STREAMS_AT_ONCE):
        page = streams[start : start + STREAMS_AT_ONCE]

        async def body(transaction: Transaction, page: Sequence[Sequence[Recorded]] = page) -> None:
            await disowned.keep(transaction, gone, store.now().isoformat())
            writes = [StreamWrite(of[0].stream, of[0].version - 1, of) for of in page]
            await transaction.streams.append(writes)
            jobs = _due(by_category, [event for of in page for event in of])
            await transaction.jobs.cancel([name for name, job in jobs.items() if job is None])
            await transaction.jobs.schedule([job for job in jobs.values() if job is not None])

        await transact(store, ids, body)
        given += sum(len(of) for of in page)
    for event in gone.events:
        log.warning("disowned", event_id=event.event_id, reason=gone.reason, actor=gone.actor)
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
