"""What a person gave up: kept by event id, so that it takes no place from another event.

The inbox does not move for it. Whether a stream has any such event is told by one more mark in the
inbox, read with the stream's own; only where there is one are the records looked up.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby

from waybill_events.envelope import Recorded
from waybill_runtime.intake import DISCARDED, GivenUp
from waybill_runtime.store import Transaction
from waybill_runtime.stored import Document

PAGE = 500


async def look(
    transaction: Transaction, consumer: str, events: Iterable[Recorded]
) -> tuple[Mapping[str, int], Mapping[str, GivenUp]]:
    """The last version taken of each stream, and what was given up where that may matter."""
    lowest: dict[str, Recorded] = {}
    for event in events:
        before = lowest.setdefault(event.stream, event)
        if event.version < before.version:
            lowest[event.stream] = event
    marks = await transaction.inbox.seen(consumer, [*lowest, *(mark_of(s) for s in lowest)])
    seen = {stream: marks[stream] for stream in lowest if stream in marks}
    found = {}
    for stream, first in lowest.items():
        newest = marks.get(mark_of(stream), 0)
        if newest and newest >= min(first.version, seen.get(stream, 0) + 1):
            found[stream] = await _read(transaction, consumer, first.tenant, stream)
    return seen, found


def mark_of(stream: str) -> str:
    """What the inbox keeps the newest version under that was given up of a stream."""
    return f"{stream} discarded"


async def keep(
    transaction: Transaction, consumer: str, recorded: Recorded, told: Mapping[str, object]
) -> None:
    """This event is given up: it is never to be applied, and its place is free."""
    place = _place(consumer, recorded)
    name = f"{place}:{hashlib.sha256(recorded.event_id.encode()).hexdigest()[:32]}"
    attributes = {"key": recorded.key, "stream": _of(consumer, recorded.stream)}
    document = Document(json.dumps(told), attributes=attributes)
    await transaction.documents.put(recorded.tenant, DISCARDED, {name: document})
    await transaction.inbox.mark(consumer, {mark_of(recorded.stream): recorded.version})


async def keep_taken(transaction: Transaction, consumer: str, events: Collection[Recorded]) -> None:
    """These were taken where another event had been given up: each has its place for good."""
    for tenant, group in groupby(sorted(events, key=lambda e: e.tenant), lambda e: e.tenant):
        documents = {}
        for event in group:
            told = {"taken": event.event_id, "stream": event.stream, "version": event.version}
            attributes = {"stream": _of(consumer, event.stream)}
            document = Document(json.dumps(told), attributes=attributes)
            documents[f"{_place(consumer, event)}:taken"] = document
        await transaction.documents.put(tenant, DISCARDED, documents)


async def _read(transaction: Transaction, consumer: str, tenant: str, stream: str) -> GivenUp:
    events: dict[int, set[str]] = {}
    taken: dict[int, str] = {}
    after: str | None = None
    wanted = {"stream": _of(consumer, stream)}
    while page := await transaction.documents.find(
        tenant, DISCARDED, wanted, after=after, limit=PAGE
    ):
        for _, document in page:
            told = json.loads(document.body)
            if "taken" in told:
                taken[told["version"]] = told["taken"]
            else:
                event = told["event"]
                events.setdefault(event["version"], set()).add(event["event_id"])
        after = page[-1][0]
    return GivenUp(events, taken)


def _of(consumer: str, stream: str) -> str:
    return f"{consumer}:{stream}"


def _place(consumer: str, recorded: Recorded) -> str:
    return f"{_of(consumer, recorded.stream)}@{recorded.version}"
