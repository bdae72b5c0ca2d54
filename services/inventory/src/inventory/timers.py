"""What it means that holds have ended, by the database's clock: their units are free again."""

from collections.abc import Sequence

from inventory import due, service
from inventory.decider import commands, holding
from waybill_runtime.jobs import Timer, because_of
from waybill_runtime.stored import ClaimedJob
from waybill_runtime.work import Work


def expiring(reservations: service.Reservations) -> Timer:
    """Let holds whose deadlines have passed go, with their units.

    Decided by the database's time against the reservations as they are: a late or second sweep
    changes nothing, and an early one comes back.
    """

    async def expire(work: Work, fired: Sequence[ClaimedJob]) -> None:
        orders = {due.order_of(job): job for job in fired}
        requests = [
            service.Request(
                order_id=order_id, command=commands.Expire(), cause=because_of(job, "inventory")
            )
            for order_id, job in orders.items()
        ]
        now = fired[0].now
        await reservations.decide(work, requests, now)
        for order_id, job in orders.items():
            state = work.state(service.RESERVATION, order_id)
            if isinstance(state, holding.Held):
                due_at = work.now + (state.expires_at - now)
                work.schedule([due.deadline(job.id, job.tenant, order_id, due_at)])

    return expire
