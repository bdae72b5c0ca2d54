"""Bugs in the SQL of the store, and in how it is used: real Postgres alone shows them."""

from collections.abc import Collection, Iterator, Mapping

from bugs.planting import Edit, bug
from waybill_runtime import relay
from waybill_runtime.adapters.postgres import inbox, streams
from waybill_runtime.adapters.postgres.streams import PostgresStreams
from waybill_runtime.bus import Producer
from waybill_runtime.relay import Relay
from waybill_runtime.stored import Stream


@bug("I10", by="postgres")
def cursor_by_identity() -> Iterator[Edit]:
    """The relay remembers the last place in the outbox that it has sent, and looks behind it."""

    async def publish(self: Relay, producer: Producer) -> int:
        async with self._store.reading() as reading:
            rows = await reading.streams.unpublished(relay.BATCH)
        rows = [row for row in rows if row.position > sent.get(id(self), 0)]
        if not rows:
            return 0
        await producer.send([relay.message(row.event) for row in rows])
        await self._mark(rows)
        sent[id(self)] = rows[-1].position
        return len(rows)

    sent: dict[int, int] = {}
    yield Edit(Relay, "_publish", publish)


@bug("I11", by="postgres")
def order_by_xid_with_early_write() -> Iterator[Edit]:
    """The outbox is read in the order of transaction ids, which are drawn at the first write."""
    wrong = streams.UNPUBLISHED.replace(
        "ORDER BY o.position", "ORDER BY o.xmin::text::bigint, o.position"
    )
    yield Edit(streams, "UNPUBLISHED", wrong)


@bug(by="postgres")
def lock_order_unsorted() -> Iterator[Edit]:
    """Streams are locked one by one, in the order in which they were asked for."""

    async def load(
        self: PostgresStreams, wanted: Collection[str], *, lock: bool
    ) -> Mapping[str, Stream]:
        found: dict[str, Stream] = {}
        for stream in wanted:
            found |= await real(self, [stream], lock=lock)
        return found

    real = PostgresStreams.load
    yield Edit(PostgresStreams, "load", load)


@bug(by="postgres")
def cas_without_epoch() -> Iterator[Edit]:
    """A position is compared by its offset alone, whoever of all owners moves it."""
    wrong = inbox.ADVANCE.replace("p.epoch = m.epoch AND ", "").replace(
        " WHERE h.epoch = m.epoch", ""
    )
    yield Edit(inbox, "ADVANCE", wrong)
