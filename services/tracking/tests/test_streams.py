"""The order as a stream: what it tells, when it ends, and how many there may be."""

import asyncio
from collections.abc import Sequence

import pytest

from tracking import api
from tracking.testing.page import CONFIRMED, TRACK, Page, placed, show
from waybill_runtime.http import server


def test_a_stream_begins_with_the_order_and_tells_each_change() -> None:
    async def story(page: Page) -> None:
        listener = page.listen()
        await asyncio.sleep(2)
        assert (listener.status, listener.versions) == (200, [1])
        assert listener.frames[0] == "retry: 2000"
        assert listener.headers["content-type"].startswith("text/event-stream")
        assert listener.headers["referrer-policy"] == "no-referrer"
        assert listener.headers["cache-control"] == "no-store"
        await page.tell(CONFIRMED)
        await asyncio.sleep(1)
        assert listener.versions == [1, 2]
        await listener.leave()

    show(story)


@pytest.mark.parametrize(
    ("last_event_id", "versions"),
    [(b"1", [2]), (b"2", []), (b"99", []), (b"0", [2]), (b"x", [2]), (b"\xb2", [2]), (b"-1", [2])],
)
def test_a_reader_who_comes_back_is_not_told_again(
    last_event_id: bytes, versions: Sequence[int]
) -> None:
    async def story(page: Page) -> None:
        await page.tell(CONFIRMED)
        listener = page.listen(last_event_id)
        await asyncio.sleep(2)
        assert (listener.status, listener.versions) == (200, versions)
        await listener.leave()

    show(story)


def test_a_rebuilt_view_is_new_to_whoever_has_seen_it_and_its_version_grows() -> None:
    async def story(page: Page) -> None:
        await page.tell(CONFIRMED)
        before, staying = await page.get(TRACK), page.listen()
        await asyncio.sleep(2)
        await page.rebuilt()
        after = await page.get(TRACK, **{"If-None-Match": before.headers["etag"]})
        assert (after.status_code, before.json()["version"]) == (200, 2)
        back = page.listen(b"2")
        await asyncio.sleep(2)
        await page.tell(CONFIRMED)
        await asyncio.sleep(2)
        assert back.versions == [after.json()["version"], after.json()["version"] + 1]
        assert staying.versions == [2, *back.versions] == sorted(staying.versions)
        await staying.leave()
        await back.leave()

    show(story)


def test_a_quiet_stream_is_kept_alive() -> None:
    async def story(page: Page) -> None:
        listener = page.listen()
        await asyncio.sleep(3 * api.KEEP_ALIVE_S + 3)
        assert listener.frames.count(": still here") == 3
        assert listener.versions == [1]
        await listener.leave()

    show(story)


def test_a_stream_ends_after_its_time_so_that_readers_spread() -> None:
    async def story(page: Page) -> None:
        listener = page.listen()
        await asyncio.sleep(api.STREAM_S_MAX + 1)
        assert listener.task.done()
        await listener.task

    show(story)


def test_a_stream_ends_when_the_process_stops() -> None:
    async def story(page: Page) -> None:
        listener = page.listen()
        await asyncio.sleep(2)
        page.on.stopping.set()
        await asyncio.wait_for(listener.task, 1)

    show(story)


def test_a_stream_ends_cleanly_when_the_store_goes_away() -> None:
    async def story(page: Page) -> None:
        listener = page.listen()
        await asyncio.sleep(2)
        await page.on.store.close()
        await asyncio.wait_for(listener.task, 2)
        assert listener.versions == [1]

    show(story)


def test_too_many_streams_are_sent_to_polling_until_one_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "STREAMS_MAX", 2)

    async def story(page: Page) -> None:
        first, second = page.listen(), page.listen()
        await asyncio.sleep(1)
        refused = await page.get(f"{TRACK}/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        assert refused.json()["type"] == "urn:waybill:problem:too-many-streams"
        await first.leave()
        await asyncio.sleep(1)
        third = page.listen()
        await asyncio.sleep(1)
        assert third.status == 200
        await second.leave()
        await third.leave()

    show(story)


def test_a_burst_opens_no_more_streams_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "STREAMS_MAX", 2)

    async def story(page: Page) -> None:
        burst = [page.listen() for _ in range(6)]
        await asyncio.sleep(2)
        assert sum(bool(listener.versions) for listener in burst) == 2
        assert sum(listener.task.done() for listener in burst) == 4
        for listener in burst:
            await listener.leave()

    show(story)


async def _refusal(page: Page, path: str) -> str:
    """How one stream too many is refused."""
    refused = await page.get(f"{path}/events")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
    assert refused.json()["type"] == "urn:waybill:problem:stream-limit"
    return str(refused.json()["detail"])


def test_one_link_takes_its_share_of_the_streams_and_no_more() -> None:
    async def story(page: Page) -> None:
        await page.tell(placed("ord_y", "trk_of_y"))
        hosts = [f"192.0.2.{number}" for number in range(api.STREAMS_PER_LINK + 5)]
        mine = [page.listen(host=host) for host in hosts]
        await asyncio.sleep(1)
        assert sum(bool(listener.versions) for listener in mine) == api.STREAMS_PER_LINK
        assert "This tracking link has 10" in await _refusal(page, TRACK)
        assert (await page.get(TRACK)).status_code == 200
        other = page.listen(path="/v1/track/trk_of_y")
        await asyncio.sleep(1)
        assert other.versions == [1]
        for listener in (*mine, other):
            await listener.leave()
        again = page.listen()
        await asyncio.sleep(1)
        assert again.versions == [1]
        await again.leave()

    show(story)


def test_one_address_takes_its_share_of_the_streams_and_no_more() -> None:
    async def story(page: Page) -> None:
        tokens = [f"trk_{number}" for number in range(12)]
        for number, token in enumerate(tokens):
            await page.tell(placed(f"ord_{number}", token))
        paths = [f"/v1/track/{token}" for token in tokens]
        mine = [page.listen(path=path, host="127.0.0.1") for path in paths for _ in range(9)]
        await asyncio.sleep(1)
        assert sum(bool(listener.versions) for listener in mine) == 100
        assert "This address has 100" in await _refusal(page, TRACK)
        other = page.listen(host="192.0.2.1")
        await asyncio.sleep(1)
        assert other.versions == [1]
        for listener in (*mine, other):
            await listener.leave()

    show(story)


def test_reads_have_room_beside_all_streams() -> None:
    assert api.STREAMS_MAX <= 3 * server.REQUESTS_AT_ONCE // 4
