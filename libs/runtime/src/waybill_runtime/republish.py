"""Give a lost bus its events again: the events table is the log (decision 0005).

Under the leadership of every relay concerned, so that none sends meanwhile: consumers are placed
where the bus ends now, each store names all of its events as unpublished, and what stood on the
bus before is cut off. The relays then send, each stream from its first event; inboxes drop what
was applied. Killed at any point it is run again, and nothing is skipped meanwhile: consumers are
placed before anything can be sent.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from waybill_runtime.bus import Bus, Partition
from waybill_runtime.ids import Ids
from waybill_runtime.store import Store, Transaction
from waybill_runtime.transact import transact

log = structlog.get_logger("waybill.republish")

GIVE_WAY_S = 60.0


class RelayAtWork(Exception):
    """A relay does not give way, so that nothing was changed."""


@dataclass(frozen=True, slots=True)
class Republished:
    """How many events each service has named as unpublished."""

    named: Mapping[str, int]


async def republish(
    stores: Mapping[str, Store],
    bus: Bus,
    ids: Ids,
    *,
    publishers: Mapping[str, Sequence[str]],
    subscriptions: Mapping[str, Sequence[str]],
) -> Republished:
    """Prepare everything; the relays send it afterwards, as `outbox_backlog` shows.

    `publishers`: the topics of each service that is to publish again; `subscriptions`: the topics
    that each service reads. Stores of all services that are named in either.

    Raises:
        RelayAtWork: nothing was changed.
        StoreUnavailable, BusUnavailable: run it again.
    """
    topics = sorted({topic for published in publishers.values() for topic in published})
    await bus.ensure_topics(topics)
    async with AsyncExitStack() as stack:
        for name in sorted(publishers):
            leadership = stores[name].leadership("relay", insist_s=GIVE_WAY_S)
            if not await stack.enter_async_context(leadership):
                raise RelayAtWork(f"the relay of {name} does not give way")
        ends = {partition: end for partition, (_, end) in (await bus.bounds(topics)).items()}
        for name, reads in sorted(subscriptions.items()):
            placed = {p: end for p, end in ends.items() if p.topic in reads}
            await _place(stores[name], ids, name, placed)
        named = {name: await _unpublish(stores[name], ids) for name in sorted(publishers)}
        await bus.cut(ends)
    log.warning("republishing", events=sum(named.values()), topics=topics)
    return Republished(named)


async def _place(store: Store, ids: Ids, name: str, offsets: Mapping[Partition, int]) -> None:
    async def body(transaction: Transaction) -> None:
        await transaction.inbox.restart(name, offsets)

    await transact(store, ids, body)


async def _unpublish(store: Store, ids: Ids) -> int:
    async def body(transaction: Transaction) -> int:
        return await transaction.streams.unpublish()

    return await transact(store, ids, body)


async def unsent(stores: Collection[Store]) -> int:
    """How many events of these stores wait for their relays."""
    waiting = 0
    for store in stores:
        async with store.reading() as reading:
            waiting += (await reading.streams.outbox_backlog()).count
    return waiting
