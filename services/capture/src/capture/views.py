"""How an order looks: one order folded from its own stream, and the list storefronts search."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pydantic import BaseModel, TypeAdapter

from waybill_events import capture
from waybill_events.envelope import Recorded
from waybill_events.event import Event, LineQuantity
from waybill_runtime.projector import View


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSeen:
    """The units of one line, by what became of them."""

    line: capture.OrderLine
    cancelled: int = 0
    shipped: int = 0
    delivered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSeen:
    """Everything an order shows. Fulfillment is derived from units; the rest is as facts said."""

    placed: capture.OrderPlaced
    created_at: datetime
    lines: Mapping[str, LineSeen]
    status: str = "placed"
    payment_status: str = "pending"
    charged_minor: int = 0
    reserved: bool = False
    cancelling: bool = False
    cancellation_refused: bool = False
    reason: str | None = None
    version: int = field(default=1)

    @property
    def fulfillment_status(self) -> str:
        """From the units alone."""
        wanted = sum(seen.line.quantity - seen.cancelled for seen in self.lines.values())
        shipped = sum(seen.shipped for seen in self.lines.values())
        delivered = sum(seen.delivered for seen in self.lines.values())
        if self.status in ("rejected", "expired", "cancelled") or not wanted:
            return "cancelled"
        if delivered:
            return "delivered" if delivered == wanted else "partially_delivered"
        if shipped:
            return "shipped" if shipped == wanted else "partially_shipped"
        return "in_progress" if self.status == "confirmed" else "unfulfilled"


def see(seen: OrderSeen | None, recorded: Recorded, event: Event) -> OrderSeen | None:
    """The order after one more event of its stream."""
    if isinstance(event, capture.OrderPlaced):
        lines = {line.line_id: LineSeen(line=line) for line in event.lines}
        return OrderSeen(placed=event, created_at=recorded.occurred_at, lines=lines)
    if seen is None:
        return None
    return replace(_see(seen, event), version=recorded.version)


def _see(seen: OrderSeen, event: Event) -> OrderSeen:
    match event:
        case capture.OrderReserved():
            return replace(seen, reserved=True)
        case capture.OrderConfirmed():
            return replace(seen, status="confirmed", payment_status="authorized")
        case capture.OrderRejected(reason=reason):
            failed = "failed" if reason == capture.PAYMENT_DECLINED else seen.payment_status
            return replace(_ended(seen, "rejected", reason), payment_status=failed)
        case capture.OrderExpired(reason=reason):
            return _ended(seen, "expired", reason)
        case capture.OrderCancelled(reason=reason):
            return replace(_ended(seen, "cancelled", reason), cancelling=False)
        case capture.OrderCancellationRequested():
            return replace(seen, cancelling=True)
        case capture.OrderCancellationRefused():
            return replace(seen, cancelling=False, cancellation_refused=True)
        case capture.OrderLinesCancelled(lines=lines):
            return replace(seen, lines=_cancel(seen.lines, lines))
        case capture.OrderFulfillmentRecorded(lines=progress):
            moved = {
                at.line_id: replace(
                    seen.lines[at.line_id], shipped=at.shipped, delivered=at.delivered
                )
                for at in progress
            }
            return replace(seen, lines={**seen.lines, **moved})
        case capture.OrderPaymentRecorded():
            status, charged = capture.payment_status(event), event.captured_minor
            return replace(seen, payment_status=status, charged_minor=charged)
        case capture.OrderCompleted(captured_minor=charged):
            is_refunded = seen.payment_status in ("refunded", "partially_refunded")
            paid = seen.payment_status if is_refunded else "captured"
            return replace(seen, status="completed", payment_status=paid, charged_minor=charged)
        case _:
            return seen


def _ended(seen: OrderSeen, status: str, reason: str) -> OrderSeen:
    lines = {
        line_id: replace(at, cancelled=capture.cancelled_at_the_end(at.line.quantity, at.shipped))
        for line_id, at in seen.lines.items()
    }
    return replace(seen, status=status, reason=reason, lines=lines)


def _cancel(
    lines: Mapping[str, LineSeen], parts: tuple[LineQuantity, ...]
) -> Mapping[str, LineSeen]:
    after = dict(lines)
    for part in parts:
        seen = after[part.line_id]
        after[part.line_id] = replace(seen, cancelled=seen.cancelled + part.quantity)
    return after


class OrderRow(BaseModel):
    """One row of the order list."""

    id: str
    external_ref: str | None
    channel: str
    customer_ref: str | None
    status: str
    total_minor: int
    currency: str
    created_at: datetime


_STATUS_AFTER = {
    capture.OrderConfirmed.TYPE: "confirmed",
    capture.OrderRejected.TYPE: "rejected",
    capture.OrderExpired.TYPE: "expired",
    capture.OrderCancelled.TYPE: "cancelled",
    capture.OrderCompleted.TYPE: "completed",
}
STATUSES = ("placed", *_STATUS_AFTER.values())
"""What an order's status can be."""


def _list(row: OrderRow | None, recorded: Recorded, event: Event) -> OrderRow | None:
    if isinstance(event, capture.OrderPlaced):
        return OrderRow(
            id=event.order_id,
            external_ref=event.external_ref,
            channel=event.channel,
            customer_ref=event.customer_ref,
            status="placed",
            total_minor=event.total_minor,
            currency=event.currency,
            created_at=recorded.occurred_at,
        )
    if row is None:
        return None
    return row.model_copy(update={"status": _STATUS_AFTER[event.TYPE]})


def _attributes(row: OrderRow) -> Mapping[str, str]:
    found = {"status": row.status, "channel": row.channel}
    if row.external_ref is not None:
        found["external_ref"] = row.external_ref
    if row.customer_ref is not None:
        found["customer_ref"] = row.customer_ref
    return found


ORDERS: View[OrderRow] = View(
    name="orders",
    model=TypeAdapter(OrderRow),
    handles=frozenset({capture.OrderPlaced.TYPE, *_STATUS_AFTER}),
    topics=("orders",),
    key=lambda recorded, _: recorded.key,
    project=_list,
    attributes=_attributes,
)
