"""A store that was set back is noticed before it works, and given back what it said."""

import json
from dataclasses import replace

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime import metrics, setback
from waybill_runtime.bus import Message
from waybill_runtime.decider import AnyDecider, Decider, Follow
from waybill_runtime.disowned import DISOWNED, Disowned
from waybill_runtime.http import halted
from waybill_runtime.infrastructure import Infrastructure
from waybill_runtime.relay import message
from waybill_runtime.stored import Job, StreamWrite
from waybill_runtime.testing.world import EPOCH, World, recorded, simulate

TOPIC = "notifications"


def said(stream: str, version: int) -> Recorded:
    fact = ContactPreferenceChanged(customer_ref=stream, channel="email", allowed=True)
    name = f"default/preference/{stream}"
    return recorded(fact, stream=name, version=version, topic=TOPIC, key=stream)


def _follow(event: Recorded, _: Event) -> Follow:
    """The first makes a job due, the third makes it needless."""
    job = Job(id=event.stream, tenant="default", kind="nudge", due_at=EPOCH)
    return {1: Follow(schedule=(job,)), 3: Follow(cancel=(job.id,))}.get(event.version, Follow())


PREFERENCE: AnyDecider = Decider(
    category="preference",
    topic=TOPIC,
    initial=None,
    decide=lambda _, __: [],
    evolve=lambda state, _: state,
    key=lambda event: event.customer_ref,
    follow=_follow,
)


async def on_bus(on: Infrastructure, *messages: Message) -> None:
    await on.bus.ensure_topics([TOPIC])
    producer = await on.bus.producer()
    await producer.send(messages)


async def stored(on: Infrastructure, *events: Recorded) -> None:
    async with on.store.transaction() as transaction:
        for event in events:
            await transaction.streams.append(
                [StreamWrite(event.stream, event.version - 1, [event])]
            )


async def jobs_due(on: Infrastructure) -> list[str]:
    async with on.store.transaction() as transaction:
        return sorted(job.id for job in await transaction.jobs.claim(["nudge"], limit=9, lease_s=1))


@settings(max_examples=60, deadline=None)
@given(
    kept=st.dictionaries(st.sampled_from("abc"), st.integers(0, 4)),
    sent=st.dictionaries(st.sampled_from("abc"), st.integers(0, 4)),
    doubled=st.booleans(),
)
def test_exactly_what_the_bus_holds_beyond_the_store_is_given_back(
    kept: dict[str, int],
    sent: dict[str, int],
    doubled: bool,
) -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        await stored(on, *(said(s, v) for s, n in kept.items() for v in range(1, n + 1)))
        events = [said(s, v) for s, n in sent.items() for v in range(1, n + 1)]
        await on_bus(on, *(message(event) for event in (events * 2 if doubled else events)))
        expected = {
            said(s, v).event_id for s, n in sent.items() for v in range(kept.get(s, 0) + 1, n + 1)
        }
        gone = await setback.is_set_back(on.store, on.bus, [TOPIC])
        assert {event.event_id for event in gone} == expected
        assert await setback.give_back(on.store, on.ids, [PREFERENCE], gone) == len(expected)
        assert not await setback.is_set_back(on.store, on.bus, [TOPIC])
        async with on.store.reading() as reading:
            found = {event.event_id: event async for event in reading.streams.scan()}
        assert all(found[event.event_id] == event for event in events)

    simulate(1, main())


def test_what_was_due_follows_from_the_events_that_came_back() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        await on_bus(on, *(message(said("a", v)) for v in (1, 2, 3)), message(said("b", 1)))
        gone = await setback.lost(on.store, on.bus, [TOPIC])
        await setback.give_back(on.store, on.ids, [PREFERENCE], gone)
        assert await jobs_due(on) == ["default/preference/b"]

    simulate(1, main())


def test_what_is_no_event_of_ours_sets_nobody_back() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        await stored(on, said("a", 1))
        broken = message(said("a", 2))
        strays = (
            Message(TOPIC, "a", b"{}"),
            Message(TOPIC, "a", b'{"customer_ref": 7}', broken.headers),
            message(said("a", 9)),
        )
        await on_bus(on, message(said("a", 1)), *strays)
        assert not await setback.is_set_back(on.store, on.bus, [TOPIC])

    simulate(1, main())


def test_of_two_that_claim_one_place_the_first_counts_and_both_are_told() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        forged = replace(said("a", 2), event_id="forged")
        after = replace(said("a", 3), event_id="after")
        await on_bus(on, *(message(event) for event in (said("a", 1), forged, said("a", 2), after)))
        lost = await setback.look(on.store, on.bus, [TOPIC])
        assert list(lost.events) == [said("a", 1), forged, after]
        assert list(lost.rivals) == [said("a", 2)]
        mended = lost.without({"forged"})
        assert list(mended.events) == [said("a", 1), said("a", 2), after]
        assert not mended.rivals
        assert list(lost.without({"forged", said("a", 2).event_id}).events) == [said("a", 1)]

    simulate(1, main())


def test_what_was_disowned_halts_nobody_and_takes_no_place_from_what_was_said() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        await stored(on, said("a", 1))
        forged = replace(said("a", 2), event_id="forged")
        await on_bus(on, message(said("a", 1)), message(forged), message(said("a", 3)))
        gone = Disowned(events=[forged], reason="not ours", actor="staff:me")
        for _ in range(2):
            assert await setback.give_back(on.store, on.ids, [PREFERENCE], (), gone) == 0
        assert not await setback.is_set_back(on.store, on.bus, [TOPIC])
        async with on.store.reading() as reading:
            (kept,) = (await reading.documents.find("default", DISOWNED, {"key": "a"}))[:1]
        told = json.loads(kept[1].body)
        assert (told["event_id"], told["version"]) == ("forged", 2)
        assert (told["disowned_by"], told["disowned_because"]) == ("staff:me", "not ours")
        await on_bus(on, message(said("a", 2)))
        gone_again = await setback.is_set_back(on.store, on.bus, [TOPIC])
        assert list(gone_again) == [said("a", 2), said("a", 3)]

    simulate(1, main())


async def test_a_halted_service_lives_is_unready_and_refuses_everything() -> None:
    halted.tell("payment", [said("a", 2)])
    transport = httpx.ASGITransport(halted.create("payment"))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        assert (await http.get("/livez")).status_code == 200
        assert "waybill_store_set_back 1.0" in (await http.get("/metrics")).text
        for method, path in (("GET", "/readyz"), ("POST", "/v1/orders"), ("GET", "/v1/x/y")):
            answer = await http.request(method, path)
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert "waybill restore-from-bus --service payment" in answer.json()["detail"]
    metrics.SET_BACK.set(0)
