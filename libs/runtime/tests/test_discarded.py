"""What a person discards takes no place from an event of ours."""

import json
from collections.abc import Sequence
from dataclasses import replace

from waybill_events.envelope import Recorded
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime import discarded
from waybill_runtime.consumer import EventConsumer, Incoming
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.intake import DISCARDED, GivenUp
from waybill_runtime.stored import Parked
from waybill_runtime.testing.world import World, delivery, recorded, simulate
from waybill_runtime.unpark import Unparking
from waybill_runtime.work import Work

TYPE = ContactPreferenceChanged.TYPE


def event(version: int, *, key: str = "k") -> Recorded:
    fact = ContactPreferenceChanged(customer_ref="c", channel="email", allowed=True)
    return recorded(fact, stream="s", version=version, topic="notifications", key=key)


def forged(version: int, *, name: str = "forged", key: str = "k") -> Recorded:
    told = event(version, key=key)
    return replace(told, event_id=f"{name}@{version}", data='{"order_id":5}')


class Living:
    """A service whose handler notes what it is given."""

    def __init__(self, on: Infrastructure) -> None:
        self.on = on
        self.applied: list[str] = []
        self._offset = 0

    async def _note(self, _: Work, batch: Sequence[Incoming]) -> None:
        self.applied += [incoming.recorded.event_id for incoming in batch]

    async def take(self, *events: Recorded) -> None:
        on = self.on
        member = EventConsumer(
            name="group",
            topics=["notifications"],
            handles=[TYPE],
            handler=self._note,
            store=on.store,
            bus=on.bus,
            ids=on.ids,
            stopping=on.stopping,
        )
        first, self._offset = self._offset, self._offset + len(events)
        batch = [delivery(each, first + at) for at, each in enumerate(events)]
        await member.assigned(sorted({d.partition for d in batch}))
        await member.take(batch)

    def _unparking(self) -> Unparking:
        on = self.on
        return Unparking("group", handles=[TYPE], handler=self._note, store=on.store, ids=on.ids)

    async def retry(self, key: str = "k") -> tuple[int, int, int]:
        told = await self._unparking().retry(key)
        return told.applied, told.known, told.left

    async def discard(self, key: str = "k") -> None:
        await self._unparking().discard(key, reason="not ours", actor="staff:me")

    async def parked(self) -> Sequence[Parked]:
        async with self.on.store.reading() as reading:
            return await reading.parking.parked("group")

    async def stands_at(self) -> int:
        async with self.on.store.reading() as reading:
            return (await reading.inbox.seen("group", ["s"])).get("s", 0)


def living() -> Living:
    return Living(World().infrastructure("db"))


def test_the_event_that_stood_behind_a_forgery_of_its_version_is_applied() -> None:
    async def main() -> None:
        live = living()
        await live.take(event(1), forged(2), event(2))
        await live.discard()
        assert await live.stands_at() == 1
        assert await live.retry() == (1, 0, 0)
        assert live.applied == ["s@1", "s@2"]

    simulate(1, main())


def test_the_event_that_comes_after_a_forgery_of_its_version_was_given_up_is_applied_once() -> None:
    async def main() -> None:
        live = living()
        await live.take(event(1), forged(2))
        await live.discard()
        await live.take(event(2), event(2), event(3))
        await live.take(event(2))
        assert live.applied == ["s@1", "s@2", "s@3"]
        assert not await live.parked()

    simulate(1, main())


def test_a_forgery_of_a_version_that_is_still_far_off_holds_up_nothing() -> None:
    async def main() -> None:
        live = living()
        await live.take(event(1), forged(10**17))
        await live.discard()
        await live.take(event(2), event(3))
        assert live.applied == ["s@1", "s@2", "s@3"]
        assert await live.stands_at() == 3

    simulate(1, main())


def test_a_forgery_of_a_version_that_was_taken_meanwhile_moves_nothing() -> None:
    async def main() -> None:
        live = living()
        await live.take(event(1), forged(2, key="other"), event(2))
        await live.discard("other")
        assert await live.stands_at() == 2
        await live.take(event(2), event(3))
        assert live.applied == ["s@1", "s@2", "s@3"]
        assert not await live.parked()

    simulate(1, main())


def test_two_forgeries_of_one_version_are_given_up_and_the_event_is_applied() -> None:
    async def main() -> None:
        live = living()
        await live.take(event(1), forged(2), forged(2, name="again"), event(2), forged(2))
        await live.discard()
        await live.discard()
        assert await live.retry() == (1, 1, 0)
        assert live.applied == ["s@1", "s@2"]

    simulate(1, main())


def test_a_forgery_that_comes_after_the_event_of_its_version_is_known() -> None:
    async def main() -> None:
        live = living()
        await live.take(event(1), forged(2))
        await live.discard()
        await live.take(event(2), forged(2), forged(2, name="again"), event(3))
        assert live.applied == ["s@1", "s@2", "s@3"]
        assert not await live.parked()

    simulate(1, main())


def test_an_event_of_ours_that_was_given_up_is_stepped_over_and_known_when_it_comes_again() -> None:
    async def main() -> None:
        live = living()
        await live.take(event(1), replace(event(2), data="{}"))
        await live.discard()
        assert await live.stands_at() == 1
        await live.take(event(2))
        assert live.applied == ["s@1"]
        await live.take(event(3), event(2), event(4))
        assert live.applied == ["s@1", "s@3", "s@4"]
        assert await live.stands_at() == 4
        assert not await live.parked()

    simulate(1, main())


def test_an_event_without_which_the_stream_went_on_is_parked_and_never_dropped() -> None:
    async def main() -> None:
        live = living()
        await live.take(event(1), forged(2))
        await live.discard()
        await live.take(event(3))
        await live.take(event(2))
        (waiting,) = await live.parked()
        assert waiting.reason == "Poison: s went on without 2, given up as forged@2"
        assert await live.retry() == (0, 0, 1)
        await live.discard()
        await live.take(event(2), event(4))
        assert live.applied == ["s@1", "s@3", "s@4"]

    simulate(1, main())


def test_each_discard_of_a_version_stays_on_record() -> None:
    async def main() -> None:
        live = living()
        await live.take(event(1), forged(2), forged(2, name="again"))
        await live.discard()
        await live.discard()
        async with live.on.store.reading() as reading:
            found = await reading.documents.find("default", DISCARDED, {"key": "k"})
            _, given_up = await discarded.look(reading, "group", [event(2)])
        told = {json.loads(document.body)["event"]["event_id"] for _, document in found}
        assert told == {"forged@2", "again@2"}
        assert given_up == {"s": GivenUp({2: {"forged@2", "again@2"}})}

    simulate(1, main())


def test_where_nothing_was_given_up_nothing_is_looked_up() -> None:
    async def main() -> None:
        live = living()
        await live.take(event(1), forged(2))
        await live.discard()
        await live.take(event(2), event(3))
        async with live.on.store.reading() as reading:
            seen, given_up = await discarded.look(reading, "group", [event(4)])
        assert (seen, given_up) == ({"s": 3}, {})

    simulate(1, main())
