"""One segment's order of things, on a system that is not there: only the house is a fake."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from waybill import ledger, ports
from waybill.audit.evidence import Finding
from waybill.chaos import auditing, history, kinds, run, settling
from waybill.chaos.ground import Ground, NotStruck
from waybill.chaos.house import House
from waybill.chaos.load import Load
from waybill.chaos.plan import Fault, Kind
from waybill.chaos.rebalances import Rebalances
from waybill.failure import Failure
from waybill_runtime.clock import SystemClock

SAID: list[str] = []


@asynccontextmanager
async def strikes(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    await asyncio.sleep(0)
    SAID.append("struck")
    yield "a note"
    SAID.append("healed")


@asynccontextmanager
async def misses(ground: Ground, fault: Fault) -> AsyncIterator[str]:
    """One finds nothing to strike, the next is found on leaving to have had no effect."""
    SAID.append("missed")
    if SAID.count("missed") % 2:
        raise NotStruck("nothing there")
    yield "struck"
    raise NotStruck("nothing there")


async def nothing(*_: object) -> None:
    await asyncio.sleep(0)


def noted(text: str) -> object:
    async def say(*_: object) -> None:
        SAID.append(text)

    return say


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A house without processes; its proxies listen."""
    SAID.clear()

    async def settle(ground: Ground, tell: object) -> tuple[float, Mapping[str, object]]:
        SAID.append("quiet")
        return 1.5, {}

    async def audit(ground: Ground) -> auditing.Audited:
        SAID.append("audited")
        return auditing.Audited([Finding("I1", "kept", looked_at={"orders": 1})])

    async def load(self: Load) -> None:
        self.counts.acknowledged += 1
        await self._stopping.wait()

    struck = [
        kinds.Striking(Kind(name="hit", targets=("a",)), strikes),
        kinds.Striking(Kind(name="miss", targets=("b",)), misses),
    ]
    monkeypatch.setattr(kinds, "chosen", lambda *_, **__: {one.kind.name: one for one in struck})
    monkeypatch.setattr(House, "up", noted("up"))
    monkeypatch.setattr(House, "down", noted("down"))
    monkeypatch.setattr(House, "system", SimpleNamespace(values={}))
    monkeypatch.setattr(Load, "stock", nothing)
    monkeypatch.setattr(Load, "run", load)
    monkeypatch.setattr(Rebalances, "run", nothing)
    monkeypatch.setattr(settling, "settle", settle)
    monkeypatch.setattr(auditing, "audit", audit)
    monkeypatch.setattr("waybill.chaos.plan.QUIET_START_S", 0.0)
    return tmp_path / "home"


async def segment(home: Path, *, faults: int = 1) -> run.Outcome:
    wish = run.Wish(
        bus="postgres", seed=1, minutes=0.005, faults=faults, at_once=2, command="waybill chaos"
    )
    return await run.segment(home, wish, SystemClock(), SAID.append)


async def test_a_segment_is_audited_restarted_and_audited_again(staged: Path) -> None:
    outcome = await segment(staged)
    order = [said for said in SAID if said in ("up", "down", "quiet", "audited")]
    assert order == ["up", "quiet", "audited", "down", "up", "quiet", "audited", "down"]
    assert SAID.count("struck") == SAID.count("healed") == 2
    (told,) = outcome.history.segments
    assert [one["note"] for one in told.faults if not one["struck"]] == [
        "not struck: nothing there"
    ] * 2
    assert told.acknowledged == 1
    assert told.quiet_s == 1.5


async def test_the_next_segment_goes_on_where_the_history_ends(staged: Path) -> None:
    first = (await segment(staged)).history.segments[0]
    again = (await segment(staged)).history
    assert [one.first_fault for one in again.segments] == [1, first.next_fault]
    assert history.read(House(staged, "postgres", SystemClock()).home) == again
    assert again.reached()["orders"] == 2


async def test_a_segment_whose_audit_broke_is_written_down_and_the_next_goes_on_behind_it(
    staged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = House(staged, "postgres", SystemClock()).home

    async def breaks(ground: Ground) -> auditing.Audited:
        (before,) = history.read(home).segments
        assert (before.acknowledged, before.judged) == (1, False)
        raise Failure("The audit broke.")

    with monkeypatch.context() as patch:
        patch.setattr(auditing, "audit", breaks)
        with pytest.raises(Failure):
            await segment(staged)
    again = (await segment(staged)).history
    assert [one.judged for one in again.segments] == [False, True]
    assert [one.first_fault for one in again.segments] == [1, again.segments[0].next_fault]


async def test_orders_of_a_segment_that_was_cut_off_are_not_placed_again(staged: Path) -> None:
    past = (await segment(staged)).history
    home = House(staged, "postgres", SystemClock()).home
    assert history.first_order(home, past, 1) == past.next_order
    with closing(ledger.Ledger(staged / ledger.FOLDER / "chaos-2.jsonl")) as book:
        book.posted("chaos-1-40", b"{}", 201, "ord_x", b"{}")
        book.posted("demo-77", b"{}", 201, "ord_y", b"{}")
    assert history.first_order(home, past, 1) == 41 + history.ON_THEIR_WAY_MAX


async def test_a_proxy_stands_between_each_service_and_its_stores_and_partners(
    staged: Path,
) -> None:
    house = House(staged, "postgres", SystemClock())
    assert {"capture.database", "tracking.bus", "payment.gateway"} <= set(house.links)
    await house.open()
    assert all(ports.answers(link.port) for link in house.links.values())
    await house.close()
    assert not any(ports.answers(link.port) for link in house.links.values())
