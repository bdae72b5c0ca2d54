"""What it means that an order's deadline has passed, by the database's clock."""

from collections.abc import Sequence

from capture import due, service
from capture.decider import commands
from waybill_runtime.decider import Intent
from waybill_runtime.jobs import because_of
from waybill_runtime.stored import ClaimedJob
from waybill_runtime.work import Work


async def expire(work: Work, fired: Sequence[ClaimedJob]) -> None:
    """End orders that waited too long; the fold decides which still wait."""
    await work.run([(_expiry(job), because_of(job, "capture")) for job in fired])


def _expiry(job: ClaimedJob) -> Intent:
    return Intent(service.ORDER, due.order_of(job), commands.Expire(now=job.now))
