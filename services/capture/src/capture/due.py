"""What an order's facts make due: its deadline, until its fate is settled."""

import json

from waybill_events import capture
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.decider import NOTHING, Follow
from waybill_runtime.stored import ClaimedJob, Job

EXPIRE = "capture.expire"
SETTLED = (
    capture.OrderConfirmed,
    capture.OrderRejected,
    capture.OrderExpired,
    capture.OrderCancelled,
)
"""The facts after which an order's deadline has nothing to say."""


def follow(recorded: Recorded, event: Event) -> Follow:
    """An order's deadline, and its end."""
    job_id = f"{EXPIRE}:{recorded.stream}"
    if isinstance(event, capture.OrderPlaced):
        payload = json.dumps({"order_id": event.order_id})
        job = Job(
            id=job_id,
            tenant=recorded.tenant,
            kind=EXPIRE,
            due_at=event.expires_at,
            payload=payload,
        )
        return Follow(schedule=(job,))
    return Follow(cancel=(job_id,)) if isinstance(event, SETTLED) else NOTHING


def order_of(job: ClaimedJob) -> str:
    """The order whose deadline a job is."""
    return str(json.loads(job.payload)["order_id"])
