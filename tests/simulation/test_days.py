"""Simulated days: orders go all the way whatever the planned faults do, and each day repeats."""

import asyncio
import os
import re
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from waybill.audit.evidence import Evidence
from waybill.programs import SERVICES
from waybill.simulation import evidence, faults, runs, storefront, wire
from waybill.simulation.backoffice import BackOffice
from waybill.simulation.day import simulate
from waybill.simulation.shared import Compositions
from waybill.simulation.system import Node, System, compose_here
from waybill.simulation.weather import Weather
from waybill_events.catalogue import CATALOGUE
from waybill_events.fulfillment import ShipmentDispatched
from waybill_runtime.adapters.memory.bus import MemoryConsumer
from waybill_runtime.ids import RandomIds
from waybill_runtime.testing.seeded_loop import SeededLoop

SEEDS = 300
ORDERS = 6
GUARANTEES = {f"I{number}" for number in range(1, 16)}


EFFECTS = {
    "dead": ["kill", *(kind for kind in faults.KINDS if kind.startswith("kill "))],
    "delivered again": ["position rewound"],
    "heard": ["carrier calls back", "gateway calls back"],
    "more lives": ["replica"],
    "not sent": ["half a batch"],
    "not waited for": ["client goes away"],
    "posted again": ["posted twice at once"],
    "cancelled again": ["cancelled twice at once"],
    "refused": [
        *("bus away", "store away", "carrier away"),
        *("begin refused", "commit refused", "poll refused", "send refused"),
        *("lock time-out", "version conflicts", "unreadable event"),
        *("commit unknown, made", "commit unknown, not made"),
        *("answer lost", "request lost", "response lost"),
        *("carrier loses a request", "carrier loses an answer"),
        *("mail loses a message", "mail loses an answer"),
    ],
    "s late": ["gateway slow", "poll late", "request late", "send late"],
    "s off": ["clock jump"],
    "sent again": ["batch doubled", "message doubled", "old message again"],
    "steps held back": ["pause"],
    "switched": ["rebuild"],
    "unanswered": ["gateway keeps an error", "gateway loses a request", "gateway loses an answer"],
    "written": ["foreign message"],
}
"""What a fault of each kind must have done before it counts as struck."""


@pytest.mark.timeout(900)
def test_every_guarantee_holds_in_three_hundred_days_in_which_everything_goes_wrong() -> None:
    total = runs.Sum()
    for day in runs.run(runs.Asked(first=0, seeds=SEEDS, orders=ORDERS)):
        again = f"waybill simulate --seeds 1 --from {day.seed} --orders {ORDERS}"
        assert list(day.violations) == [], again
        total.add(day)
    assert total.days == SEEDS
    assert total.orders >= SEEDS * ORDERS
    assert total.faults == total.planned == SEEDS * ORDERS * 10
    assert set(total.struck) == set(faults.KINDS)
    assert set(total.said) == set(CATALOGUE)
    assert {g for g, finding in total.findings.items() if finding.verdict == "holds"} == GUARANTEES


def test_the_same_seed_gives_the_same_day_three_times_whatever_went_before() -> None:
    shared = Compositions(compose_here)
    first = simulate(7, orders=4)
    simulate(8, orders=2, compositions=shared)
    second, third = (simulate(7, orders=4, compositions=shared) for _ in range(2))
    assert first.trace == second.trace == third.trace
    assert first.log == second.log == third.log
    assert first.statuses == second.statuses == third.statuses


def test_the_trace_tells_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(ids: RandomIds) -> str:
        return str(uuid.UUID(int=ids._uuid7() ^ 1))

    first = simulate(7, orders=1, faults=0)
    monkeypatch.setattr(RandomIds, "event_id", other)
    second = simulate(7, orders=1, faults=0)
    assert (first.steps, first.said) == (second.steps, second.said)
    assert first.trace != second.trace


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_seed_gives_the_same_day_in_another_process(hash_seed: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "waybill", "simulate", "--from", "11", "--orders", "2"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert f"trace {simulate(11, orders=2).trace[:16]}" in told.stdout


def test_orders_that_cost_nothing_go_all_the_way_past_the_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storefront, "FREE", 1.0)
    day = simulate(3, orders=8, faults=0)
    assert list(day.violations) == []
    assert Counter(day.statuses.values())["completed"] >= 4
    money = next(finding for finding in day.findings if finding.guarantee == "I4")
    assert money.looked_at["authorisations in the log"] >= 4
    assert "entries in the gateway's ledger" not in money.looked_at


