"""What the audit keeps of an event: fifty thousand orders fit on one small machine."""

import gc
import tracemalloc
from dataclasses import replace
from datetime import timedelta

from waybill.audit import facts, wire
from waybill.audit.evidence import Evidence
from waybill.testing import story
from waybill_events.envelope import Recorded
from waybill_runtime.relay import message
from waybill_runtime.testing.world import delivery

ORDERS = 600
BYTES_AN_EVENT = 1_400
"""A million and a half events, as of fifty thousand orders, take two gigabytes of three."""


def _copy(event: Recorded, number: int) -> Recorded:
    """The same of another order, in strings of its own, as a store gives them."""

    def other(text: str) -> str:
        return text.replace("ord_1", f"ord_{number:026d}")

    return replace(
        event,
        event_id=f"{number:08d}-0000-7000-8000-{event.event_id[1:]:>012}",
        stream=other(event.stream),
        key=other(event.key),
        correlation_id=other(event.correlation_id),
        causation_id=f"{number:08d}-0000-7000-8000-{event.causation_id[1:]:>012}",
        occurred_at=event.occurred_at + timedelta(seconds=number),
        data=other(event.data)[:-1] + f', "more": "{"x" * 120}{number}"}}',
    )


def test_the_evidence_of_an_event_is_small() -> None:
    told = [event for event in story.clean().events if event.key == "ord_1"]
    gc.collect()
    tracemalloc.start()
    try:
        words: facts.Words = {}
        events = [facts.slim(_copy(event, n), words) for n in range(ORDERS) for event in told]
        stored = {event.event_id: event for event in events}
        bus = [wire.on_bus(delivery(event, offset), stored) for offset, event in enumerate(events)]
        del stored, words
        evidence = replace(Evidence.of_the_log_alone(story.START, events), bus=bus)
        assert len(evidence.facts) == len(evidence.stored) == len(events)
        assert len(evidence.by_order) == len(evidence.by_type["capture.order_placed"]) == ORDERS
        assert len(evidence.by_stream) == ORDERS * len({event.stream for event in told})
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / len(events) < BYTES_AN_EVENT


def test_a_message_that_equals_its_event_is_that_event_and_is_kept_once() -> None:
    event = story.clean().events[0]
    found = wire.on_bus(delivery(event, 7), {event.event_id: event})
    assert found.event is event
    other = replace(event, actor="staff:mallory")
    assert message(other).headers != message(event).headers
    assert wire.on_bus(delivery(other, 7), {event.event_id: event}).event == other
