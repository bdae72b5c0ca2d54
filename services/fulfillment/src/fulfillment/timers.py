"""What it means that a deadline has passed, by the database's clock: it is said, and no more."""

from collections.abc import Sequence

from fulfillment import due
from fulfillment.decider import commands
from fulfillment.service import Rules
from waybill_runtime.decider import Intent
from waybill_runtime.jobs import Timer, because_of
from waybill_runtime.stored import ClaimedJob
from waybill_runtime.work import Work


def missing_deadlines(fulfillment: Rules) -> Timer:
    """Say which deadlines were missed; the fold decides whether it still matters."""

    def missed(job: ClaimedJob) -> Intent:
        order_id, id_ = due.about(job)
        command = commands.MissDeadline(fulfillment_order_id=id_, state=due.state_of(job))
        return Intent(fulfillment, order_id, command)

    async def miss(work: Work, fired: Sequence[ClaimedJob]) -> None:
        await work.run([(missed(job), because_of(job, "fulfillment")) for job in fired])

    return miss
