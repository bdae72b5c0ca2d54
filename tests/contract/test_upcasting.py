"""Old events are told in today's words, and what cannot be read says why."""

import contextlib
import json
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill_events import codec
from waybill_events.catalogue import CATALOGUE, Entry
from waybill_events.envelope import Recorded
from waybill_events.event import AmountMinor, Currency, Event, Id
from waybill_events.notification import NotificationDecided
from waybill_events.upcast import STEPS, Json, Step, upcast

V1, V2, V3 = (f"capture.parcel_weighed.v{number}" for number in (1, 2, 3))


class ParcelWeighed(Event):
    TYPE: ClassVar[str] = V3
    order_id: Id
    cost_minor: AmountMinor
    currency: Currency


def to_minor(data: Json) -> Json:
    return {"order_id": data["order_id"], "cost_minor": data["pounds"] * 100}


def with_currency(data: Json) -> Json:
    return {**data, "currency": "GBP"}


CHAIN = {V1: Step(V2, to_minor), V2: Step(V3, with_currency)}
KNOWN = {V3: Entry(ParcelWeighed, "orders")}


def recorded(type_: str, data: str) -> Recorded:
    return Recorded(
        event_id="e1",
        type=type_,
        stream="default/order/ord_1",
        version=1,
        tenant="default",
        topic="orders",
        key="ord_1",
        occurred_at=datetime(2026, 11, 23, tzinfo=UTC),
        causation_id="c1",
        correlation_id="ord_1",
        actor="system:test",
        origin="live",
        data=data,
    )


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        (V1, '{"order_id": "ord_1", "pounds": 5}'),
        (V2, '{"order_id": "ord_1", "cost_minor": 500}'),
        (V3, '{"order_id": "ord_1", "cost_minor": 500, "currency": "GBP"}'),
    ],
)
def test_every_version_of_an_event_is_read_as_the_newest(type_: str, data: str) -> None:
    event = codec.decode(recorded(type_, data), KNOWN, CHAIN)
    assert event == ParcelWeighed(order_id="ord_1", cost_minor=500, currency="GBP")


def test_a_type_without_a_step_stays_as_it_is() -> None:
    assert upcast("a.b.v1", {"x": 1}, CHAIN) == ("a.b.v1", {"x": 1})


@pytest.mark.parametrize("type_", ["capture.order_placed.v9", "", "order_placed"])
def test_an_unknown_type_is_said_to_be_unknown(type_: str) -> None:
    with pytest.raises(codec.UnknownType, match="not in the catalogue"):
        codec.decode(recorded(type_, "{}"))


def test_a_chain_that_leads_nowhere_ends_in_an_unknown_type() -> None:
    with pytest.raises(codec.UnknownType):
        codec.decode(recorded(V1, '{"order_id": "ord_1", "pounds": 5}'), {}, CHAIN)


def test_invalid_data_names_its_place_and_never_its_value() -> None:
    data = '{"order_id": "ord_1", "cost_minor": "a-secret", "currency": "buyer@example.com"}'
    with pytest.raises(codec.InvalidEvent) as caught:
        codec.decode(recorded(V3, data), KNOWN, CHAIN)
    assert "cost_minor: int_parsing" in str(caught.value)
    assert "currency: string_pattern_mismatch" in str(caught.value)
    assert "a-secret" not in str(caught.value)
    assert "buyer@example.com" not in str(caught.value)


def test_the_place_of_a_problem_is_printable_whatever_the_sender_called_it() -> None:
    data = dict.fromkeys(NotificationDecided.model_fields, "x")
    with pytest.raises(codec.InvalidEvent) as caught:
        codec.decode(
            recorded(NotificationDecided.TYPE, json.dumps({**data, "details": {"a\0b\n": 1}}))
        )
    assert str(caught.value).endswith(r": details/a\x00b\n: string_type")


@pytest.mark.parametrize("data", ["", "null", "[]", "{", '"text"', "\x00", "[" * 100_000])
@pytest.mark.parametrize("type_", [V1, V3])
def test_what_is_no_object_is_an_invalid_event(type_: str, data: str) -> None:
    with pytest.raises(codec.InvalidEvent, match=type_):
        codec.decode(recorded(type_, data), KNOWN, CHAIN)


def weighed(data: Json) -> Json:
    """A step that takes its fields for granted, as steps do."""
    return {
        "order_id": data["order_id"].strip(),
        "cost_minor": int(data["pence"][0]) // data["parcels"],
        "currency": "GBP",
    }


GREEDY = {V1: Step(V3, weighed)}
FIELDS = ("order_id", "pence", "parcels", "cost_minor", "currency")


def test_a_step_that_takes_its_fields_for_granted_reads_what_is_whole() -> None:
    whole = '{"order_id": " ord_1 ", "pence": ["500"], "parcels": 1}'
    event = codec.decode(recorded(V1, whole), KNOWN, GREEDY)
    assert event == ParcelWeighed(order_id="ord_1", cost_minor=500, currency="GBP")


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        ('{"order_id": "ord_1"}', "KeyError"),
        ('{"order_id": 1, "pence": ["1"], "parcels": 1}', "AttributeError"),
        ('{"order_id": "ord_1", "pence": 1, "parcels": 1}', "TypeError"),
        ('{"order_id": "ord_1", "pence": [], "parcels": 1}', "IndexError"),
        ('{"order_id": "ord_1", "pence": ["1"], "parcels": 0}', "ZeroDivisionError"),
        ('{"order_id": "ord_1", "pence": ["a-secret"], "parcels": 1}', "ValueError"),
        ('{"order_id": "ord_1", "pence": [NaN], "parcels": 1}', "ValueError"),
        ('{"order_id": "ord_1", "pence": [1e999], "parcels": 1}', "OverflowError"),
        ('{"order_id": "ord_1", "pence": [' + "9" * 5_000 + '], "parcels": 1}', "ValueError"),
    ],
)
def test_whatever_a_step_trips_over_is_an_invalid_event(data: str, trouble: str) -> None:
    with pytest.raises(codec.InvalidEvent) as caught:
        codec.decode(recorded(V1, data), KNOWN, GREEDY)
    assert str(caught.value) == f"{V1}: {trouble}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


OBJECT = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON))


@given(data=st.text() | (JSON | OBJECT).map(json.dumps), type_=st.sampled_from((V1, V3)))
def test_whatever_the_data_is_it_is_an_event_or_an_invalid_one(data: str, type_: str) -> None:
    with contextlib.suppress(codec.InvalidEvent):
        assert isinstance(codec.decode(recorded(type_, data), KNOWN, GREEDY), ParcelWeighed)


def test_every_step_leads_to_a_type_of_today() -> None:
    for type_ in STEPS:
        seen = [type_]
        while (step := STEPS.get(seen[-1])) and len(seen) <= len(STEPS):
            seen.append(step.becomes)
        assert seen[-1] in CATALOGUE, f"{type_} goes round in circles or ends nowhere"
        assert type_ not in CATALOGUE, "a type is either of today or has a step"
