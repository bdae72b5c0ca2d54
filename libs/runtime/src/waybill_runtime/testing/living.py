"""A service with one view, live on a bus in memory: what it takes, parks, gives up and rebuilds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime.bus import Delivery
from waybill_runtime.consumer import EventConsumer, Incoming
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.projector import View, projecting
from waybill_runtime.rebuild import Comparison, Rebuild
from waybill_runtime.relay import message
from waybill_runtime.testing.world import World, recorded
from waybill_runtime.unpark import Unparking
from waybill_runtime.work import Work

TYPE = ContactPreferenceChanged.TYPE


@dataclass(frozen=True)
class Listed:
    versions: tuple[int, ...]


def _list(view: Listed | None, recorded: Recorded, _: Event) -> Listed:
    return Listed((*(view.versions if view else ()), recorded.version))


LISTS: View[Listed] = View(
    name="lists",
    model=TypeAdapter(Listed),
    handles=frozenset({TYPE}),
    topics=("notifications",),
    key=lambda recorded, _: recorded.stream,
    project=_list,
)


def event(stream: str, version: int, *, type_: str = TYPE) -> Recorded:
    """All streams share a key, so that what is parked of one holds up the others."""
    fact = ContactPreferenceChanged(customer_ref="c", channel="email", allowed=True)
    return recorded(fact, stream=stream, version=version, topic="notifications", type_=type_)


def forged(stream: str, version: int, *, data: str = '{"customer_ref": 5}') -> Recorded:
    """Somebody else's message at a place of the stream: its id is in no store."""
    return replace(event(stream, version), event_id=f"forged {stream}@{version}", data=data)


class Living:
    """A service with one view, whose handler fails on what is `broken`."""

    def __init__(self, on: Infrastructure) -> None:
        self.on = on
        self.broken: set[str] = set()
        self._handler = projecting([LISTS], self._fail, [TYPE])

    async def _fail(self, _: Work, batch: Sequence[Incoming]) -> None:
        if any(incoming.recorded.event_id in self.broken for incoming in batch):
            raise ArithmeticError("cannot be applied")

    async def send(self, *events: Recorded) -> None:
        """Put these on the bus, in this order; nobody takes them yet."""
        producer = await self.on.bus.producer()
        await producer.send([message(each) for each in events])
        await producer.close()

    async def take(self, *events: Recorded) -> None:
        """Send these, and take all that is on the bus."""
        await self.send(*events)
        member = self._member()
        for partition, (_, end) in (await self.on.bus.bounds(["notifications"])).items():
            start = (await member.assigned([partition]))[partition]
            batch: Sequence[Delivery] = await self.on.bus.read(partition, start, end - start)
            if batch:
                await member.take(batch)

    def _member(self) -> EventConsumer:
        on = self.on
        return EventConsumer(
            name="group",
            topics=["notifications"],
            handles=[TYPE],
            handler=self._handler,
            store=on.store,
            bus=on.bus,
            ids=on.ids,
            stopping=on.stopping,
        )

    def unparking(self) -> Unparking:
        on = self.on
        return Unparking("group", handles=[TYPE], handler=self._handler, store=on.store, ids=on.ids)

    async def retry(self) -> None:
        await self.unparking().retry("k")

    async def discard(self, *, whole_key: bool = False) -> None:
        await self.unparking().discard("k", reason="r", actor="staff:me", whole_key=whole_key)

    def rebuild(self, *, switch: bool) -> Rebuild:
        on = self.on
        return Rebuild(
            LISTS, consumer="group", store=on.store, bus=on.bus, ids=on.ids, switch=switch
        )

    async def compare(self, *, switch: bool = False) -> Comparison:
        build = self.rebuild(switch=switch)
        async for _ in build.run():
            pass
        assert build.comparison is not None
        return build.comparison

    async def shows(self, stream: str = "s") -> tuple[int, ...]:
        async with self.on.store.reading() as reading:
            found = await reading.documents.get("default", "lists", [stream])
        return LISTS.model.validate_json(found[stream].body).versions if found else ()

    async def generation(self) -> int:
        async with self.on.store.reading() as reading:
            return await reading.documents.generation("lists")


async def living() -> Living:
    on = World().infrastructure("db")
    await on.bus.ensure_topics(["notifications"])
    return Living(on)