def test_days_in_a_child_are_the_same_days_and_its_death_is_no_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    days = runs._days(range(7, 9), 1, 5)
    assert [day.trace for day in days] == [simulate(n, orders=1, faults=5).trace for n in (7, 8)]
    assert all(day.cpu_s > 0 for day in days)
    monkeypatch.setattr(runs, "simulate", lambda *_, **__: os._exit(3))
    with pytest.raises(ChildProcessError, match="ended with 3"):
        runs._days([1], 1, 0)


def test_a_death_is_told_to_the_calls_under_way_in_the_order_they_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = SeededLoop.of(1)
    made: list[asyncio.Future[Any]] = []

    def create_future() -> asyncio.Future[Any]:
        made.append(asyncio.Future(loop=loop))
        return made[-1]

    async def never(*_: object) -> None:
        await asyncio.sleep(3_600)

    async def main() -> None:
        whole: Any = SimpleNamespace(compositions=SimpleNamespace(app=lambda _: never))
        nothing: Any = None
        node = Node("capture#1", "capture", nothing, nothing, whole, nothing)
        client = wire.Wire(loop, lambda _: node).client("capture", {})
        calls = [asyncio.ensure_future(client.get(f"/{number}")) for number in range(50)]
        await asyncio.sleep(1)
        came = [future for future in made if future in node.calls]
        wire.cut(node)
        woken = [handle._args[0] for handle in loop._ready if handle._args]
        assert [future for future in woken if future in came][::2] == came
        assert len(came) == len(calls)

    monkeypatch.setattr(loop, "create_future", create_future)
    loop.run(main())


def test_what_changed_since_the_first_judgement_is_rebuilt_for_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, looks = evidence.gather, 0

    async def gather(running: System, *given: Any) -> Evidence:
        nonlocal looks
        looks += 1
        if looks == 2:
            documents = running.world.database("tracking").rows.documents
            place = next(place for place in documents if place[0] == "customer")
            documents[place] = replace(documents[place], body="{}")
        return await real(running, *given)

    monkeypatch.setattr(evidence, "gather", gather)
    found = simulate(5, orders=1, faults=0).violations
    assert looks == 2
    assert any(
        said.startswith("I8: ") and said.endswith("(after a restart of everything)")
        for said in found
    )


def test_everything_is_restarted_between_the_two_judgements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, lives = evidence.gather, list[Mapping[str, Node]]()

    async def gather(running: System, *given: Any) -> Evidence:
        lives.append(dict(running.lives))
        return await real(running, *given)

    monkeypatch.setattr(evidence, "gather", gather)
    assert simulate(5, orders=1, faults=0).passes
    before, after = lives
    assert Counter(node.of for node in after.values()) == Counter(SERVICES)
    assert not before.keys() & after.keys()


def test_another_seed_gives_another_day() -> None:
    assert simulate(1, orders=2).trace != simulate(2, orders=2).trace


def test_a_plan_is_drawn_before_the_day() -> None:
    plan = faults.plan(1, 3_000, 30.0)
    assert plan == faults.plan(1, 3_000, 30.0)
    assert {fault.number for fault in plan} == set(range(3_000))
    assert {fault.kind for fault in plan} == set(faults.KINDS)


def test_a_third_of_all_faults_overlap_the_one_drawn_before_them() -> None:
    drawn = sorted(faults.plan(1, 3_000, 900.0), key=lambda fault: fault.number)
    near = sum(0 <= after.at_s - before.at_s <= 0.3 for before, after in pairwise(drawn))
    assert 0.27 < near / len(drawn) < 0.33


