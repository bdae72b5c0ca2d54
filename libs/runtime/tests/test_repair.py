"""A parked event that a person repaired: taken in order under its own id, live and rebuilt."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime.consumer import EventConsumer, Incoming
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.intake import REPAIRED
from waybill_runtime.projector import View, projecting
from waybill_runtime.rebuild import Comparison, Rebuild
from waybill_runtime.relay import message
from waybill_runtime.stored import Parked
from waybill_runtime.testing.world import World, recorded, simulate
from waybill_runtime.unpark import NotParked, Unfit, Unparking
from waybill_runtime.work import Work

TYPE = ContactPreferenceChanged.TYPE
TOPIC = "notifications"
POISON = '{"customer_ref": 7}'


@dataclass(frozen=True)
class Heard:
    said: tuple[str, ...]


def _hear(view: Heard | None, recorded: Recorded, event: Event) -> Heard:
    assert isinstance(event, ContactPreferenceChanged)
    heard = f"{recorded.event_id}: {event.customer_ref}"
    return Heard((*(view.said if view else ()), heard))


HEARS: View[Heard] = View(
    name="hears",
    model=TypeAdapter(Heard),
    handles=frozenset({TYPE}),
    topics=(TOPIC,),
    key=lambda recorded, _: recorded.stream,
    project=_hear,
)


def body(word: str) -> str:
    return ContactPreferenceChanged(
        customer_ref=word, channel="email", allowed=True
    ).model_dump_json()


def event(stream: str, version: int, *, is_poison: bool = False) -> Recorded:
    """All streams share a key, so that what is parked of one holds up the others."""
    fact = ContactPreferenceChanged(customer_ref="said", channel="email", allowed=True)
    good = recorded(fact, stream=stream, version=version, topic=TOPIC)
    return replace(good, data=POISON) if is_poison else good


class Living:
    """A service with one view, whose handler notes what it is given."""

    def __init__(self, on: Infrastructure) -> None:
        self.on = on
        self.applied: list[tuple[str, int]] = []
        self._handler = projecting([HEARS], self._note, [TYPE])

    async def _note(self, _: Work, batch: Sequence[Incoming]) -> None:
        self.applied += [(i.recorded.stream, i.recorded.version) for i in batch]

    async def take(self, *events: Recorded) -> None:
        on = self.on
        producer = await on.bus.producer()
        await producer.send([message(each) for each in events])
        member = EventConsumer(
            name="group",
            topics=[TOPIC],
            handles=[TYPE],
            handler=self._handler,
            store=on.store,
            bus=on.bus,
            ids=on.ids,
            stopping=on.stopping,
        )
        for partition, (_, end) in (await on.bus.bounds([TOPIC])).items():
            start = (await member.assigned([partition]))[partition]
            if batch := await on.bus.read(partition, start, end - start):
                await member.take(batch)

    def unparking(self) -> Unparking:
        on = self.on
        return Unparking("group", handles=[TYPE], handler=self._handler, store=on.store, ids=on.ids)

    async def parked(self) -> Sequence[Parked]:
        async with self.on.store.reading() as reading:
            return await reading.parking.parked("group")

    async def repair(self, position: int, word: str) -> None:
        await self.unparking().repair(position, body(word), reason="typo", actor="staff:me")

    async def compare(self, *, switch: bool = False) -> Comparison:
        on = self.on
        build = Rebuild(
            HEARS, consumer="group", store=on.store, bus=on.bus, ids=on.ids, switch=switch
        )
        async for _ in build.run():
            pass
        assert build.comparison is not None
        return build.comparison

    async def shows(self, stream: str = "s") -> tuple[str, ...]:
        async with self.on.store.reading() as reading:
            found = await reading.documents.get("default", "hears", [stream])
        return HEARS.model.validate_json(found[stream].body).said if found else ()


async def living() -> Living:
    on = World().infrastructure("db")
    await on.bus.ensure_topics([TOPIC])
    return Living(on)


def test_a_repaired_key_is_taken_in_order_under_the_events_own_ids() -> None:
    async def main() -> None:
        live = await living()
        await live.take(event("s", 1), event("s", 2, is_poison=True), event("s", 3))
        (first, _) = await live.parked()
        await live.repair(first.position, "mended")
        assert (await live.unparking().retry("k")).applied == 2
        assert await live.shows() == ("s@1: said", "s@2: mended", "s@3: said")
        assert await live.parked() == []
        assert (await live.compare()).equal
        assert (await live.compare(switch=True)).equal
        assert await live.shows() == ("s@1: said", "s@2: mended", "s@3: said")

    simulate(1, main())


def test_each_repair_stays_on_record_and_the_newest_counts() -> None:
    async def main() -> None:
        live = await living()
        await live.take(event("s", 1, is_poison=True))
        (first,) = await live.parked()
        for word in ("wrong again", "mended"):
            await live.repair(first.position, word)
        await live.unparking().retry("k")
        assert await live.shows() == ("s@1: mended",)
        async with live.on.store.reading() as reading:
            ((_, record),) = await reading.documents.find("default", REPAIRED, {"key": "k"})
        history = json.loads(record.body)["history"]
        assert [one["data"] for one in history] == [body("wrong again"), body("mended")]
        assert [one["instead_of"] for one in history] == [POISON, POISON]
        assert {(one["repaired_by"], one["repaired_because"]) for one in history} == {
            ("staff:me", "typo")
        }

    simulate(1, main())


def test_what_does_not_fit_the_type_changes_nothing() -> None:
    async def main() -> None:
        live = await living()
        await live.take(event("s", 1, is_poison=True))
        (first,) = await live.parked()
        with pytest.raises(Unfit):
            await live.unparking().repair(first.position, "{}", reason="typo", actor="staff:me")
        with pytest.raises(ValueError, match="reason"):
            await live.unparking().repair(first.position, body("x"), reason=" ", actor="staff:me")
        with pytest.raises(NotParked):
            await live.repair(first.position + 1, "x")
        assert (await live.unparking().retry("k")).left == 1

    simulate(1, main())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("st"), st.integers(1, 4)),
        st.sampled_from(["retry", "discard", "repair", "repair", "switch"]),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, poison=st.sets(st.tuples(st.sampled_from("st"), st.integers(1, 4))))
def test_whatever_the_order_of_retry_discard_and_repair_each_key_keeps_its_own(
    steps: list[tuple[str, int] | str], poison: set[tuple[str, int]]
) -> None:
    async def main() -> None:
        live = await living()
        for step in steps:
            match step:
                case (stream, version):
                    is_poison = (stream, version) in poison
                    await live.take(event(stream, version, is_poison=is_poison))
                case "switch":
                    await live.compare(switch=True)
                case _:
                    await _taken_up(live, step)
            await asyncio.sleep(1)
        for stream in "st":
            versions = [version for name, version in live.applied if name == stream]
            assert versions == sorted(set(versions))
        compared = await live.compare()
        assert compared.missing == ()
        assert compared.equal

    simulate(1, main())


async def _taken_up(live: Living, step: object) -> None:
    try:
        if step == "repair":
            for parked in await live.parked():
                if parked.value == POISON.encode():
                    await live.repair(parked.position, "mended")
            await live.unparking().retry("k")
        elif step == "retry":
            await live.unparking().retry("k")
        else:
            await live.unparking().discard("k", reason="r", actor="staff:me")
    except NotParked:
        return
