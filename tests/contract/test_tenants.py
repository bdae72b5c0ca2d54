"""Nothing leaves its tenant: a job is of its event's tenant, and reads what that tenant has."""

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

import capture.service
import fulfillment.service
import inventory.service
import notification.service
import payment.service
from fulfillment import due
from fulfillment.effects.labels import Labels
from notification.effects import Sender
from waybill_events import notification as notified
from waybill_events.catalogue import CATALOGUE
from waybill_events.event import Event
from waybill_runtime.adapters.memory.documents import MemoryDocuments
from waybill_runtime.adapters.memory.streams import MemoryStreams
from waybill_runtime.stored import ClaimedJob
from waybill_runtime.testing.world import EPOCH, World, recorded, simulate

ROOT = Path(__file__).parents[2]
WITHIN = due.Deadlines(
    accept_s=1, pick_s=1, pack_s=1, ship_s=1, deliver_s=1, label_grace_s=1, track_s=1
)
DECIDERS: Mapping[str, Any] = {
    "capture.expire": capture.service.ORDER,
    "inventory.expire": inventory.service.RESERVATION,
    "payment.authorize": payment.service.PAYMENT,
    "payment.capture": payment.service.PAYMENT,
    "payment.void": payment.service.PAYMENT,
    "payment.refund": payment.service.PAYMENT,
    "payment.expire": payment.service.PAYMENT,
    due.MISS: fulfillment.service.rules(WITHIN),
    due.LABEL: fulfillment.service.rules(WITHIN),
    due.TRACK: fulfillment.service.rules(WITHIN),
    "notification.send": notification.service.MESSAGE,
}


def examples(topic: str) -> list[Event]:
    """An event of each kind that today's release writes to a topic, and of each way it may look."""
    return [
        CATALOGUE[path.parent.name].model.model_validate(json.loads(path.read_text())["data"])
        for path in sorted((ROOT / "libs/events/examples").glob("*/*.json"))
        if path.parent.name in CATALOGUE and CATALOGUE[path.parent.name].topic == topic
    ]


@pytest.mark.parametrize("kind", DECIDERS)
def test_a_job_is_of_the_tenant_of_its_event(kind: str) -> None:
    decider = DECIDERS[kind]
    name = f"other/{decider.category}/x"
    jobs = [
        job
        for event in examples(decider.topic)
        for job in decider.follow(
            recorded(event, stream=name, version=1, topic=decider.topic, tenant="other"), event
        ).schedule
        if job.kind == kind
    ]
    assert {job.tenant for job in jobs} == {"other"}


def claimed(kind: str, payload: str) -> ClaimedJob:
    return ClaimedJob(
        id="j",
        tenant="other",
        kind=kind,
        due_at=EPOCH,
        payload=payload,
        attempt=1,
        token="1:j",
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_a_label_is_bought_for_the_order_of_the_jobs_tenant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def load(self: MemoryStreams, streams: Collection[str], *, lock: bool) -> object:
        asked.extend(streams)
        return await real(self, streams, lock=lock)

    async def main() -> None:
        on = World().infrastructure("fulfillment")
        nobody = cast(Any, None)
        labels = Labels(on, fulfillment.service.rules(WITHIN), nobody, nobody)
        payload = json.dumps({"order_id": "ord_x", "fulfillment_order_id": "ffo_x-1"})
        assert (await labels.finish(claimed(due.LABEL, payload))).intents == ()

    real = MemoryStreams.load
    monkeypatch.setattr(MemoryStreams, "load", load)
    simulate(1, main())
    assert asked == ["other/fulfillment/ord_x"]


def test_a_message_is_written_from_what_the_jobs_tenant_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def get(self: MemoryDocuments, tenant: str, *args: Any, **how: Any) -> object:
        asked.append(tenant)
        return await real(self, tenant, *args, **how)

    async def main() -> None:
        on = World().infrastructure("notification")
        sender = Sender(on, cast(Any, None), {})
        (told, *_) = [e for e in examples("notifications") if _is_decided(e)]
        assert (await sender.send(claimed("notification.send", told.model_dump_json()))).again_s

    real = MemoryDocuments.get
    monkeypatch.setattr(MemoryDocuments, "get", get)
    simulate(1, main())
    assert asked == ["other"]


def _is_decided(event: Event) -> bool:
    return isinstance(event, notified.NotificationDecided)
