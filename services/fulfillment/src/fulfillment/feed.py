"""Our own events by number, for warehouses without Kafka: replayable from any cursor.

The numbers are a promise to those who keep a cursor, so this is no rebuildable view. Their counter
stays locked from the taking to the commit, whatever else the transaction writes: they are gapless
and in commit order, and who sees a number can see all before it.
"""

import json
from collections.abc import Sequence

from fulfillment import bodies
from waybill_events import envelope
from waybill_events.catalogue import CATALOGUE
from waybill_runtime.consumer import Incoming
from waybill_runtime.http import conditions
from waybill_runtime.http.problem import Refused
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.stored import Document
from waybill_runtime.work import Work

FEED = "feed"
DIGITS = 16
START = "0" * DIGITS

HANDLES = frozenset(type_ for type_, entry in CATALOGUE.items() if entry.topic == "fulfillment")
"""Everything that the topic carries."""


async def add(work: Work, batch: Sequence[Incoming]) -> None:
    """Number these events and keep them, in the consumer's transaction."""
    if not batch:
        return
    first = await work.transaction.numbers.take_numbers(f"{FEED}:{work.tenant}", len(batch))
    documents = {
        f"{first + place:0{DIGITS}d}": _document(incoming) for place, incoming in enumerate(batch)
    }
    await work.transaction.documents.put(work.tenant, FEED, documents)


def _document(incoming: Incoming) -> Document:
    recorded = incoming.recorded
    body = json.dumps(
        envelope.structured(recorded, json.loads(recorded.data)), separators=(",", ":")
    )
    location = getattr(incoming.event, "location", None)
    return Document(body, attributes={} if location is None else {"location": location})


class Feed:
    """Reads the feed."""

    def __init__(self, on: Infrastructure) -> None:
        self._on = on

    async def read(
        self, tenant: str, cursor: str | None, location: str | None, limit: int
    ) -> bodies.FeedPage:
        """The events after a cursor, of one location if one is given.

        Raises:
            Refused: 422, it is none of our cursors.
        """
        after = _number(cursor)
        wanted = {} if location is None else {"location": location}
        async with self._on.store.reading() as reading:
            # The end is read first: whatever is up to it is visible to the read that follows.
            newest = await reading.documents.find(tenant, FEED, {}, descending=True, limit=1)
            found = await reading.documents.find(tenant, FEED, wanted, after=after, limit=limit + 1)
        page = found[:limit]
        more = len(found) > limit
        last = page[-1][0] if page else after
        end = newest[0][0] if newest else START
        return bodies.FeedPage(
            data=[json.loads(document.body) for _, document in page],
            next_cursor=conditions.cursor_of(last if more else max(last, end, after)),
            has_more=more,
        )


def _number(cursor: str | None) -> str:
    key = conditions.key_of(cursor)
    if key is None:
        return START
    if len(key) != DIGITS or not (key.isascii() and key.isdigit()):
        raise Refused(422, "invalid-cursor", "Use `next_cursor` of a page of this feed, unchanged.")
    return key
