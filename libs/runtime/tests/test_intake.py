"""What a delivery means, case by case."""

import json
from dataclasses import replace
from typing import Any

import pytest

from waybill_events import codec
from waybill_events.envelope import Recorded
from waybill_events.notification import ContactPreferenceChanged
from waybill_events.upcast import Step
from waybill_runtime import intake
from waybill_runtime.intake import GivenUp
from waybill_runtime.relay import message
from waybill_runtime.testing.world import recorded

NOW = ContactPreferenceChanged.TYPE
ONCE = "notification.preference_set.v1"
FACT = ContactPreferenceChanged(customer_ref="c", channel="email", allowed=True)


def rename(data: dict[str, Any]) -> dict[str, Any]:
    return {**{k: v for k, v in data.items() if k != "is_allowed"}, "allowed": data["is_allowed"]}


STEPS = {ONCE: Step(NOW, rename)}


def event(version: int = 1, type_: str = NOW, data: str = "") -> Recorded:
    told = recorded(FACT, stream="s", version=version, topic="notifications", key="k", type_=type_)
    return replace(told, data=data) if data else told


def old() -> Recorded:
    return event(
        type_=ONCE, data=json.dumps({"customer_ref": "c", "channel": "email", "is_allowed": True})
    )


def test_an_older_type_reaches_whoever_handles_what_it_has_become() -> None:
    assert intake.judge(old(), {}, {NOW}, strict=True, steps=STEPS) == intake.Apply(FACT)


def test_an_older_type_whose_successor_nobody_handles_is_only_noted() -> None:
    assert intake.judge(old(), {}, {"x.y.v1"}, strict=True, steps=STEPS) == intake.Apply(None)


@pytest.mark.parametrize(
    ("version", "seen", "verdict"),
    [(1, 0, intake.Apply), (3, 2, intake.Apply), (2, 2, intake.Duplicate), (4, 2, intake.Gap)],
)
def test_the_version_says_next_known_or_gap(version: int, seen: int, verdict: type) -> None:
    judged = intake.judge(event(version), {"s": seen}, {NOW}, strict=True)
    assert type(judged) is verdict


@pytest.mark.parametrize(
    ("version", "seen", "given_up", "verdict"),
    [
        (2, 1, GivenUp({2: {"s@2"}}), intake.Duplicate),  # the one that was given up
        (4, 1, GivenUp({4: {"s@4"}}), intake.Duplicate),
        (2, 1, GivenUp({2: {"other"}}), intake.Apply),  # another of its version
        (2, 2, GivenUp({2: {"other"}}, {2: "s@2"}), intake.Duplicate),
        (2, 3, GivenUp({2: {"other"}}), intake.Poison),  # the stream went on without
        (3, 1, GivenUp({2: {"other"}}), intake.Apply),  # the next after one that was given up
        (4, 1, GivenUp({2: {"other"}}), intake.Gap),
        (4, 1, GivenUp({3: {"other"}}), intake.Gap),
    ],
)
def test_what_was_given_up_is_known_by_its_id_and_keeps_no_place(
    version: int, seen: int, given_up: GivenUp, verdict: type
) -> None:
    judged = intake.judge(event(version), {"s": seen}, {NOW}, strict=True, given_up=given_up)
    assert type(judged) is verdict


def test_a_type_that_nobody_knows_is_poison_to_the_strict_alone() -> None:
    stranger = event(type_="loyalty.points_won.v1")
    assert isinstance(intake.judge(stranger, {}, {NOW}, strict=True), intake.Poison)
    assert intake.judge(stranger, {}, {NOW}, strict=False) == intake.Apply(None)


def _opened(*, topic: str = "notifications", key: str = "k", **changes: str) -> Recorded:
    told = message(replace(event(), stream="default/preference/c"))
    headers = [(name, changes.get(name, raw.decode()).encode()) for name, raw in told.headers]
    return intake.opened(topic, key, headers, told.value)


def test_an_event_where_it_belongs_is_opened() -> None:
    assert _opened().event_id == event().event_id


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ({"key": "another"}, "key is not that of header ce_partitionkey"),
        ({"key": ""}, "key is not that of header ce_partitionkey"),
        ({"topic": "orders"}, "does not belong on topic orders"),
        ({"ce_stream": "other/preference/c"}, "a stream of another tenant"),
    ],
)
def test_an_event_where_it_does_not_belong_is_poison(where: dict[str, str], why: str) -> None:
    with pytest.raises(intake.Poison, match=why):
        _opened(**where)


def test_a_message_is_read_once_and_its_event_made_once_but_for_a_copy() -> None:
    sent = message(event())
    read = intake.said(sent)
    assert intake.said(sent) is read
    assert read == event()
    assert codec.decode(read) is codec.decode(read)
    other = replace(read, data=codec.encode(FACT.model_copy(update={"allowed": False})))
    assert codec.decode(other) == FACT.model_copy(update={"allowed": False})


def test_a_message_that_is_none_of_ours_is_poison_each_time_it_is_read() -> None:
    sent = replace(message(event()), headers=())
    for _ in range(2):
        with pytest.raises(intake.Poison, match="is missing"):
            intake.said(sent)


def test_a_header_of_ours_twice_is_poison_and_foreign_ones_may_be_anything() -> None:
    told = message(event())
    headers = [*told.headers, ("x-foreign", b"1"), ("x-foreign", b"\xff" * 5_000)]
    assert intake.opened("notifications", "k", headers, told.value) == event()
    with pytest.raises(intake.Poison, match="header ce_id is there twice"):
        intake.opened("notifications", "k", [*headers, ("ce_id", b"other")], told.value)
