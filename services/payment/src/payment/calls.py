"""Calls to the gateway: what is asked, under which key, and how soon. Told by events alone."""

from datetime import datetime
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

from waybill_events import payment
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.stored import Job

Operation: TypeAlias = payment.Operation
OPERATIONS: tuple[Operation, ...] = ("authorize", "capture", "void", "refund")

PAUSE_S_MAX = 3600.0


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

    def job(self, due_at: datetime) -> Job:
        """The job that makes this call; scheduled again, it replaces itself."""
        return Job(
            id=self.job_id, kind=kind(self.operation), due_at=due_at, payload=self.model_dump_json()
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
            return call, 0.0 if event.declined_code is None else _pause_s(event.attempt)
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


def _pause_s(attempt: int) -> float:
    """What was declined before may need time: 2 s, 4 s, 8 s, up to an hour."""
    return min(2.0 ** min(attempt - 1, 16), PAUSE_S_MAX) if attempt > 1 else 0.0
