"""Keeps payments: takes in facts, makes due what they ask for, records what the gateway says."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from payment import calls, decider, reactor
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
from waybill_events import payment
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.consumer import Incoming
from waybill_runtime.decider import Decider, Follow, Intent
from waybill_runtime.ids import Ids
from waybill_runtime.jobs import Effect, Outcome, backoff_s
from waybill_runtime.stored import ClaimedJob, Job
from waybill_runtime.work import Work, caused_by

EXPIRE = "payment.expire"
SAME_KEY = timedelta(hours=20)
"""Gateways keep keys for a day: an older one might be taken for a new one and charged again."""
EXPIRY_MARGIN = timedelta(seconds=1)
"""Later than the gateway's own clock may be: what we call expired holds nobody's money."""


def _follow(recorded: Recorded, event: Event) -> Follow:
    """A call for each request, a timer for each hold."""
    if (asked := calls.requested(recorded, event)) is not None:
        call, pause_s = asked
        return Follow(schedule=(call.job(recorded.occurred_at + timedelta(seconds=pause_s)),))
    timer_id = f"{EXPIRE}:{recorded.stream}"
    match event:
        case payment.PaymentAuthorized() if event.amount_minor:
            payload = json.dumps(
                {"order_id": event.order_id, "authorization_id": event.authorization_id}
            )
            due_at = event.expires_at + EXPIRY_MARGIN
            return Follow(schedule=(Job(id=timer_id, kind=EXPIRE, due_at=due_at, payload=payload),))
        case (
            payment.PaymentVoided()
            | payment.AuthorizationExpired()
            | payment.PaymentCaptured(final=True)
        ):
            return Follow(cancel=(timer_id,))
        case _:
            return Follow()


PAYMENT: Decider[commands.Command, decider.State] = Decider(
    category="payment",
    topic="payments",
    initial=decider.INITIAL,
    decide=decider.decide,
    evolve=decider.evolve,
    key=lambda event: event.order_id,
    follow=_follow,
)
"""A payment's stream id is its order's id."""


async def on_events(work: Work, batch: Sequence[Incoming]) -> None:
    """Note what others say of our orders, a batch at a time."""
    await work.run(
        [
            (Intent(PAYMENT, order_id, command), caused_by(incoming.recorded, "payment"))
            for incoming in batch
            for order_id, command in reactor.react(incoming.recorded, incoming.event)
        ]
    )


def expire(job: ClaimedJob) -> Intent:
    """The command of a hold's end, by the database's clock."""
    payload = json.loads(job.payload)
    command = commands.ExpireAuthorization(
        authorization_id=payload["authorization_id"], now=job.now
    )
    return Intent(PAYMENT, payload["order_id"], command)


def effects(gateway: PaymentGateway, ids: Ids) -> Mapping[str, Effect]:
    """The calls to a gateway, by job kind."""

    async def call_gateway(job: ClaimedJob) -> Outcome:
        """Make a call, or find out what came of it; again until there is a verdict."""
        call = Call.model_validate_json(job.payload)
        look_first = job.attempt > 1 or call.is_told
        answer = await _settle(gateway, call, look_first=look_first, now=job.now)
        again_s = backoff_s(job.attempt, ids)
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
                return Outcome(again_s=again_s)
            case Unknown(detail=detail):
                unknown = commands.NoteUnknown(key=call.key, detail=detail)
                return Outcome((Intent(PAYMENT, call.order_id, unknown),), again_s)
        return Outcome((Intent(PAYMENT, call.order_id, command),))

    return {calls.kind(operation): call_gateway for operation in calls.OPERATIONS}


async def _settle(
    gateway: PaymentGateway, call: Call, *, look_first: bool, now: datetime
) -> Answer:
    """Find out what came of a call, or make it.

    `look_first` where it may have been made before. Once the key is too old to be sent again,
    "not found" proves that it was never done, and never will be.
    """
    is_old = now - call.requested_at >= SAME_KEY
    if look_first or is_old:
        found = await gateway.lookup(call.key)
        if not isinstance(found, NotFound):
            return found
        if is_old:
            return Declined(code="never_performed", retryable=True)
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
