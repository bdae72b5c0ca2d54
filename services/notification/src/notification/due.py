"""What a message's facts make due: a message that is decided is to be sent, until it is settled."""

from waybill_events import notification
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.decider import Follow
from waybill_runtime.stored import ClaimedJob, Job

SEND = "notification.send"


def follow(recorded: Recorded, event: Event) -> Follow:
    """A decision is due to be sent; a verdict ends it."""
    job_id = f"{SEND}:{recorded.stream}"
    if isinstance(event, notification.NotificationDecided):
        job = Job(
            id=job_id,
            tenant=recorded.tenant,
            kind=SEND,
            due_at=recorded.occurred_at,
            payload=event.model_dump_json(),
        )
        return Follow(schedule=(job,))
    return Follow(cancel=(job_id,))


def message_of(job: ClaimedJob) -> notification.NotificationDecided:
    """The message that a job is to send, as it was decided."""
    return notification.NotificationDecided.model_validate_json(job.payload)
