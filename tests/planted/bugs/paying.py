"""Bugs between payments and the gateway, and in the runner that makes such calls."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime

from bugs.planting import Edit, bug
from payment import calls, effects
from payment.calls import Call
from payment.ports import Answer, Declined, NotFound, PaymentGateway, Unknown
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_events.payment import RefundRequested
from waybill_runtime import jobs
from waybill_runtime.jobs import Effect, JobRunner, Outcome
from waybill_runtime.stored import ClaimedJob


@bug("I4")
def new_gateway_key_on_retry() -> Iterator[Edit]:
    """Every try of a call goes out under a key of its own, lest the gateway pass it over."""

    async def settle(gateway: PaymentGateway, call: Call, *, attempt: int, now: datetime) -> Answer:
        anew = call.model_copy(update={"key": f"{call.key}:{attempt}"})
        return await real(gateway, anew, attempt=attempt, now=now)

    real = effects._settle
    yield Edit(effects, "_settle", settle)


@bug("I4", "I5")
def timeout_as_failure() -> Iterator[Edit]:
    """No answer in time is noted as a decline that may be tried again."""

    async def settle(gateway: PaymentGateway, call: Call, *, attempt: int, now: datetime) -> Answer:
        answer = await real(gateway, call, attempt=attempt, now=now)
        if isinstance(answer, Unknown):
            return Declined(code="timeout", retryable=True)
        return answer

    real = effects._settle
    yield Edit(effects, "_settle", settle)


@bug("I4", "I5")
def stored_error_as_failure() -> Iterator[Edit]:
    """The same error to the same key again is taken for the gateway's last word."""

    async def settle(gateway: PaymentGateway, call: Call, *, attempt: int, now: datetime) -> Answer:
        answer = await effects._make(gateway, call)
        if isinstance(answer, Unknown) and attempt > 1:
            return Declined(code="gateway_error", retryable=True)
        return answer

    yield Edit(effects, "_settle", settle)


@bug("I1", "I4", "I5", "I7")
def late_verdict_believed_lost() -> Iterator[Edit]:
    """A look-up that finds nothing is taken for proof that the call will never arrive."""

    async def settle(gateway: PaymentGateway, call: Call, *, attempt: int, now: datetime) -> Answer:
        if attempt > 1 and isinstance(await gateway.lookup(call.key), NotFound):
            return Declined(code="never_performed", retryable=False)
        return await real(gateway, call, attempt=attempt, now=now)

    real = effects._settle
    yield Edit(effects, "_settle", settle)


@bug("I1", "I7", situation="bad partners")
def swallow_cancelled_error() -> Iterator[Edit]:
    """An effect that is cancelled, by its time-out or by a stop, counts as having ended well."""

    def effect(real: Effect) -> Effect:
        async def performed(job: ClaimedJob) -> Outcome:
            try:
                return await real(job)
            except asyncio.CancelledError:
                jobs.log.warning("stopped in the middle", job=job.id)
                return Outcome()

        return performed

    def init(self: JobRunner, *, effects: Mapping[str, Effect], **how: object) -> None:
        wrapped = {kind: effect(each) for kind, each in effects.items()}
        real(self, effects=wrapped, **how)  # type: ignore[arg-type]  # handed on as they came

    real = JobRunner.__init__
    yield Edit(JobRunner, "__init__", init)


@bug("I4")
def refunds_never_asked_of_the_gateway() -> Iterator[Edit]:
    """Money is to be given back, says the log; the gateway never hears of it."""

    def requested(recorded: Recorded, event: Event) -> tuple[Call, float] | None:
        return None if isinstance(event, RefundRequested) else real(recorded, event)

    real = calls.requested
    yield Edit(calls, "requested", requested)
