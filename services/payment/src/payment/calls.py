"""Calls to the gateway: what is asked, under which key, how soon; and whether it may be sent again.

Told by events and by time alone.
"""

from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from waybill_events import payment
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.stored import Job

Operation: TypeAlias = payment.Operation
OPERATIONS: tuple[Operation, ...] = ("authorize", "capture", "void", "refund")

PAUSE_S_MAX = 3600.0
SAME_KEY = timedelta(hours=20)
"""Gateways keep keys for a day: an older one might be taken for a new one and charged again."""
SILENCE = timedelta(hours=1)
"""So long after the last try could be sent, none is still on its way to the gateway."""


class Call(BaseModel):
    """One call: what a job must know to make it, or to look for what came of it."""

    model_config = ConfigDict(frozen=True)

    operation: Operation
    order_id: str
    key: str
    requested_at: datetime
    amount_minor: int
    reference: str
    currency: str = ""
    token: str = ""
    authorization_id: str = ""
    final: bool = False
    is_told: bool = False
    """A callback spoke of it: there is something to be looked up."""

    @property
    def job_id(self) -> str:
        return f"payment.call:{self.key}"

    def job(self, tenant: str, due_at: datetime) -> Job:
        """The job that makes this call; scheduled again, it replaces itself."""
        return Job(
            id=self.job_id,
            tenant=tenant,
            kind=kind(self.operation),
            due_at=due_at,
            payload=self.model_dump_json(),
        )


def kind(operation: Operation) -> str:
    """The job kind of an operation."""
    return f"payment.{operation}"


def requested(recorded: Recorded, event: Event) -> tuple[Call, float] | None:
    """The call that an event asks for, and the seconds to wait before it; None for others."""
    at = recorded.occurred_at
    match event:
        case payment.AuthorizationRequested():
            call = Call(
                operation="authorize",
                order_id=event.order_id,
                key=event.idempotency_key,
                requested_at=at,
                amount_minor=event.amount_minor,
                reference=event.order_id,
                currency=event.currency,
                token=event.token,
            )
            return call, _pause_s(event.tries)
        case payment.CaptureRequested():
            call = Call(
                operation="capture",
                order_id=event.order_id,
                key=event.idempotency_key,
                requested_at=at,
                amount_minor=event.amount_minor,
                reference=event.shipment_id,
                authorization_id=event.authorization_id,
                final=event.final,
            )
            return call, _pause_s(event.attempt)
        case payment.VoidRequested():
            call = Call(
                operation="void",
                order_id=event.order_id,
                key=event.idempotency_key,
                requested_at=at,
                amount_minor=event.amount_minor,
                reference=event.order_id,
                authorization_id=event.authorization_id,
            )
            return call, _pause_s(event.attempt)
        case payment.RefundRequested():
            call = Call(
                operation="refund",
                order_id=event.order_id,
                key=event.idempotency_key,
                requested_at=at,
                amount_minor=event.amount_minor,
                reference=event.refund_id,
                authorization_id=event.authorization_id,
            )
            return call, 0.0
        case _:
            return None


def first_step(call: Call, *, attempt: int, now: datetime) -> Literal["look", "make"]:
    """Look a call up wherever it may have been made before, or may not be sent any more."""
    may_have_been_made = attempt > 1 or call.is_told
    return "look" if may_have_been_made or _age(call, now) >= SAME_KEY else "make"


def after_not_found(call: Call, *, now: datetime) -> Literal["make", "wait", "never"]:
    """What "not found" means: make it, ask again later, or it was never done and never will be.

    Proof takes two things: that the key is not sent any more, and that nothing sent is still on
    its way. Only then may the same be asked under a new key.
    """
    age = _age(call, now)
    if age < SAME_KEY:
        return "make"
    return "wait" if age < SAME_KEY + SILENCE else "never"


def _age(call: Call, now: datetime) -> timedelta:
    return now - call.requested_at


def _pause_s(tries: int) -> float:
    """What was declined before may need time: 2 s, 4 s, 8 s, up to an hour."""
    return min(2.0 ** min(tries - 1, 16), PAUSE_S_MAX) if tries > 1 else 0.0
