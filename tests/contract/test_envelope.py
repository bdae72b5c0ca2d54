"""What is written around an event is what is read; what is missing or broken is named."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill_events import asyncapi, envelope
from waybill_events.envelope import InvalidEnvelope, Recorded, StreamId

PLACED = Recorded(
    event_id="01a20934-7a38-7000-8000-000000000005",
    type="capture.order_placed.v1",
    stream="default/order/ord_01m84k8yhre00sxe1fx5ygf3kq",
    version=1,
    tenant="default",
    topic="orders",
    key="ord_01m84k8yhre00sxe1fx5ygf3kq",
    occurred_at=datetime(2026, 11, 23, 16, 19, 23, 832000, tzinfo=UTC),
    causation_id="cmd_place_1",
    correlation_id="ord_01m84k8yhre00sxe1fx5ygf3kq",
    actor="customer:17850",
    origin="live",
    data='{"order_id":"ord_01m84k8yhre00sxe1fx5ygf3kq"}',
)
READ = [name for name in asyncapi.HEADERS if name.startswith("ce_")]
READ = [name for name in READ if name not in {"ce_source", "ce_subject", "ce_dataschema"}]

kept = st.characters(codec="utf-8", exclude_characters="\0")
words = st.text(kept, min_size=1, max_size=40)
moments = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - Hypothesis adds the zone
    timezones=st.builds(timezone, st.integers(-14, 14).map(lambda hours: timedelta(hours=hours))),
)
events = st.builds(
    Recorded,
    event_id=words,
    type=words,
    stream=words,
    version=st.integers(1, 2**63 - 1).filter(lambda version: version < 10**18),
    tenant=words,
    topic=words,
    key=words,
    occurred_at=moments,
    causation_id=words,
    correlation_id=words,
    actor=words,
    origin=st.sampled_from(["live", "import", "repair"]),
    data=st.text(kept),
).filter(lambda event: event.stream.count("/") < 2 or event.stream.startswith(f"{event.tenant}/"))


def message(change: dict[str, bytes | None]) -> list[tuple[str, bytes]]:
    """The headers of PLACED, some replaced, those replaced by None left out."""
    told: dict[str, bytes | None] = {**dict(envelope.headers(PLACED)), **change}
    return [(name, value) for name, value in told.items() if value is not None]


@given(events)
def test_headers_and_value_give_the_event_back(event: Recorded) -> None:
    read = envelope.from_message(event.topic, envelope.headers(event), event.data.encode())
    assert read == event


@given(events, st.randoms())
def test_the_order_of_headers_and_headers_of_others_do_not_matter(
    event: Recorded, chance: Any
) -> None:
    pairs = [*envelope.headers(event), ("traceparent", b"00-1-2-01")]
    chance.shuffle(pairs)
    assert envelope.from_message(event.topic, pairs, event.data.encode()) == event


def test_the_headers_are_those_of_the_asyncapi_document_in_its_order() -> None:
    assert [name for name, _ in envelope.headers(PLACED)] == list(asyncapi.HEADERS)


@pytest.mark.parametrize("name", READ)
def test_a_missing_header_is_named(name: str) -> None:
    with pytest.raises(InvalidEnvelope, match=f"header {name} is missing"):
        envelope.from_message("orders", message({name: None}), b"{}")


@pytest.mark.parametrize("name", READ)
def test_a_header_that_is_no_text_is_named(name: str) -> None:
    with pytest.raises(InvalidEnvelope, match=f"header {name} is not UTF-8"):
        envelope.from_message("orders", message({name: b"\xff"}), b"{}")


@pytest.mark.parametrize("name", READ)
def test_a_header_that_no_index_would_take_is_named(name: str) -> None:
    with pytest.raises(InvalidEnvelope, match=f"header {name} is longer than 1024 bytes"):
        envelope.from_message("orders", message({name: b"9" * 1025}), b"{}")


@pytest.mark.parametrize("name", READ)
def test_a_header_that_no_database_would_keep_is_named(name: str) -> None:
    with pytest.raises(InvalidEnvelope, match=f"header {name} holds a NUL"):
        envelope.from_message("orders", message({name: b"a\0b"}), b"{}")


@pytest.mark.parametrize("name", ["ce_id", "ce_type", "ce_stream", "ce_tenant", "ce_partitionkey"])
def test_an_empty_header_is_named(name: str) -> None:
    with pytest.raises(InvalidEnvelope, match=f"header {name} is empty"):
        envelope.from_message("orders", message({name: b""}), b"{}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_specversion", b"0.3"),
        ("ce_streamversion", b"0"),
        ("ce_streamversion", b"-1"),
        ("ce_streamversion", b"one"),
        ("ce_streamversion", b"1_0"),
        ("ce_streamversion", "٣".encode()),
        ("ce_streamversion", b"9" * 500),
        ("ce_time", b"yesterday"),
        ("ce_time", b"2026-11-23T16:19:23"),
        ("ce_time", b""),
    ],
)
def test_a_broken_header_is_named(name: str, value: bytes) -> None:
    with pytest.raises(InvalidEnvelope, match=name):
        envelope.from_message("orders", message({name: value}), b"{}")


def test_a_value_that_is_no_text_is_said() -> None:
    with pytest.raises(InvalidEnvelope, match="the value is not UTF-8"):
        envelope.from_message("orders", message({}), b"\xc3\x28")


def test_binary_and_structured_mode_say_the_same() -> None:
    told = envelope.structured(PLACED, json.loads(PLACED.data))
    binary = {
        name.removeprefix("ce_"): value.decode()
        for name, value in envelope.headers(PLACED)
        if name != "content-type"
    }
    assert told.pop("data") == json.loads(PLACED.data)
    assert told.pop("datacontenttype") == "application/json"
    assert {name: str(value) for name, value in told.items()} == binary


def test_a_stream_is_written_as_it_is_read() -> None:
    stream = StreamId("default", "order", "ord_1/with/slashes")
    assert StreamId.parse(str(stream)) == stream
    with pytest.raises(ValueError, match="not enough values"):
        StreamId.parse("default/order")
