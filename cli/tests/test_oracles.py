"""Each oracle on a clean story, and on the same story with one thing falsified."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from waybill.audit import oracles, report
from waybill.audit.evidence import Compared, Evidence, Finding, LogLine, OnBus, Taken
from waybill.ledger import Polled, Posted
from waybill.testing import story

CLEAN = story.clean()
ALL = [f"I{number}" for number in range(1, 16)]


def judged(evidence: Evidence) -> Mapping[str, Finding]:
    return {finding.guarantee: finding for finding in oracles.judge(evidence)}


def violated(evidence: Evidence) -> Sequence[str]:
    return [name for name, found in judged(evidence).items() if found.verdict == "violated"]


def without(*ids: str) -> Evidence:
    return story.with_events(CLEAN, [e for e in CLEAN.events if e.event_id not in ids])


def find(evidence: Evidence, id_: str) -> OnBus:
    return next(m for m in evidence.bus or () if m.event_id == id_)


def test_the_clean_story_holds_in_all_fifteen_points_and_says_what_it_looked_at() -> None:
    found = judged(CLEAN)
    assert list(found) == ALL
    assert {name: f.violations for name, f in found.items() if f.violations} == {}
    assert {f.verdict for f in found.values()} == {"holds"}
    assert found["I1"].looked_at["orders placed"] == 2
    assert found["I3"].looked_at == {"SKUs": 1, "stock events": 6, "SKUs shown by the API": 1}
    assert report.verdict(list(found.values())) == "holds"


def acknowledged_and_missing() -> Evidence:
    lost = Posted(key="k9", status=201, order_id="ord_9", body_sha256="b9")
    return replace(CLEAN, clients=[*CLEAN.clients, lost])


def ended_twice() -> Evidence:
    again = story.event(
        "e30", "capture.order_cancelled.v1", "order/ord_2", 3, "key:c2", order_id="ord_2"
    )
    told = (story.decided("e31", "ord_2", 3, "e30"), story.sent("e32", "ord_2", 4, "e30"))
    return story.plus(CLEAN, again, *told)


def two_orders_of_one_key() -> Evidence:
    second = story.placed("e30", "ord_3", "k1")
    end = story.event(
        "e31", "capture.order_cancelled.v1", "order/ord_3", 2, "key:d", order_id="ord_3"
    )
    told = (story.decided("e32", "ord_3", 1, "e31"), story.sent("e33", "ord_3", 2, "e31"))
    return story.plus(CLEAN, second, end, *told)


def stock_counter_in_the_log() -> Evidence:
    return story.changed(CLEAN, "e9", levels=story.levels(2, 0, 0))


def stock_counter_of_the_api() -> Evidence:
    told = {**story.levels(1, 1, 0)[0], "version": 6}
    return replace(CLEAN, stock={"A": {"locations": [told]}})


def oversold() -> Evidence:
    more = [{**story.moves("2")[0], "quantity": 5}]
    events = story.changed(CLEAN, "e13", moves=more, levels=story.levels(2, 6, 0))
    events = story.changed(events, "e6", levels=story.levels(2, 5, 1))
    return story.changed(events, "e16", moves=more, levels=story.levels(2, 0, 1))


def captured_twice() -> Evidence:
    double = story.entry(5, "capture", "ga_1", "shp_1-1", 0)
    return replace(CLEAN, gateway=[*(CLEAN.gateway or ()), double])


def captured_more_than_authorised() -> Evidence:
    ledger = [dict(one) for one in CLEAN.gateway or ()]
    ledger[0]["amount_minor"] = 400
    return replace(CLEAN, gateway=ledger)


def captured_otherwise_than_told() -> Evidence:
    return story.changed(CLEAN, "e10", amount_minor=599)


def refunded_in_the_log_alone() -> Evidence:
    told = story.refunded("e30", "ord_1", 3, "rfn_1", 200)
    return story.plus(CLEAN, told)


def refunded_twice() -> Evidence:
    """The gateway gave the same refund back twice; the log tells of one."""
    given = [story.entry(seq, "refund", "ga_1", "rfn_1", 200) for seq in (5, 6)]
    found = refunded_in_the_log_alone()
    return replace(found, gateway=[*(CLEAN.gateway or ()), *given])


def refunded_more_than_captured() -> Evidence:
    told = story.refunded("e30", "ord_1", 3, "rfn_1", 601)
    given = story.entry(5, "refund", "ga_1", "rfn_1", 601)
    return replace(story.plus(CLEAN, told), gateway=[*(CLEAN.gateway or ()), given])


def completed_and_captured_in_part() -> Evidence:
    """Log and gateway agree on one penny too little."""
    found = story.changed(CLEAN, "e10", amount_minor=599)
    kept = [one for one in CLEAN.gateway or () if one["operation"] != "capture"]
    return replace(found, gateway=[*kept, story.entry(4, "capture", "ga_1", "shp_1-1", 599)])


def two_authorisations_at_once() -> Evidence:
    kept = [one for one in CLEAN.gateway or () if one["operation"] != "void"]
    return replace(CLEAN, gateway=[*kept, story.entry(6, "authorize", "ga_3", "ord_2")])


def completed_and_not_captured() -> Evidence:
    """Neither the gateway nor the log knows of a capture."""
    kept = [one for one in CLEAN.gateway or () if one["operation"] != "capture"]
    return replace(without("e10"), gateway=kept)


def cancelled_with_captured_money() -> Evidence:
    kept = [one for one in CLEAN.gateway or () if one["operation"] != "void"]
    return replace(CLEAN, gateway=[*kept, story.entry(6, "capture", "ga_2", "shp_2-1")])


def dispatched_twice() -> Evidence:
    data = {"fulfillment_order_id": "ffo_1-1", "order_id": "ord_1", "shipment_id": "shp_1-2"}
    again = story.event(
        "e30", "fulfillment.shipment_dispatched.v1", "fulfillment/ord_1", 4, "key:t", **data,
        lines=[],
    )  # fmt: skip
    label = {**(CLEAN.carrier or ())[0], "reference": "shp_1-2", "shipment_id": "cs_2"}
    told = (story.decided("e31", "ord_1", 7, "e30"), story.sent("e32", "ord_1", 8, "e30"))
    found = story.plus(CLEAN, again, *told)
    return replace(found, carrier=[*(CLEAN.carrier or ()), label])


def more_shipped_than_ordered() -> Evidence:
    return story.changed(CLEAN, "e8", lines=[{"line_id": "ln_1", "sku": "A", "quantity": 2}])


def label_bought_twice() -> Evidence:
    first = (CLEAN.carrier or ())[0]
    return replace(CLEAN, carrier=[first, {**first, "seq": 2, "shipment_id": "cs_2"}])


def dispatched_without_a_label() -> Evidence:
    return replace(CLEAN, carrier=[])


def stuck() -> Evidence:
    """`ord_1` was delivered and never closed; the audit does not require an end."""
    return replace(without("e20"), require_settled=False)


def view_differs() -> Evidence:
    return replace(CLEAN, views=[Compared("tracking customer", "aa", "bb", 2)])


def version_gap() -> Evidence:
    """Missing in store and on the bus: the order of the bus has the hole as well."""
    return without("e14")


def version_missing_in_the_store() -> Evidence:
    """Only the store lost it; the bus still has it."""
    events = [e for e in CLEAN.events if e.event_id != "e14"]
    return replace(CLEAN, events=events)


def payload_differs_from_bus() -> Evidence:
    message = find(CLEAN, "e14")
    bus = [replace(m, value="{}") if m is message else m for m in CLEAN.bus or ()]
    return replace(CLEAN, bus=bus)


def event_id_twice() -> Evidence:
    """A second copy under the same id, on another stream."""
    events = [replace(e, event_id="e14") if e.event_id == "e17" else e for e in CLEAN.events]
    bus = [m for m in CLEAN.bus or () if m.event_id != "e17"]
    moved = next(e for e in CLEAN.events if e.event_id == "e17")
    found = find(CLEAN, "e17")
    return replace(
        CLEAN, events=events, bus=[*bus, replace(found, event_id="e14", value=moved.data)]
    )


def unpublished() -> Evidence:
    return replace(CLEAN, bus=[m for m in CLEAN.bus or () if m.event_id != "e20"])


def stray_on_the_bus() -> Evidence:
    stray = OnBus("orders", 0, 99, "e99", "default/order/ord_9", 1, "{}")
    return replace(CLEAN, bus=[*(CLEAN.bus or ()), stray])


def consumer_behind() -> Evidence:
    return replace(CLEAN, consumers=[Taken("tracking", "orders", 4, 5, 0)])


def decided_twice() -> Evidence:
    """The confirmation was taken twice: the same words, from the same cause, on one stream."""
    first = next(e for e in CLEAN.events if e.event_id == "e7")
    return story.plus(CLEAN, replace(first, event_id="e30", version=4))


def parked() -> Evidence:
    return replace(CLEAN, consumers=[Taken("tracking", "orders", 5, 5, 2)])


def out_of_order_on_the_bus() -> Evidence:
    first, second = find(CLEAN, "e14"), find(CLEAN, "e17")
    swapped = {first.event_id: second.offset, second.event_id: first.offset}
    bus = [replace(m, offset=swapped.get(m.event_id, m.offset)) for m in CLEAN.bus or ()]
    return replace(CLEAN, bus=bus)


def one_stream_on_two_partitions() -> Evidence:
    message = find(CLEAN, "e17")
    bus = [replace(m, partition=1) if m is message else m for m in CLEAN.bus or ()]
    return replace(CLEAN, bus=bus)


def told_twice() -> Evidence:
    again = replace(story.decided("e30", "ord_2", 3, "e15"), causation_id="another")
    return story.plus(CLEAN, again)


def never_told() -> Evidence:
    return without("e27", "e28")


def told_of_an_import() -> Evidence:
    events = [replace(e, origin="import") if e.event_id == "e27" else e for e in CLEAN.events]
    return story.with_events(CLEAN, events)


def view_went_back() -> Evidence:
    back = Polled(order_id="ord_1", version=6, client="a")
    return replace(CLEAN, clients=[*CLEAN.clients, back])


def view_shows_less_than_was_seen() -> Evidence:
    return replace(CLEAN, tracked={"ord_1": 6, "ord_2": 3})


def person_in_an_event() -> Evidence:
    return story.changed(CLEAN, "e15", reason="asked by ada@example.com")


def person_in_a_log() -> Evidence:
    return replace(CLEAN, logs=[LogLine("capture.log:2", '{"to": "Ada Buyer"}')])


def card_in_a_log() -> Evidence:
    return replace(CLEAN, logs=[LogLine("payment.log:9", "card 4111 1111 1111 1111 refused")])


def card_in_an_event() -> Evidence:
    return story.changed(CLEAN, "e15", reason="4111111111111111")


def same_key_other_answer() -> Evidence:
    other = Posted(key="k1", status=201, order_id="ord_1", body_sha256="b7")
    return replace(CLEAN, clients=[*CLEAN.clients, other])


PLANTED: Mapping[str, tuple[Callable[[], Evidence], str]] = {
    "an acknowledged order is missing": (acknowledged_and_missing, "I1"),
    "an order ended twice": (ended_twice, "I1"),
    "two orders of one key": (two_orders_of_one_key, "I2"),
    "a stock counter in the log": (stock_counter_in_the_log, "I3"),
    "a stock counter of the API": (stock_counter_of_the_api, "I3"),
    "more held than there is": (oversold, "I3"),
    "a shipment captured twice": (captured_twice, "I4"),
    "captured more than authorised": (captured_more_than_authorised, "I4"),
    "captured otherwise than told": (captured_otherwise_than_told, "I4"),
    "refunded in the log alone": (refunded_in_the_log_alone, "I4"),
    "refunded twice": (refunded_twice, "I4"),
    "refunded more than captured": (refunded_more_than_captured, "I4"),
    "two authorisations at once": (two_authorisations_at_once, "I4"),
    "completed and not captured": (completed_and_not_captured, "I5"),
    "completed and captured in part": (completed_and_captured_in_part, "I5"),
    "cancelled with captured money": (cancelled_with_captured_money, "I5"),
    "one fulfillment order dispatched twice": (dispatched_twice, "I6"),
    "more shipped than ordered": (more_shipped_than_ordered, "I6"),
    "a label bought twice": (label_bought_twice, "I6"),
    "dispatched without a label": (dispatched_without_a_label, "I6"),
    "an order that stands still": (stuck, "I7"),
    "a view that differs from its rebuild": (view_differs, "I8"),
    "a payload that differs from the bus": (payload_differs_from_bus, "I9"),
    "an event id that occurs twice": (event_id_twice, "I9"),
    "an event that was not published": (unpublished, "I10"),
    "a message that no store knows": (stray_on_the_bus, "I10"),
    "a consumer that is behind": (consumer_behind, "I10"),
    "an event that was taken twice": (decided_twice, "I10"),
    "a parked key": (parked, "I11"),
    "a stream out of order on the bus": (out_of_order_on_the_bus, "I11"),
    "a stream on two partitions": (one_stream_on_two_partitions, "I11"),
    "a message decided twice": (told_twice, "I12"),
    "a fact that nobody was told of": (never_told, "I12"),
    "an import that was spoken of": (told_of_an_import, "I12"),
    "a view that went back": (view_went_back, "I13"),
    "a view that shows less than was seen": (view_shows_less_than_was_seen, "I13"),
    "a person in an event": (person_in_an_event, "I14"),
    "a person in a log": (person_in_a_log, "I14"),
    "a card number in a log": (card_in_a_log, "I14"),
    "a card number in an event": (card_in_an_event, "I14"),
    "the same key, another answer": (same_key_other_answer, "I15"),
}


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_what_is_planted_is_named_by_the_right_oracle_and_only_by_it(planted: str) -> None:
    falsify, guarantee = PLANTED[planted]
    assert violated(falsify()) == [guarantee]


def test_every_oracle_was_seen_to_find_something() -> None:
    assert {guarantee for _, guarantee in PLANTED.values()} == set(ALL)


def test_a_missing_event_is_a_hole_in_its_stream_and_on_the_bus() -> None:
    """The log and the order of the bus are two witnesses of one loss."""
    assert violated(version_gap()) == ["I9", "I11"]
    assert violated(version_missing_in_the_store()) == ["I9", "I10"]
