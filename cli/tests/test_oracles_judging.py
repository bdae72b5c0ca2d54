"""How oracles judge what is unusual and breaks nothing, and what could not be had."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from datetime import timedelta
from pathlib import Path

import pytest

from waybill.audit import log, oracles, report
from waybill.audit.evidence import Evidence, Finding, LogLine, OnBus, Taken
from waybill.failure import FAILED, OK, UNCHECKED
from waybill.ledger import Polled, Posted
from waybill.testing import lies, lies_money, story
from waybill_events.catalogue import SUBSCRIPTIONS

CLEAN = story.clean()
PAGE = Path(__file__).parents[2] / "docs/reference/audit.md"
ALL = [f"I{number}" for number in range(1, 16)]


def judged(evidence: Evidence) -> Mapping[str, Finding]:
    return {finding.guarantee: finding for finding in oracles.judge(evidence)}


def violated(evidence: Evidence) -> Sequence[str]:
    return [name for name, found in judged(evidence).items() if found.verdict == "violated"]


def without(*ids: str) -> Evidence:
    return story.with_events(CLEAN, [e for e in CLEAN.events if e.event_id not in ids])


def find(evidence: Evidence, id_: str) -> OnBus:
    return next(m for m in evidence.bus or () if m.event.event_id == id_)


def test_an_order_that_has_not_ended_is_a_violation_only_where_an_end_is_required() -> None:
    kept = without("e20")
    found = judged(replace(kept, at=story.START + timedelta(seconds=30)))
    assert found["I1"].said == ["ord_1 has not ended"]
    flowing = replace(kept, at=story.START + timedelta(seconds=30), require_settled=False)
    assert violated(flowing) == []


def test_an_order_in_a_warehouse_may_take_its_time() -> None:
    """Not delivered yet: the carrier has to act, however late it is."""
    kept = replace(without("e11", "e20", "e25", "e26"), require_settled=False)
    assert violated(kept) == []
    assert judged(kept)["I7"].looked_at["orders that wait for somebody outside"] == 1


def test_an_order_that_costs_nothing_is_authorised_by_nobody_and_breaks_nothing() -> None:
    found = judged(story.free(CLEAN))
    assert {name: f.violations for name, f in found.items() if f.violations} == {}
    assert found["I4"].looked_at["authorisations in the log"] == 2


def refunded(*parts_minor: int) -> Evidence:
    """`ord_1`, completed, then given back in parts; the customer is told of each."""
    found, ledger = CLEAN, list(CLEAN.gateway or ())
    for number, amount_minor in enumerate(parts_minor):
        refund_id = f"rfn_{number}"
        found = story.with_refund(
            found, refund_id, amount_minor, second=30 + 2 * number, version=3 + 2 * number
        )
        ledger.append(story.entry(5 + number, "refund", "ga_1", refund_id, amount_minor))
    return replace(found, gateway=ledger)


@pytest.mark.parametrize("parts_minor", [(200,), (200, 400), (600,)])
def test_a_completed_order_may_be_refunded_in_part_or_whole(parts_minor: tuple[int, ...]) -> None:
    assert violated(refunded(*parts_minor)) == []


def test_a_cancelled_order_whose_money_was_taken_must_give_all_of_it_back() -> None:
    """Taken in spite of the cancellation: flowing, so that its refund is no surprise yet."""
    taken = lies.gateway(
        story.entry(6, "capture", "ga_2", "shp_2-1"),
        story.entry(7, "refund", "ga_2", "rfn_1"),
        less="void",
    )
    flowing = replace(taken, require_settled=False)
    assert violated(flowing) == []
    ledger = [dict(one) for one in flowing.gateway or ()]
    ledger[-1]["amount_minor"] = 599
    found = judged(replace(flowing, gateway=ledger))["I5"]
    assert found.said == ["ord_2 is cancelled: the gateway keeps 1"]


def test_a_parcel_that_nobody_pays_for_waits_for_people_and_is_no_theft() -> None:
    """Its order is open and says `failed`; until it says so, all is not quiet."""
    found = lies_money.an_open_orders_parcel_was_never_paid()
    said = {"order_id": "ord_2", "status": "failed"}
    failed = story.event("e50", "capture.order_payment_recorded.v1", "order/ord_2", 2, "x", **said)
    assert judged(found)["I5"].verdict == "violated"
    assert judged(story.plus(found, failed))["I5"].verdict == "holds"
    assert judged(replace(found, require_settled=False))["I5"].verdict == "holds"


def test_a_refund_on_its_way_is_missed_only_once_all_is_quiet() -> None:
    asked = story.plus(CLEAN, story.asked_back("rfn_1", 200))
    assert violated(replace(asked, require_settled=False)) == []


@pytest.mark.parametrize(
    ("status", "problem", "asked"),
    [
        (409, "request-in-flight", "of k1"),
        (429, "too-many-requests", "of k1"),
        (503, "contended", "of k1"),
        (401, "unauthorized", "of k1"),
        (422, "idempotency-key-reused", "of another"),
        (409, "external-ref-taken", ""),
    ],
)
def test_what_is_no_final_answer_to_the_same_request_is_no_other_answer(
    status: int, problem: str, asked: str
) -> None:
    """Asked again it may be answered; and another body, or one nobody wrote down, is another."""
    told = {"order_id": "", "body_sha256": "words", "problem": problem, "asked_sha256": asked}
    refusal = Posted(key="k1", status=status, **told)
    assert violated(replace(CLEAN, clients=[*CLEAN.clients, refusal])) == []


def test_a_mail_that_came_twice_is_noted_and_breaks_nothing() -> None:
    twice = replace(CLEAN, mail=[*(CLEAN.mail or ()), (CLEAN.mail or ())[0]])
    found = judged(twice)["I12"]
    assert found.verdict == "holds"
    assert found.notes == ["msg_e5 reached the sink 2 times"]


def test_two_clients_that_look_at_different_times_are_no_view_that_goes_back() -> None:
    later = Polled(order_id="ord_1", version=1, client="c")
    assert violated(replace(CLEAN, clients=[*CLEAN.clients, later])) == []


def test_a_link_that_opens_nothing_yet_is_no_view_that_went_back() -> None:
    early = Polled(order_id="ord_2", version=0, client="c")
    found = judged(replace(CLEAN, clients=[*CLEAN.clients, early]))["I13"]
    assert (found.verdict, found.looked_at["looks by clients"]) == ("holds", 3)


def test_stock_that_moved_after_the_log_was_read_is_noted_not_compared() -> None:
    newer = {"A": {"locations": [{**story.levels(9, 9, 0)[0], "version": 7}]}}
    found = judged(replace(CLEAN, stock=newer))["I3"]
    assert found.verdict == "holds"
    assert found.notes == ["default/stock/A has moved on since its log was read"]


def test_stock_that_the_api_showed_earlier_is_compared_with_the_log_of_then() -> None:
    then = {"A": {"locations": [{**story.levels(2, 1, 1)[0], "version": 4}]}}
    assert violated(replace(CLEAN, stock=then)) == []
    wrong = {"A": {"locations": [{**story.levels(1, 0, 0)[0], "version": 4}]}}
    assert violated(replace(CLEAN, stock=wrong)) == ["I3"]


@pytest.mark.parametrize(
    "text",
    [
        "4006381333931",
        "41111111111111112",
        "4111111111111112",
        "0000000000000000",
        "2026-01-01T00:00:00.4111111111111111Z",
        "ord_4111111111111111",
    ],
)
def test_goods_times_and_ids_are_no_card_numbers(text: str) -> None:
    assert violated(replace(CLEAN, logs=[LogLine("capture.log:1", text)])) == []


def test_a_name_is_found_as_json_escapes_it() -> None:
    line = LogLine("capture.log:1", '{"to": "Ren\\u00e9e Buyer"}')
    assert violated(replace(CLEAN, personal=["Renée Buyer"], logs=[line])) == ["I14"]


@pytest.mark.parametrize(
    "text", ["to:Ada Buyer", "«Ada Buyer»", "Ada Buyer\u2013", "é Ada Buyer", "x=+442079460000;"]
)
def test_a_person_is_found_whatever_stands_around(text: str) -> None:
    assert violated(replace(CLEAN, logs=[LogLine("capture.log:1", text)])) == ["I14"]


@pytest.mark.parametrize(
    "card",
    [
        "4111111111111111",
        "4111-1111-1111-1111",
        "378282246310005",
        "3782 822463 10005",
        "30569309025904",
        "5555 5555 5555 4444",
        "2223003122003222",
    ],
)
def test_cards_of_every_brand_are_found_as_people_write_them(card: str) -> None:
    line = LogLine("payment.log:1", f'{{"event": "refused", "said": "{card}"}}')
    assert violated(replace(CLEAN, logs=[line])) == ["I14"]


@pytest.mark.parametrize(
    ("source", "guarantees"),
    [
        ("bus", ["I9", "I10", "I11", "I14"]),
        ("gateway", ["I4", "I5"]),
        ("carrier", ["I6"]),
        ("mail", ["I12"]),
        ("stock", ["I3"]),
        ("views", ["I8"]),
        ("tracked", ["I13"]),
        ("consumers", ["I10", "I11"]),
        ("given_up", ["I10"]),
        ("shown", ["I13"]),
        ("personal", ["I14"]),
        ("recipients", ["I1"]),
        ("logs", ["I14"]),
    ],
)
def test_what_could_not_be_had_is_not_checked_and_fails_the_audit(
    source: str, guarantees: list[str]
) -> None:
    found = judged(replace(CLEAN, **{source: None}))  # type: ignore[arg-type]  # all may be None
    assert [name for name, f in found.items() if f.verdict == "not checked"] == guarantees
    assert all(found[name].missing for name in guarantees)
    assert report.verdict(list(found.values())) == "not checked"


def test_an_audit_passes_only_when_every_guarantee_holds() -> None:
    findings = list(judged(CLEAN).values())
    told = report.as_json(CLEAN.at, findings, [], settled=False)
    assert (told["verdict"], told["passes"], told["not_checked"]) == ("holds", True, [])
    assert report.exit_code(findings) == OK


WITHOUT_CLIENTS = ["I1", "I13", "I15"]
"""Who was told of no order has lost none, who looked at no view saw none go back."""


def test_what_was_not_looked_at_is_never_counted_as_holding() -> None:
    findings = list(judged(replace(CLEAN, clients=())).values())
    told = report.as_json(CLEAN.at, findings, [], settled=False)
    assert (told["verdict"], told["passes"]) == ("not checked", False)
    assert told["not_checked"] == WITHOUT_CLIENTS
    assert report.exit_code(findings) == UNCHECKED


SHOPLESS = {"e20", "e10", "e11"}
"""Completed, captured, delivered."""


@pytest.mark.parametrize(
    ("seen", "guarantee", "unseen"),
    [
        (replace(CLEAN, clients=CLEAN.clients[:3]), "I13", ["looks by clients"]),
        (replace(CLEAN, clients=CLEAN.clients[1:]), "I15", ["keys answered more than once"]),
        (replace(CLEAN, clients=CLEAN.clients[3:]), "I1", ["orders acknowledged to clients"]),
        (replace(CLEAN, personal=[]), "I14", ["personal values looked for"]),
        (story.with_events(CLEAN, [e for e in CLEAN.events if e.event_id not in SHOPLESS]),
         "I5", ["orders completed"]),
        (story.free(CLEAN), "I4", ["captures in the log", "captures at the gateway"]),
    ],
)  # fmt: skip
def test_one_unrelated_count_carries_no_verdict(
    seen: Evidence, guarantee: str, unseen: list[str]
) -> None:
    found = judged(seen)[guarantee]
    assert any(found.looked_at.values())
    assert (found.verdict, list(found.unseen)) == ("not checked", unseen)


@pytest.mark.parametrize(
    ("source", "guarantee"),
    [("consumers", "I10"), ("consumers", "I11"), ("logs", "I14"), ("views", "I8"), ("bus", "I9")],
)
def test_a_source_with_nothing_in_it_was_not_had(source: str, guarantee: str) -> None:
    found = judged(replace(CLEAN, **{source: ()}))[guarantee]  # type: ignore[arg-type]  # all are sequences
    assert found.missing != []


@pytest.mark.parametrize("oracle", oracles.ORACLES, ids=lambda oracle: oracle.__name__)
def test_every_oracle_says_what_it_must_have_seen_and_so_does_the_page(
    oracle: oracles.Oracle,
) -> None:
    found = oracle(CLEAN)
    assert found.must_see
    assert f"| {found.guarantee} | {', '.join(found.must_see)}" in PAGE.read_text(encoding="utf-8")
    assert all(found.looked_at[what] for what in found.must_see)
    for what in found.must_see:
        found.looked_at[what] = 0
        assert (found.verdict, list(found.unchecked)) == ("not checked", [f"no {what}"])
        found.looked_at[what] = 1


def test_a_violation_is_told_before_what_was_not_looked_at() -> None:
    wrong = {"A": {"locations": [{**story.levels(1, 0, 0)[0], "version": 4}]}}
    findings = list(judged(replace(CLEAN, clients=(), stock=wrong)).values())
    told = report.as_json(CLEAN.at, findings, [], settled=False)
    assert (told["verdict"], told["passes"]) == ("violated", False)
    assert told["not_checked"] == WITHOUT_CLIENTS
    assert report.exit_code(findings) == FAILED


@pytest.mark.parametrize("kind", [Evidence, Taken])
def test_nothing_that_is_looked_at_is_filled_in_by_itself(kind: type[Evidence | Taken]) -> None:
    """A default would read as nothing wrong, wherever somebody forgot to look."""
    assert [one.name for one in fields(kind) if one.default is not MISSING] == []
    assert [one.name for one in fields(kind) if one.default_factory is not MISSING] == []


def test_an_empty_system_is_not_checked_at_all_and_passes_no_audit() -> None:
    empty = Evidence.of_the_log_alone(story.START, [])
    found = judged(empty)
    assert {f.verdict for f in found.values()} == {"not checked"}
    assert report.exit_code(list(found.values())) == UNCHECKED


def test_oracles_change_nothing_they_look_at() -> None:
    before = repr(CLEAN)
    judged(CLEAN)
    assert repr(CLEAN) == before


READERS = [name for name, topics in SUBSCRIPTIONS.items() if "orders" in topics]
STRAY = OnBus(0, 99, story.placed("e99", "ord_9", "k9"))
ITS_PLACE = {"topic": "orders", "partition": 0, "offset": 99}
ITSELF = {"event_id": "e99", "stream": STRAY.event.stream, "version": STRAY.event.version}


@pytest.mark.parametrize(
    ("record", "readers", "is_let_off"),
    [
        ({"event": ITSELF}, READERS, True),
        ({"event": None, **ITS_PLACE}, READERS, True),
        ({"event": ITSELF}, READERS[1:], False),
        ({"event": {**ITSELF, "version": 7}, **ITS_PLACE}, READERS, False),
        ({"event": None, **ITS_PLACE, "offset": 98}, READERS, False),
        ({"taken": "e99", "stream": STRAY.event.stream, "version": 1}, READERS, False),
    ],
)
def test_a_stray_is_let_off_once_every_reader_has_discarded_it(
    record: dict[str, object], readers: list[str], is_let_off: bool
) -> None:
    bus = [*(CLEAN.bus or ()), STRAY]
    evidence = replace(CLEAN, bus=bus, given_up={name: [record] for name in readers})
    found = log.i10_published_and_applied_once(evidence)
    assert found.said == ([] if is_let_off else ["e99 is on the bus and in no store"])
    told = ["1 in no store, and discarded by people in every service that reads it"]
    assert found.notes == (told if is_let_off else [])