def test_a_plan_that_did_not_strike_fails_the_day() -> None:
    never = faults.Fault(0, 10_000.0, "send refused", "capture", 0.0)
    day = simulate(1, orders=1, faults=[never])
    assert day.violations[0].startswith("unstruck: 1 of 1 faults")


def test_who_keeps_the_carrier_away_does_so_until_somebody_asks_for_it() -> None:
    """No parcel is ready for as long as payment has no store, whatever the carrier does."""
    plan = [
        faults.Fault(0, 0.0, "carrier away", "anywhere", 1.0),
        faults.Fault(1, 0.0, "store away", "payment", 45.0),
    ]
    day = simulate(1, orders=1, faults=plan)
    assert list(day.violations) == []
    assert day.struck == {"carrier away": 1, "store away": 1}


def test_a_fault_without_an_effect_is_put_back_and_strikes_at_the_next_chance() -> None:
    loop = SeededLoop.of(1)
    plan = [faults.Fault(number, 0.0, "send refused", "capture", 0.0) for number in range(2)]
    weather = Weather(loop, plan)
    weather.begins()
    taken = weather.take("send", "capture")
    assert taken is not None
    with taken:
        taken.did(0, "refused")
    assert (weather.left, weather.struck, weather.log) == (plan, {}, [])
    again = weather.take("send", "capture")
    assert again is not None
    assert again.fault == plan[0]
    with pytest.raises(ValueError, match="ours"), again:
        raise again.refusing(ValueError("ours"))
    last = weather.take("send", "capture")
    assert last is not None
    last.refusing(ValueError("ours"))
    with pytest.raises(ValueError, match="another's"), last:
        raise ValueError("another's")
    assert (weather.left, weather.struck) == (plan[1:], {"send refused": 1})
    assert len(weather.log) == 1


def test_what_the_dead_held_strikes_somebody_else() -> None:
    loop = SeededLoop.of(1)
    weather = Weather(loop, [faults.Fault(0, 0.0, "send late", "capture", 5.0)])
    weather.begins()
    with loop.on("capture#1"):
        assert weather.take("send", "capture") is not None
    weather.loosen()
    assert weather.take("send", "payment") is None
    loop.kill("capture#1")
    weather.loosen()
    assert weather.take("send", "payment") is not None
    assert len(weather.left) == 1


def test_a_rewind_that_moves_nothing_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryConsumer, "go_back", lambda *_: None)
    day = simulate(1, orders=1, faults=[faults.Fault(0, 0.3, "position rewound", "capture", 5.0)])
    assert list(day.violations) == ["unstruck: 1 of 1 faults: 0: 0.30 s position rewound capture 5"]


@pytest.mark.parametrize("kind", sorted(faults.KINDS))
def test_each_kind_of_fault_has_its_effect_and_is_survived(kind: str) -> None:
    target = faults.KINDS[kind].targets[0]
    amount = faults.KINDS[kind].most
    day = simulate(3, orders=3, faults=[faults.Fault(0, 0.3, kind, target, amount)])
    assert list(day.violations) == []
    assert day.struck == {kind: 1}
    said, count, effect = re.fullmatch(r".* s  (.*) · .*: (\S+) (.*)", day.log[0]).groups()  # type: ignore[union-attr]  # or it fails here
    assert float(count)
    assert said == kind
    assert kind in EFFECTS[effect]


def test_staff_book_in_what_left_without_a_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long day, for it takes goods sold out between a hold that lapsed and its parcel."""
    booked: list[str] = []
    book_in = BackOffice._book_in

    async def noted(self: BackOffice, shipment: ShipmentDispatched) -> None:
        booked.append(shipment.shipment_id)
        await book_in(self, shipment)

    monkeypatch.setattr(BackOffice, "_book_in", noted)
    day = simulate(93, orders=100)
    assert booked, "no parcel left without a hold: find another seed"
    assert list(day.violations) == []
