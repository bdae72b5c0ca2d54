"""Parked deliveries taken up again: in order, once, and given up only with a reason."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill_events.envelope import Recorded
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime.bus import Delivery, Message, Partition
from waybill_runtime.consumer import EventConsumer, Incoming
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.intake import DISCARDED
from waybill_runtime.stored import Parked
from waybill_runtime.testing.world import World, delivery, recorded, simulate
from waybill_runtime.unpark import Busy, NotParked, Unparking, in_order
from waybill_runtime.work import Work

TYPE = ContactPreferenceChanged.TYPE


class Seen:
    """A handler that notes what it was given, and fails on what is still broken."""

    def __init__(self, *broken: str) -> None:
        self.applied: list[str] = []
        self.broken = set(broken)

    async def __call__(self, work: Work, batch: Sequence[Incoming]) -> None:
        ids = [incoming.recorded.event_id for incoming in batch]
        if self.broken.intersection(ids):
            raise ArithmeticError("cannot be applied")
        await work.transaction.numbers.take_numbers("applied", len(ids))
        self.applied += ids


def event(stream: str, version: int, key: str = "k", type_: str = TYPE) -> Recorded:
    fact = ContactPreferenceChanged(customer_ref=key, channel="email", allowed=True)
    return recorded(
        fact, stream=stream, version=version, topic="notifications", key=key, type_=type_
    )


async def take(on: Infrastructure, handler: Seen, deliveries: Sequence[Delivery]) -> None:
    """What the live consumer does with these, parking included."""
    member = EventConsumer(
        name="group",
        topics=["notifications"],
        handles=[TYPE],
        handler=handler,
        store=on.store,
        bus=on.bus,
        ids=on.ids,
        stopping=on.stopping,
    )
    await member.assigned(sorted({d.partition for d in deliveries}))
    await member.take(deliveries)


def unparking(on: Infrastructure, handler: Seen) -> Unparking:
    return Unparking("group", handles=[TYPE], handler=handler, store=on.store, ids=on.ids)


async def parked(on: Infrastructure) -> Sequence[Parked]:
    async with on.store.reading() as reading:
        return await reading.parking.parked("group")


def test_a_mended_key_is_applied_in_order_and_is_free_again() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen("s@1")
        batch = [delivery(event("s", n), n) for n in (1, 2, 3)]
        await take(on, handler, batch)
        handler.broken.clear()
        told = await unparking(on, handler).retry("k")
        assert (told.applied, told.known, told.left, told.failed) == (3, 0, 0, None)
        assert handler.applied == ["s@1", "s@2", "s@3"]
        await take(on, handler, [delivery(event("s", 4), 4)])
        assert handler.applied[-1] == "s@4"
        assert await parked(on) == []

    simulate(1, main())


def test_a_retry_stops_at_what_fails_again_and_says_why() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen("s@1", "s@2")
        await take(on, handler, [delivery(event("s", n), n) for n in (1, 2, 3)])
        handler.broken = {"s@2"}
        told = await unparking(on, handler).retry("k")
        assert (told.applied, told.left) == (1, 2)
        assert told.failed is not None
        assert told.failed.offset == 2
        assert told.reason == "ArithmeticError: cannot be applied"
        assert [p.offset for p in await parked(on)] == [2, 3]
        async with on.store.reading() as reading:
            assert await reading.inbox.seen("group", ["s"]) == {"s": 1}

    simulate(1, main())


def test_a_gap_heals_when_what_was_missing_is_parked_behind_it() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen()
        late = [event("s", 1), event("s", 3), event("t", 1), event("s", 2)]
        await take(on, handler, [delivery(e, at) for at, e in enumerate(late)])
        assert handler.applied == ["s@1"]
        told = await unparking(on, handler).retry("k")
        assert handler.applied == ["s@1", "t@1", "s@2", "s@3"]
        assert told.applied == 3

    simulate(1, main())


def test_a_gap_that_is_still_open_stays_parked() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen()
        await take(on, handler, [delivery(event("s", 2), 0)])
        told = await unparking(on, handler).retry("k")
        assert told.reason == "Gap: s is at 0, this is 2"
        assert len(await parked(on)) == 1

    simulate(1, main())


def test_what_the_inbox_knows_leaves_without_being_applied_again() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen("s@2")
        copies = [event("s", 1), event("s", 2), event("s", 2)]
        await take(on, handler, [delivery(e, at) for at, e in enumerate(copies)])
        handler.broken.clear()
        told = await unparking(on, handler).retry("k")
        assert (told.applied, told.known) == (1, 1)
        assert handler.applied == ["s@1", "s@2"]

    simulate(1, main())


def test_other_keys_stay_where_they_are() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen("a@1", "b@1")
        await take(on, handler, [delivery(event("a", 1, "a"), 0)])
        await take(on, handler, [delivery(event("b", 1, "b"), 0)])
        handler.broken.clear()
        await unparking(on, handler).retry("a")
        assert [p.key for p in await parked(on)] == ["b"]

    simulate(1, main())


def test_a_key_that_is_not_parked_is_told_so() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        with pytest.raises(NotParked):
            await unparking(on, Seen()).retry("k")
        with pytest.raises(NotParked):
            await unparking(on, Seen()).discard("k", reason="tired", actor="staff:me")

    simulate(1, main())


def test_two_people_do_not_take_up_one_service_at_once() -> None:
    async def main() -> None:
        world = World()
        on, handler = world.infrastructure("db"), Seen("s@1")
        await take(on, handler, [delivery(event("s", 1), 0)])
        other = world.infrastructure("db", "other")
        async with other.store.leadership("unpark:group") as leads:
            assert leads
            with pytest.raises(Busy):
                await unparking(on, handler).retry("k")

    simulate(1, main())


def test_a_discarded_delivery_counts_as_taken_and_what_stood_behind_it_goes_on() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen("s@1")
        await take(on, handler, [delivery(event("s", n), n) for n in (1, 2)])
        gone = await unparking(on, handler).discard("k", reason="a test order", actor="staff:me")
        assert [p.offset for p in gone] == [1]
        assert (await unparking(on, handler).retry("k")).applied == 1
        assert handler.applied == ["s@2"]

    simulate(1, main())


def test_a_discard_is_on_record_with_its_reason() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen("s@1")
        await take(on, handler, [delivery(event("s", n), n) for n in (1, 2)])
        await unparking(on, handler).discard(
            "k", reason="a test order", actor="staff:me", whole_key=True
        )
        assert await parked(on) == []
        async with on.store.reading() as reading:
            found = await reading.documents.find("default", DISCARDED, {"key": "k"})
        told = [json.loads(document.body) for _, document in found]
        assert [one["event"]["version"] for one in told] == [1, 2]
        assert {one["discarded_because"] for one in told} == {"a test order"}
        assert {one["discarded_by"] for one in told} == {"staff:me"}
        assert "ArithmeticError" in told[0]["parked_because"]

    simulate(1, main())


def test_a_message_that_is_no_event_can_be_discarded_and_never_applied() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen()
        good = delivery(event("s", 1), 1)
        broken = Delivery(Message("notifications", "k", b"{}"), Partition(*good.partition), 0)
        await take(on, handler, [broken, good])
        told = await unparking(on, handler).retry("k")
        assert told.reason.startswith("Poison: header")
        await unparking(on, handler).discard("k", reason="not ours", actor="staff:me")
        assert (await unparking(on, handler).retry("k")).applied == 1

    simulate(1, main())


def test_a_discard_without_a_reason_changes_nothing() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen("s@1")
        await take(on, handler, [delivery(event("s", 1), 1)])
        with pytest.raises(ValueError, match="reason"):
            await unparking(on, handler).discard("k", reason="  ", actor="staff:me")
        assert len(await parked(on)) == 1

    simulate(1, main())


def test_an_unknown_type_is_applied_once_the_release_knows_it() -> None:
    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen()
        newer = event("s", 1, type_="notification.written_tomorrow.v1")
        await take(on, handler, [delivery(newer, 0)])
        told = await unparking(on, handler).retry("k")
        assert "unknown to this release" in told.reason
        lenient = Unparking(
            "group", handles=[TYPE], handler=handler, store=on.store, ids=on.ids, strict=False
        )
        assert (await lenient.retry("k")).applied == 1
        assert handler.applied == []

    simulate(1, main())


def waiting(position: int, stream: str, version: int) -> Parked:
    """A parked delivery; of a stream without a name, it is no event of ours."""
    found = delivery(event(stream, version), position)
    return Parked(
        position=position,
        tenant="default",
        key="k",
        reason="",
        partition=found.partition,
        offset=position,
        headers=found.message.headers if stream else (),
        value=found.message.value,
        parked_at=event(stream, version).occurred_at,
    )


def test_order_is_that_of_parking_but_for_the_versions_of_one_stream() -> None:
    a3, b1, a2 = waiting(1, "a", 3), waiting(2, "b", 1), waiting(3, "a", 2)
    assert in_order([a3, b1, a2]) == [b1, a2, a3]
    again = replace(a2, position=4)
    assert in_order([a3, b1, a2, again]) == [b1, a2, again, a3]


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", ""]), st.integers(1, 5)), max_size=12),
    st.integers(0, 12),
)
def test_taking_from_the_front_leaves_the_order_of_the_others(
    places: list[tuple[str, int]], taken: int
) -> None:
    parked = [waiting(position, *place) for position, place in enumerate(places, start=1)]
    left = in_order(parked)[taken:]
    assert in_order(sorted(left, key=lambda one: one.position)) == left


def test_a_discard_gives_up_what_the_retry_stopped_at_and_nothing_of_ours() -> None:
    """Old deliveries come again behind an event and a stranger: simulated day 68 of 100 orders."""

    async def main() -> None:
        on, handler = World().infrastructure("db"), Seen("s@1")
        first, second, third = (event("s", version) for version in (1, 2, 3))
        strange = replace(delivery(first, 2), message=Message("notifications", "k", b"\xff"))
        await take(on, handler, [delivery(first, 0), delivery(third, 1)])
        await take(on, handler, [strange, delivery(first, 3), delivery(second, 4)])
        handler.broken.clear()
        told = await unparking(on, handler).retry("k")
        assert told.failed is not None
        (given_up,) = await unparking(on, handler).discard("k", reason="not ours", actor="staff:me")
        assert given_up == told.failed
        assert (await unparking(on, handler).retry("k")).failed is None
        assert await parked(on) == []
        assert handler.applied == [one.event_id for one in (first, second, third)]

    simulate(1, main())
