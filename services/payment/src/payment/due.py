"""What a payment's facts make due: a call for each request, a timer for each hold."""

import json
from datetime import timedelta

from payment import calls
from waybill_events import payment
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.decider import NOTHING, Follow
from waybill_runtime.stored import ClaimedJob, Job

CALLS = tuple(calls.kind(operation) for operation in calls.OPERATIONS)
EXPIRE = "payment.expire"
EXPIRY_MARGIN = timedelta(seconds=1)
"""Later than the gateway's own clock may be: what we call expired holds nobody's money."""


def follow(recorded: Recorded, event: Event) -> Follow:
    """What is asked of the gateway, as `calls` says; a hold's end, until it is used or let go."""
    if (asked := calls.requested(recorded, event)) is not None:
        call, pause_s = asked
        due_at = recorded.occurred_at + timedelta(seconds=pause_s)
        return Follow(schedule=(call.job(recorded.tenant, due_at),))
    timer_id = f"{EXPIRE}:{recorded.stream}"
    match event:
        case payment.PaymentAuthorized() if event.amount_minor:
            payload = json.dumps(
                {"order_id": event.order_id, "authorization_id": event.authorization_id}
            )
            timer = Job(
                id=timer_id,
                tenant=recorded.tenant,
                kind=EXPIRE,
                due_at=event.expires_at + EXPIRY_MARGIN,
                payload=payload,
            )
            return Follow(schedule=(timer,))
        case (
            payment.PaymentVoided()
            | payment.AuthorizationExpired()
            | payment.PaymentCaptured(final=True)
        ):
            return Follow(cancel=(timer_id,))
        case _:
            return NOTHING


def hold_of(job: ClaimedJob) -> tuple[str, str]:
    """The order whose hold has ended, and the authorisation that it was."""
    read = json.loads(job.payload)
    return read["order_id"], read["authorization_id"]
