"""A rebuilt view equals the live one, whatever was parked, taken up again or given up."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waybill_runtime import rebuild as rebuilding
from waybill_runtime.rebuild import Incomplete, Progress, Rebuild
from waybill_runtime.stored import Advance
from waybill_runtime.testing.living import Living, event, forged, living
from waybill_runtime.testing.world import simulate
from waybill_runtime.unpark import NotParked


def test_a_gap_that_a_retry_healed_is_in_the_rebuilt_view_too() -> None:
    async def main() -> None:
        live = await living()
        await live.take(event("s", 1), event("s", 3), event("s", 2))
        await live.retry()
        assert await live.shows() == (1, 2, 3)
        assert (await live.compare()).equal
        assert (await live.compare(switch=True)).equal
        assert await live.shows() == (1, 2, 3)

    simulate(1, main())


def test_what_was_discarded_is_left_out_of_the_rebuilt_view_too() -> None:
    async def main() -> None:
        live = await living()
        live.broken = {"s@2"}
        await live.take(event("s", 1), event("s", 2), event("s", 3))
        await live.discard()
        await live.retry()
        assert await live.shows() == (1, 3)
        assert (await live.compare()).equal
        assert (await live.compare(switch=True)).equal
        await live.take(event("s", 4))
        assert await live.shows() == (1, 3, 4)
        assert (await live.compare()).equal

    simulate(1, main())


def test_what_is_parked_is_left_out_until_it_is_taken_up_again() -> None:
    async def main() -> None:
        live = await living()
        live.broken = {"s@2"}
        await live.take(event("s", 1), event("s", 2), event("t", 1), event("s", 3))
        assert (await live.compare(switch=True)).equal
        assert await live.shows() == (1,)
        live.broken.clear()
        await live.retry()
        assert (await live.shows(), await live.shows("t")) == ((1, 2, 3), (1,))
        assert (await live.compare()).equal

    simulate(1, main())


def test_a_gap_given_up_before_what_was_missing_came_takes_nothing_along() -> None:
    async def main() -> None:
        live = await living()
        await live.take(event("s", 1), event("s", 3))
        await live.discard()
        await live.take(event("s", 2), event("s", 4))
        assert await live.shows() == (1, 2, 4)
        assert (await live.compare(switch=True)).equal
        assert await live.shows() == (1, 2, 4)

    simulate(1, main())


def test_a_gap_given_up_after_what_was_missing_came_takes_nothing_along() -> None:
    async def main() -> None:
        live = await living()
        live.broken = {"s@3"}
        await live.take(event("s", 1), event("s", 3), event("s", 2))
        await live.retry()
        await live.discard()
        assert await live.shows() == (1, 2)
        assert (await live.compare(switch=True)).equal
        assert await live.shows() == (1, 2)

    simulate(1, main())


async def _under_way(live: Living) -> tuple[Rebuild, list[Progress]]:
    """A rebuild that has replayed what there was and has not finished."""
    build, seen = live.rebuild(switch=True), []
    async for progress in build.run():
        seen.append(progress)
        if progress.done:
            break
    return build, seen


def test_a_retry_while_a_rebuild_is_under_way_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        monkeypatch.setattr(rebuilding, "NEAR", 0)
        live = await living()
        live.broken = {"s@2"}
        await live.take(event("s", 1), event("s", 2), event("s", 3))
        build, replayed = live.rebuild(switch=True), False
        async for progress in build.run():
            if progress.done and not replayed:
                replayed = True
                live.broken.clear()
                await live.retry()
                await live.take(event("s", 4))
        assert replayed
        assert build.comparison is not None
        assert build.comparison.equal
        assert await live.shows() == (1, 2, 3, 4)

    simulate(1, main())


def test_a_rebuild_that_was_interrupted_still_knows_what_it_kept_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        monkeypatch.setattr(rebuilding, "NEAR", 0)
        live = await living()
        live.broken = {"s@2"}
        await live.take(event("s", 1), event("s", 2), event("s", 3))
        _, seen = await _under_way(live)
        assert seen[-1].done == 3
        live.broken.clear()
        await live.retry()
        assert (await live.compare(switch=True)).equal
        assert await live.shows() == (1, 2, 3)
        async with live.on.store.reading() as reading:
            assert not await reading.parking.parked("rebuild:lists:2")

    simulate(1, main())


def test_a_log_that_lacks_what_the_live_view_has_taken_makes_no_view_live() -> None:
    async def main() -> None:
        live = await living()
        await live.take(event("s", 1), event("s", 3))
        async with live.on.store.transaction() as transaction:
            await transaction.inbox.mark("group", {"s": 2})
        await live.retry()
        compared = await live.compare()
        assert not compared.equal
        assert compared.missing == ("s@3: s is at 1, this is 3",)
        with pytest.raises(Incomplete, match="s@3: s is at 1, this is 3"):
            await live.compare(switch=True)
        assert await live.generation() == 1
        assert await live.shows() == (1, 3)
        await live.send(event("s", 2))
        await live.take()
        assert not (await live.compare(switch=True)).equal
        assert await live.shows() == (1, 2, 3)

    simulate(1, main())


@pytest.mark.parametrize("near", [-1, rebuilding.NEAR], ids=["replaying", "under the lock"])
@pytest.mark.parametrize("switch", [True, False])
def test_a_bus_that_lost_its_last_message_ends_the_rebuild(
    monkeypatch: pytest.MonkeyPatch, near: int, switch: bool
) -> None:
    async def main() -> None:
        monkeypatch.setattr(rebuilding, "NEAR", near)
        live = await living()
        await live.take(event("s", 1))
        async with live.on.store.reading() as reading:
            partition, end = max(
                (await reading.inbox.positions("group")).items(), key=lambda i: i[1]
            )
        async with live.on.store.transaction() as transaction:
            owned = (await transaction.inbox.take("group", [partition]))[partition]
            lost = Advance(owned.epoch, end + 1)
            await transaction.inbox.advance("group", {partition: lost})
        told = f"{partition.topic}/{partition.number} gives nothing from offset {end} on"
        with pytest.raises(Incomplete, match=told):
            async with asyncio.timeout(60):
                await live.compare(switch=switch)
        assert await live.generation() == 1
        assert await live.shows() == (1,)

    simulate(1, main())


def test_what_this_release_cannot_read_any_more_is_told_and_not_passed_over() -> None:
    async def main() -> None:
        live = await living()
        await live.take(replace(event("s", 1), data='{"customer_ref": 1}'))
        async with live.on.store.transaction() as transaction:
            await transaction.inbox.mark("group", {"s": 1})
        (told,) = (await live.compare()).missing
        assert told.startswith("s@1: ")
        assert "is at" not in told

    simulate(1, main())


def test_a_rebuild_keeps_back_no_more_than_it_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(rebuilding, "HELD_MAX", 3)
        live = await living()
        live.broken = {"s@1"}
        await live.take(*(event("s", version) for version in range(1, 6)))
        with pytest.raises(Incomplete, match="more than 3"):
            await live.compare(switch=True)
        assert await live.generation() == 1
        live.broken.clear()
        await live.retry()
        assert (await live.compare(switch=True)).equal

    simulate(1, main())


STREAMS = ("s", "t")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(STREAMS), st.integers(1, 5)),
        st.tuples(st.sampled_from(["a forgery of s", "a sound forgery of s"]), st.integers(1, 5)),
        st.sampled_from(["retry", "discard", "discard all", "mend", "break", "switch"]),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_live_equals_rebuilt_after_any_deliveries_retries_and_discards(
    steps: list[tuple[str, int] | str],
) -> None:
    async def main() -> None:
        live = await living()
        for step in steps:
            match step:
                case ("a forgery of s", version):
                    await live.take(forged("s", version))
                case ("a sound forgery of s", version):
                    await live.take(forged("s", version, data=event("s", version).data))
                case (stream, version):
                    await live.take(event(stream, version))
                case "mend":
                    live.broken.clear()
                case "break":
                    live.broken = {"s@2", "s@3", "t@1", "t@4"}
                case "switch":
                    await live.compare(switch=True)
                case _:
                    await _taken_up(live, step)
            await asyncio.sleep(1)
        compared = await live.compare()
        assert compared.missing == ()
        assert compared.equal

    simulate(1, main())


async def _taken_up(live: Living, step: object) -> None:
    try:
        if step == "retry":
            await live.retry()
        else:
            await live.discard(whole_key=step == "discard all")
    except NotParked:
        return
