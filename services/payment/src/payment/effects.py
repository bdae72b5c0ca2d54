"""Calls the gateway, or finds out what came of a call; again until there is a verdict."""

from datetime import datetime

from payment import calls, service
from payment.calls import Call
from payment.decider import commands
from payment.ports import (
    Answer,
    Authorized,
    Declined,
    Done,
    NotFound,
    PaymentGateway,
    Pending,
    Unknown,
)
from waybill_runtime.decider import Intent
from waybill_runtime.ids import Ids
from waybill_runtime.jobs import Outcome, backoff_s
from waybill_runtime.stored import ClaimedJob


class Caller:
    """Makes the calls to one gateway, of whatever kind. May be told to make the same one again."""

    def __init__(self, gateway: PaymentGateway, ids: Ids) -> None:
        self._gateway = gateway
        self._ids = ids

    async def call(self, job: ClaimedJob) -> Outcome:
        """Bring back what the gateway says; while it says nothing, come back."""
        call = Call.model_validate_json(job.payload)
        answer = await _settle(self._gateway, call, attempt=job.attempt, now=job.now)
        again_s = backoff_s(job.attempt, self._ids)
        command: commands.Command
        match answer:
            case Authorized(authorization_id=authorization_id, expires_at=expires_at):
                command = commands.NoteAuthorized(
                    key=call.key, authorization_id=authorization_id, expires_at=expires_at
                )
            case Done():
                command = commands.NoteDone(key=call.key)
            case Declined(code=code, retryable=retryable):
                command = commands.NoteDeclined(key=call.key, code=code, retryable=retryable)
            case Pending():
                return Outcome(again_s=again_s, reason="the gateway has not decided yet")
            case Unknown(detail=detail):
                unknown = commands.NoteUnknown(key=call.key, detail=detail)
                return Outcome((Intent(service.PAYMENT, call.order_id, unknown),), again_s, detail)
        return Outcome((Intent(service.PAYMENT, call.order_id, command),))


async def _settle(gateway: PaymentGateway, call: Call, *, attempt: int, now: datetime) -> Answer:
    """Find out what came of a call, or make it, as `calls` says."""
    if calls.first_step(call, attempt=attempt, now=now) == "look":
        found = await gateway.lookup(call.key)
        if not isinstance(found, NotFound):
            return found
        match calls.after_not_found(call, now=now):
            case "wait":
                return Pending()
            case "never":
                return Declined(code="never_performed", retryable=True)
            case "make":
                pass
    return await _make(gateway, call)


async def _make(gateway: PaymentGateway, call: Call) -> Answer:
    match call.operation:
        case "authorize":
            return await gateway.authorize(
                call.key,
                reference=call.reference,
                amount_minor=call.amount_minor,
                currency=call.currency,
                token=call.token,
            )
        case "capture":
            return await gateway.capture(
                call.key,
                call.authorization_id,
                reference=call.reference,
                amount_minor=call.amount_minor,
                final=call.final,
            )
        case "void":
            return await gateway.void(call.key, call.authorization_id, reference=call.reference)
        case "refund":
            return await gateway.refund(
                call.key,
                call.authorization_id,
                reference=call.reference,
                amount_minor=call.amount_minor,
            )
