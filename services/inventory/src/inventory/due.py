"""What a reservation's facts make due: the end of its hold, unless something ends it before."""

import json
from datetime import datetime

from waybill_events import inventory
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.decider import NOTHING, Follow
from waybill_runtime.stored import ClaimedJob, Job

EXPIRE = "inventory.expire"


def follow(recorded: Recorded, event: Event) -> Follow:
    """A hold's deadline, and what ends it."""
    job_id = f"{EXPIRE}:{recorded.stream}"
    match event:
        case inventory.StockReserved():
            job = deadline(job_id, recorded.tenant, event.order_id, event.expires_at)
            return Follow(schedule=(job,))
        case inventory.ReservationConfirmed() | inventory.ReservationReleased():
            return Follow(cancel=(job_id,))
        case _:
            return NOTHING


def deadline(job_id: str, tenant: str, order_id: str, due_at: datetime) -> Job:
    """The job that ends an order's hold; scheduled again, it replaces itself."""
    payload = json.dumps({"order_id": order_id})
    return Job(id=job_id, tenant=tenant, kind=EXPIRE, due_at=due_at, payload=payload)


def order_of(job: ClaimedJob) -> str:
    """The order whose hold a job ends."""
    return str(json.loads(job.payload)["order_id"])
