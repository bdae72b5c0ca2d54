"""What is kept of orders for their messages, and the delivery log."""

from collections.abc import Mapping

from pydantic import BaseModel, TypeAdapter

from waybill_events import capture, notification
from waybill_events.envelope import Recorded
from waybill_events.event import Event
from waybill_runtime.projector import View


class OrderFacts(BaseModel):
    """What every message about an order may say; amounts and units come with each event."""

    external_ref: str | None
    customer_ref: str | None
    names: Mapping[str, str]
    """The name of each line's goods, by line id, in the order's own sequence."""


def _facts(_: OrderFacts | None, __: Recorded, event: Event) -> OrderFacts | None:
    if not isinstance(event, capture.OrderPlaced):
        return None
    return OrderFacts(
        external_ref=event.external_ref,
        customer_ref=event.customer_ref,
        names={line.line_id: line.name for line in event.lines},
    )


ORDER_FACTS: View[OrderFacts] = View(
    name="order-facts",
    model=TypeAdapter(OrderFacts),
    handles=frozenset({capture.OrderPlaced.TYPE}),
    topics=("orders",),
    key=lambda recorded, _: recorded.key,
    project=_facts,
)


class Delivery(BaseModel):
    """One message in the delivery log."""

    message_id: str
    order_id: str
    template: str
    channel: str
    status: str
    reason: str | None
    source_event_id: str


_STATUS: Mapping[type[Event], str] = {
    notification.NotificationSent: "sent",
    notification.NotificationFailed: "failed",
    notification.NotificationSuppressed: "suppressed",
}
STATUSES = ("decided", *_STATUS.values())
"""What a message's status can be."""


def _log(seen: Delivery | None, _: Recorded, event: Event) -> Delivery | None:
    if isinstance(event, notification.NotificationDecided):
        return Delivery(
            message_id=event.message_id,
            order_id=event.order_id,
            template=event.template,
            channel=event.channel,
            status="decided",
            reason=None,
            source_event_id=event.source_event_id,
        )
    if seen is None:
        return None
    reason = getattr(event, "reason", None)
    return seen.model_copy(update={"status": _STATUS[type(event)], "reason": reason})


def _attributes(seen: Delivery) -> Mapping[str, str]:
    return {"order_id": seen.order_id, "status": seen.status}


def _message_id(event: Event) -> str | None:
    return getattr(event, "message_id", None)


DELIVERIES: View[Delivery] = View(
    name="deliveries",
    model=TypeAdapter(Delivery),
    handles=frozenset({notification.NotificationDecided.TYPE, *(model.TYPE for model in _STATUS)}),
    topics=("notifications",),
    key=lambda _, event: _message_id(event),
    project=_log,
    attributes=_attributes,
)
