"""What is asked of the world outside, and what is said when it does not answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from waybill import home as homes
from waybill.audit import gather, outside, quiet, tracks
from waybill.ledger import Ledger, Polled, Posted, read
from waybill.shop import Shop
from waybill.testing import story
from waybill_events import fulfillment
from waybill_runtime.clock import SystemClock
from waybill_runtime.jobs import LEASE_S
from waybill_runtime.stored import ClaimedJob, Job, StreamWrite
from waybill_runtime.testing.world import EPOCH, World, recorded, simulate

FACT = fulfillment.FulfillmentAccepted(fulfillment_order_id="f", order_id="ord_1", location="main")


@dataclass
class Addresses:
    """As much of a system as is asked of it here."""

    home: homes.Home
    values: dict[str, str] = field(default_factory=dict)


def answers(status: int, body: object) -> httpx.AsyncClient:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    return httpx.AsyncClient(transport=transport)


@pytest.fixture
def system(tmp_path: Path) -> Addresses:
    return Addresses(homes.Home(tmp_path), {"TRACKING_URL": "http://t", "MAIL_URL": "http://m"})


async def test_a_link_that_opens_nothing_shows_version_none(system: Addresses) -> None:
    async with answers(404, {}) as http:
        assert await tracks.shown(system, http, {"ord_1": "t1"}) == {"ord_1": 0}  # type: ignore[arg-type]  # a System in all that is asked of it


@pytest.mark.parametrize(
    ("status", "body"), [(503, {}), (200, {}), (200, []), (200, {"version": "7"})]
)
async def test_an_api_that_does_not_answer_as_it_should_is_not_had(
    status: int, body: object, system: Addresses
) -> None:
    async with answers(status, body) as http:
        with pytest.raises(outside.NotHad, match="ord_1"):
            await tracks.shown(system, http, {"ord_1": "t1"})  # type: ignore[arg-type]  # as above


async def test_without_an_address_nothing_is_had(system: Addresses) -> None:
    system.values.clear()
    async with answers(200, {}) as http:
        with pytest.raises(outside.NotHad, match="TRACKING_URL is not set"):
            await tracks.shown(system, http, {"ord_1": "t1"})  # type: ignore[arg-type]  # as above
        with pytest.raises(outside.NotHad, match="MAIL_URL is not set"):
            await outside.mail(system, http)  # type: ignore[arg-type]  # as above


async def test_of_the_gateways_entries_is_kept_what_the_sums_are_made_of(
    system: Addresses,
) -> None:
    """What a capture let go of among it: else it would look held for ever."""
    system.values["GATEWAY_URL"] = "http://g"
    told = {**story.entry(1, "capture", "ga_1", "shp_1-1"), "released_minor": 400}

    def page(request: httpx.Request) -> httpx.Response:
        first = request.url.params["after"] == "0"
        return httpx.Response(200, json={"entries": [told] if first else []})

    async with httpx.AsyncClient(transport=httpx.MockTransport(page)) as http:
        (entry,) = await outside.gateway(system, http)  # type: ignore[arg-type]  # as above
    assert entry == told


async def test_of_many_orders_a_sample_is_asked_for_evenly(
    system: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracks, "ORDERS_MAX", 3)
    known = {f"ord_{number}": "t" for number in range(9)}
    async with answers(200, {"version": 4}) as http:
        shown = await tracks.shown(system, http, known)  # type: ignore[arg-type]  # as above
    assert shown == {"ord_0": 4, "ord_3": 4, "ord_6": 4}


def test_logs_are_gone_through_as_often_as_asked(tmp_path: Path) -> None:
    (tmp_path / "capture.log").write_text("one\ntwo\n")
    (tmp_path / "payment.log.1").write_text("three\n")
    (tmp_path / "gateway.log").write_text("not ours\n")
    logs = outside.Logs(tmp_path)
    for _ in range(2):
        assert [(line.where, line.text) for line in logs] == [
            ("capture.log:1", "one"),
            ("capture.log:2", "two"),
            ("payment.log.1:1", "three"),
        ]


def test_logs_that_say_nothing_are_not_had(tmp_path: Path) -> None:
    (tmp_path / "capture.log").write_text("")
    with pytest.raises(outside.NotHad, match="no logs"):
        outside.Logs(tmp_path)


def test_a_ledger_keeps_tokens_where_it_is_told_them(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "shop.jsonl")
    ledger.posted("k1", b"{}", 201, "ord_1", b"{}", token="t1")
    ledger.posted("k2", b"{}", 0, "", b"")
    ledger.posted("k2", b"{}", 409, "", b'{"type": "urn:waybill:problem:external-ref-taken"}')
    ledger.polled("ord_1", 3)
    ledger.close()
    first, second, third, look = read(tmp_path)
    assert isinstance(first, Posted)
    assert isinstance(second, Posted)
    assert isinstance(third, Posted)
    assert isinstance(look, Polled)
    assert (first.token, second.token, look.token) == ("t1", "", "")
    assert (first.problem, second.problem, third.problem) == ("", "", "external-ref-taken")
    assert first.asked_sha256 == second.asked_sha256 == third.asked_sha256 != ""
    assert tracks.tokens([first, second, look]) == {"ord_1": "t1"}


async def test_a_customer_notes_a_view_that_is_gone_and_not_one_that_is_yet_to_come(
    tmp_path: Path,
) -> None:
    shown = iter([404, 200, 404])

    def track(_: httpx.Request) -> httpx.Response:
        return httpx.Response(next(shown), json={"version": 7})

    ledger = Ledger(tmp_path / "shop.jsonl")
    async with httpx.AsyncClient(transport=httpx.MockTransport(track)) as http:
        shop = Shop(http, {"TRACKING_URL": "http://t"}, ledger, SystemClock())
        assert [await shop.track("ord_1", "t1") for _ in range(3)] == [None, {"version": 7}, None]
    ledger.close()
    assert [one.version for one in read(tmp_path) if isinstance(one, Polled)] == [7, 0]


def test_a_system_is_quiet_once_nothing_is_due_and_says_what_still_is() -> None:
    async def run() -> tuple[str, str]:
        world = World()
        on = {name: world.infrastructure(name) for name in ("fulfillment", "capture")}
        await on["capture"].bus.ensure_topics(["orders", "payments", "inventory", "fulfillment"])
        before = await quiet.wait(on, 5)
        event = recorded(FACT, stream="default/f/1", version=1, topic="fulfillment")
        async with on["fulfillment"].store.transaction() as transaction:
            await transaction.streams.append([StreamWrite("default/f/1", 0, [event])])
            await transaction.jobs.schedule([Job(id="j", tenant="default", kind="k", due_at=EPOCH)])
        return before, await quiet.wait(on, 5)

    assert simulate(1, run()) == ("", "fulfillment has 1 to publish, 1 to do")


def test_a_settled_system_is_given_the_lease_of_one_that_was_killed_with_jobs_in_hand() -> None:
    async def run() -> tuple[str, str]:
        world = World()
        on = {"capture": world.infrastructure("capture")}
        await on["capture"].bus.ensure_topics(["orders", "payments", "inventory", "fulfillment"])
        store = on["capture"].store
        async with store.transaction() as transaction:
            await transaction.jobs.schedule([Job(id="j", tenant="default", kind="k", due_at=EPOCH)])
        async with store.marking() as transaction:
            await transaction.jobs.claim(["k"], limit=1, lease_s=LEASE_S)  # and dies

        async def successor() -> None:
            claimed: Sequence[ClaimedJob] = ()
            while not claimed:
                await asyncio.sleep(1)  # of virtual time, as all that follows
                async with store.transaction() as transaction:
                    claimed = await transaction.jobs.claim(["k"], limit=1, lease_s=LEASE_S)
                    await transaction.jobs.finish([job.token for job in claimed])

        async with asyncio.TaskGroup() as group:
            group.create_task(successor())
            hasty = await quiet.wait(on, gather.PATIENCE_S)
            patient = await quiet.wait(on, gather.QUIET_S - gather.PATIENCE_S)
        return hasty, patient

    assert simulate(1, run()) == ("capture has 1 to do", "")
