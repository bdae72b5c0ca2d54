"""Bugs between the outbox and the bus."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from bugs.planting import Edit, bug
from waybill_events import codec
from waybill_events.envelope import Recorded
from waybill_runtime import relay
from waybill_runtime.bus import BusUnavailable, Delivery, Message, Producer
from waybill_runtime.consumer import EventConsumer
from waybill_runtime.relay import Relay
from waybill_runtime.work import Work


@bug("I10")
def mark_before_ack() -> Iterator[Edit]:
    """The relay deletes rows from the outbox before the bus has acknowledged them."""

    async def publish(self: Relay, producer: Producer) -> int:
        async with self._store.reading() as reading:
            rows = await reading.streams.unpublished(relay.BATCH)
        if not rows:
            return 0
        await self._mark(rows)
        await producer.send([relay.message(row.event) for row in rows])
        return len(rows)

    yield Edit(Relay, "_publish", publish)


@bug("I10")
def publish_before_commit() -> Iterator[Edit]:
    """A consumer sends what it decided to the bus at once, before its transaction has committed."""

    async def apply(self: EventConsumer, batch: Sequence[Delivery]) -> None:
        async with self._store.transaction() as transaction:
            fresh, _ = await self._fence(transaction, batch)
            if not fresh:
                return
            order = await self._sort(transaction, fresh)
            for tenant, group in groupby(
                sorted(order.apply, key=lambda i: i.recorded.tenant), lambda i: i.recorded.tenant
            ):
                work = Work(transaction, now=self._store.now(), ids=self._ids, tenant=tenant)
                await self._handler(work, list(group))
                await work.flush()
                producer = await self._bus.producer()
                written = [event for opened in work._open.values() for event in opened.written]
                await producer.send([relay.message(event) for event in written])
            if order.marks:
                await transaction.inbox.mark(self._name, order.marks)
            if order.park:
                await transaction.parking.park(self._name, order.park)

    yield Edit(EventConsumer, "_apply", apply)


@bug("I9")
def relay_tells_it_anew() -> Iterator[Edit]:
    """The relay reads each event with today's model and sends that, instead of what was stored."""

    def message(event: Recorded) -> Message:
        told = relay_message(event)
        value = codec.decode(event).model_dump_json(indent=1).encode()
        return Message(told.topic, told.key, value, told.headers)

    relay_message = relay.message
    yield Edit(relay, "message", message)


@bug("I10", "I7")
def send_cut_short_counts_as_sent() -> Iterator[Edit]:
    """The relay takes a send that failed for one that will arrive: it is only slow today."""

    async def publish(self: Relay, producer: Producer) -> int:
        async with self._store.reading() as reading:
            rows = await reading.streams.unpublished(relay.BATCH)
        if not rows:
            return 0
        try:
            await producer.send([relay.message(row.event) for row in rows])
        except BusUnavailable as error:
            relay.log.warning("the bus is slow", error=str(error))
        await self._mark(rows)
        return len(rows)

    yield Edit(Relay, "_publish", publish)


@bug("I11")
def sent_side_by_side() -> Iterator[Edit]:
    """The relay sends a batch newest first, as a stack that is emptied from its top."""

    async def publish(self: Relay, producer: Producer) -> int:
        async with self._store.reading() as reading:
            rows = list(await reading.streams.unpublished(relay.BATCH))
        if not rows:
            return 0
        while rows:
            row = rows.pop()
            await producer.send([relay.message(row.event)])
            await self._mark([row])
        return 1

    yield Edit(Relay, "_publish", publish)
