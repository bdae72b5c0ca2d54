"""What was given up is in no rebuilt view, and what stood in its way is."""

from waybill_runtime import discarded
from waybill_runtime.testing.living import event, forged, living
from waybill_runtime.testing.world import simulate


def test_a_forgery_that_was_given_up_is_left_out_and_the_event_of_its_version_is_not() -> None:
    async def main() -> None:
        live = await living()
        await live.take(event("s", 1), forged("s", 2), event("s", 2), event("s", 3))
        assert await live.shows() == (1,)
        await live.discard()
        assert (await live.compare()).equal
        await live.retry()
        assert await live.shows() == (1, 2, 3)
        assert (await live.compare(switch=True)).equal
        await live.take(forged("s", 2), event("s", 2), event("s", 4))
        assert await live.shows() == (1, 2, 3, 4)
        assert (await live.compare()).equal

    simulate(1, main())


def test_an_event_whose_place_was_stepped_over_is_parked_and_in_no_rebuild() -> None:
    async def main() -> None:
        live = await living()
        await live.take(event("s", 1), forged("s", 2))
        await live.discard()
        await live.take(event("s", 3))
        await live.take(event("s", 2))
        assert await live.shows() == (1, 3)
        assert (await live.compare(switch=True)).equal
        assert await live.shows() == (1, 3)

    simulate(1, main())


def test_what_took_a_given_up_place_and_is_lost_is_told_as_missing() -> None:
    async def main() -> None:
        live = await living()
        await live.take(event("s", 1), forged("s", 2))
        await live.discard()
        async with live.on.store.transaction() as transaction:
            await discarded.keep_taken(transaction, "group", [event("s", 2)])
            await transaction.inbox.mark("group", {"s": 2})
        assert (await live.compare()).missing == ("s@2: s@2 is not there",)

    simulate(1, main())
