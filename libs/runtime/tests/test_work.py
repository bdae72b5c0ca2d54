"""What one transaction has loaded and decided is seen without asking the store again."""

from contextlib import nullcontext

import pytest
from pydantic import TypeAdapter

from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_events.notification import ContactPreferenceChanged
from waybill_runtime.decider import Decider, Intent
from waybill_runtime.stored import VersionConflict
from waybill_runtime.testing.world import World, simulate
from waybill_runtime.work import Cause, Work, seen_in

PREFERENCE: Decider[ContactPreferenceChanged, int] = Decider(
    category="preference",
    topic="notifications",
    initial=0,
    decide=lambda command, _: [command],
    evolve=lambda changes, _: changes + 1,
    key=lambda event: event.customer_ref,
)
COUNTED: Decider[ContactPreferenceChanged, int] = Decider(
    category="counted",
    topic="notifications",
    initial=0,
    decide=lambda command, _: [command],
    evolve=lambda changes, _: changes + 1,
    key=lambda event: event.customer_ref,
    snapshot=TypeAdapter(int),
)
CAUSE = Cause(causation_id="test", actor="system:test")
Seen = tuple[tuple[int, str], ...]


def see(seen: Seen | None, recorded: Recorded, event: Event) -> Seen | None:
    assert isinstance(event, ContactPreferenceChanged)
    return (*(seen or ()), (recorded.version, event.channel))


def changed(channel: str) -> Intent:
    fact = ContactPreferenceChanged(customer_ref="c1", channel=channel, allowed=True)
    return Intent(PREFERENCE, "c1", fact)


def test_a_new_stream_is_begun_without_a_look_and_an_old_one_is_not_written_over() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        for is_first in (True, False):
            with nullcontext() if is_first else pytest.raises(VersionConflict):
                async with on.store.transaction() as transaction:
                    work = Work(transaction, now=on.store.now(), ids=on.ids)
                    work.begin(PREFERENCE, "c1")
                    work.execute(changed("email"), CAUSE)
                    assert work.version(PREFERENCE, "c1") == 1
                    await work.flush()
        async with on.store.reading() as reading:
            assert await seen_in(reading, PREFERENCE, "default", "c1", see) == ((1, "email"),)

    simulate(1, main())


def test_a_stream_that_is_open_is_not_begun() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        async with on.store.transaction() as transaction:
            work = Work(transaction, now=on.store.now(), ids=on.ids)
            await work.load(PREFERENCE, ["c1"])
            with pytest.raises(ValueError, match="preference c1 is open already"):
                work.begin(PREFERENCE, "c1")

    simulate(1, main())


def test_a_view_shows_what_was_loaded_and_what_was_decided_since() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        async with on.store.transaction() as transaction:
            work = Work(transaction, now=on.store.now(), ids=on.ids)
            await work.load(PREFERENCE, ["c1"])
            assert work.seen(PREFERENCE, "c1", see) is None
            work.execute(changed("email"), CAUSE)
            await work.flush()
        async with on.store.transaction() as transaction:
            work = Work(transaction, now=on.store.now(), ids=on.ids)
            await work.load(PREFERENCE, ["c1"])
            work.execute(changed("sms"), CAUSE)
            before = work.seen(PREFERENCE, "c1", see)
            await work.flush()
            after = work.seen(PREFERENCE, "c1", see)
        async with on.store.reading() as reading:
            read = await seen_in(reading, PREFERENCE, work.tenant, "c1", see)
        assert before == after == read == ((1, "email"), (2, "sms"))

    simulate(1, main())


def test_what_a_snapshot_leaves_out_is_not_shown_as_if_it_never_was() -> None:
    async def main() -> None:
        on = World().infrastructure("db")
        async with on.store.transaction() as transaction:
            work = Work(transaction, now=on.store.now(), ids=on.ids)
            await work.load(COUNTED, ["c1"])
            with pytest.raises(ValueError, match="snapshot of counted"):
                work.seen(COUNTED, "c1", see)
            with pytest.raises(ValueError, match="snapshot of counted"):
                await seen_in(transaction, COUNTED, work.tenant, "c1", see)

    simulate(1, main())
