"""Old events are told in today's words, and what cannot be read says why."""

from datetime import UTC, datetime
from typing import ClassVar

import pytest

from waybill_events import codec
from waybill_events.catalogue import CATALOGUE, Entry
from waybill_events.envelope import Recorded
from waybill_events.event import AmountMinor, Currency, Event, Id
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


@pytest.mark.parametrize("data", ["", "null", "[]", "{", '"text"', "\x00", "[" * 100_000])
@pytest.mark.parametrize("type_", [V1, V3])
def test_what_is_no_object_is_an_invalid_event(type_: str, data: str) -> None:
    with pytest.raises(codec.InvalidEvent, match=type_):
        codec.decode(recorded(type_, data), KNOWN, CHAIN)


def test_every_step_leads_to_a_type_of_today() -> None:
    for type_ in STEPS:
        seen = [type_]
        while (step := STEPS.get(seen[-1])) and len(seen) <= len(STEPS):
            seen.append(step.becomes)
        assert seen[-1] in CATALOGUE, f"{type_} goes round in circles or ends nowhere"
        assert type_ not in CATALOGUE, "a type is either of today or has a step"
