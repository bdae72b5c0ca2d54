"""What it means that holds have ended, by the database's clock."""

from collections.abc import Sequence

from payment import due, service
from payment.decider import commands
from waybill_runtime.decider import Intent
from waybill_runtime.jobs import because_of
from waybill_runtime.stored import ClaimedJob
from waybill_runtime.work import Work


async def expire(work: Work, fired: Sequence[ClaimedJob]) -> None:
    """Note authorisations whose time has passed; the fold decides which still held money."""
    await work.run([(_expiry(job), because_of(job, "payment")) for job in fired])


def _expiry(job: ClaimedJob) -> Intent:
    order_id, authorization_id = due.hold_of(job)
    command = commands.ExpireAuthorization(authorization_id=authorization_id, now=job.now)
    return Intent(service.PAYMENT, order_id, command)
