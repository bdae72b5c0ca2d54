"""An older release that still runs: half of what warehouses accept is written in its words."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

from waybill_events import upcast
from waybill_events.envelope import Recorded
from waybill_events.fulfillment import FulfillmentAccepted
from waybill_events.upcast import Json, Step
from waybill_runtime.adapters.memory.streams import MemoryStreams
from waybill_runtime.stored import StreamWrite

OLD = "fulfillment.fulfillment_accepted.v0"


def _today(data: Json) -> Json:
    return {**{k: v for k, v in data.items() if k != "place"}, "location": data["place"]}


def _as_of_old(event: Recorded) -> Recorded:
    """Every second acceptance, with the name that its field had then."""
    if event.type != FulfillmentAccepted.TYPE or sum(event.event_id.encode()) % 2:
        return event
    data = json.loads(event.data)
    data["place"] = data.pop("location")
    return replace(event, type=OLD, data=json.dumps(data))


@contextmanager
def older_release() -> Iterator[None]:
    """Writers of before beside readers of today, who have a step for what those write."""

    def append(self: MemoryStreams, write: StreamWrite) -> None:
        real(self, replace(write, events=[_as_of_old(event) for event in write.events]))

    real = MemoryStreams._append
    step = Step(FulfillmentAccepted.TYPE, _today)
    with (
        mock.patch.dict(upcast.STEPS, {OLD: step}),
        mock.patch.object(MemoryStreams, "_append", append),
    ):
        yield
