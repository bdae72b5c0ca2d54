"""Events as the oracles read them: parsed once, and only what an oracle asks for is kept.

A year's log is large: what no oracle reads stays JSON text.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from waybill_events.envelope import Recorded

Json = Mapping[str, Any]

Words = dict[str, str]
"""Each word once, however often it is said; let go of it when all is read."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One event with what the oracles read of its data."""

    recorded: Recorded
    data: Json

    @property
    def kind(self) -> str:
        """Its type without version."""
        return kind(self.recorded)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event whose data is not what its type says."""

    recorded: Recorded
    why: str


_PARCEL = ("fulfillment_order_id", "order_id", "shipment_id")
_HOLD = ("order_id", "reservation_id")
_MESSAGE = ("message_id", "order_id")
_REFUND = ("order_id", "refund_id")
_MOVED = ("sku", "moves", "levels")

KEPT: Mapping[str, Sequence[str]] = {
    "capture.order_placed": ("order_id", "lines", "total_minor", "currency", "shipping"),
    "capture.order_lines_cancelled": ("order_id", "lines"),
    "capture.order_payment_recorded": ("order_id", "status"),
    "capture.recipient_erased": ("order_id", "recipient_ref"),
    "inventory.stock_reserved": _HOLD,
    "inventory.reservation_confirmed": _HOLD,
    "inventory.reservation_expired": _HOLD,
    "inventory.reservation_released": _HOLD,
    "inventory.stock_received": ("location", "quantity", "levels"),
    "inventory.stock_adjusted": ("location", "delta", "levels"),
    "inventory.stock_counted": ("location", "counted", "levels"),
    "inventory.stock_held": _MOVED,
    "inventory.stock_allocated": _MOVED,
    "inventory.stock_released": (*_MOVED, "bucket"),
    "inventory.stock_consumed": _MOVED,
    "payment.payment_authorized": ("order_id", "authorization_id", "amount_minor"),
    "payment.payment_captured": ("order_id", "shipment_id", "amount_minor"),
    "payment.payment_refunded": (*_REFUND, "amount_minor"),
    "payment.payment_voided": ("order_id",),
    "payment.refund_requested": (*_REFUND, "authorization_id", "amount_minor"),
    "payment.refund_failed": _REFUND,
    "fulfillment.fulfillment_order_created": ("order_id", "fulfillment_order_id"),
    "fulfillment.fulfillment_rejected": ("order_id", "fulfillment_order_id"),
    "fulfillment.fulfillment_cancelled": ("order_id", "fulfillment_order_id"),
    "fulfillment.label_requested": ("order_id", "shipment_id"),
    "fulfillment.shipment_dispatched": (*_PARCEL, "lines"),
    "fulfillment.shipment_delivered": _PARCEL,
    "notification.notification_decided": (
        *(*_MESSAGE, "dedupe_key", "source_event_id"),
        *("channel", "recipient_ref"),
    ),
    "notification.notification_sent": _MESSAGE,
    "notification.notification_failed": _MESSAGE,
    "notification.notification_suppressed": _MESSAGE,
}
"""What each type, named without its version, must say for its guarantees to be judged."""

ASIDE = ("recipient_ref", "fulfillment_order_id")
"""What is kept as well where it is said."""


def kind(recorded: Recorded) -> str:
    """The type without version: `capture.order_placed`."""
    return recorded.type.rpartition(".")[0]


def read(events: Iterable[Recorded]) -> tuple[list[Fact], list[Unreadable]]:
    """Every event as a fact, and those that cannot be read as one."""
    facts: list[Fact] = []
    unreadable: list[Unreadable] = []
    of_order: dict[str, Json] = {}
    words: Words = {}
    for recorded in events:
        try:
            facts.append(Fact(recorded, _outline(recorded, of_order, words)))
        except ValueError as error:
            unreadable.append(Unreadable(recorded, str(error)))
    return facts, unreadable


def _outline(recorded: Recorded, of_order: dict[str, Json], words: Words) -> Json:
    """What is kept of an event; those that say no more than their order share one outline.

    Raises:
        ValueError: it is no JSON object, or lacks what its type must say.
    """
    data = json.loads(recorded.data)
    if not isinstance(data, dict):
        raise ValueError("its data is no JSON object")  # noqa: TRY004  what `read` catches
    wanted = KEPT.get(kind(recorded))
    order_id = data.get("order_id")
    if wanted is None:
        if not isinstance(order_id, str):
            return _NOTHING
        return of_order.setdefault(order_id, {"order_id": order_id})
    if missing := [name for name in wanted if data.get(name) is None]:
        raise ValueError(f"it says no {', '.join(missing)}")
    kept = {name: data[name] for name in wanted}
    for name in ASIDE:
        if name in data:
            kept[name] = data[name]
    for name, value in kept.items():
        if isinstance(value, str):
            kept[name] = words.setdefault(value, value)
    return kept


_NOTHING: Json = {}


def slim(recorded: Recorded, words: Words) -> Recorded:
    """The same event, whose words are shared with the other events that say them."""

    def once(word: str) -> str:
        return words.setdefault(word, word)

    return replace(
        recorded,
        event_id=once(recorded.event_id),
        type=once(recorded.type),
        stream=once(recorded.stream),
        tenant=once(recorded.tenant),
        topic=once(recorded.topic),
        key=once(recorded.key),
        causation_id=once(recorded.causation_id),
        correlation_id=once(recorded.correlation_id),
        actor=once(recorded.actor),
        origin=once(recorded.origin),
    )
