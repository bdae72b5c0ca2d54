"""What an order's history amounts to: one variant per phase, and how each event changes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, assert_never

from waybill_events.capture import (
    GivenReason,
    OrderCancellationRefused,
    OrderCancellationRequested,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderEvent,
    OrderExpired,
    OrderFulfillmentRecorded,
    OrderLinesCancelled,
    OrderPaymentRecorded,
    OrderPlaced,
    OrderRejected,
    OrderReserved,
)
from waybill_events.event import LineQuantity


@dataclass(frozen=True, slots=True)
class Nothing:
    """No order yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Where the units of one line are."""

    sku: str
    unit_price_minor: int
    ordered: int
    cancelled: int = 0
    shipped: int = 0
    delivered: int = 0

    @property
    def open(self) -> int:
        """Units neither cancelled nor shipped."""
        return self.ordered - self.cancelled - self.shipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Sums so far, in minor units; `failed` when a capture was refused for good."""

    payment_id: str = ""
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    order: OrderPlaced
    lines: Mapping[str, Line]
    reserved: OrderReserved | None = None
    money: Money = field(default_factory=Money)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    order: OrderPlaced
    lines: Mapping[str, Line]
    money: Money
    shipped: frozenset[str] = frozenset()
    delivered: frozenset[str] = frozenset()
    cancelling: GivenReason | None = None
    lost_to: frozenset[str] = frozenset()

    @property
    def is_open(self) -> bool:
        """Whether any unit is neither cancelled nor shipped."""
        return any(line.open for line in self.lines.values())

    @property
    def due_minor(self) -> int:
        """What is to be captured for everything that is not cancelled."""
        goods = sum(
            line.unit_price_minor * (line.ordered - line.cancelled) for line in self.lines.values()
        )
        return goods + self.order.shipping.price_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    order: OrderPlaced
    status: Literal["completed", "rejected", "expired", "cancelled"]
    money: Money


State: TypeAlias = Nothing | Placed | Confirmed | Ended

INITIAL: State = Nothing()


def evolve(state: State, event: OrderEvent) -> State:
    """The state after an event. Never refuses: what makes no sense changes nothing."""
    match state:
        case Nothing():
            return _begin(event) if isinstance(event, OrderPlaced) else state
        case Placed():
            return _evolve_placed(state, event)
        case Confirmed():
            return _evolve_confirmed(state, event)
        case Ended():
            if isinstance(event, OrderPaymentRecorded):
                return replace(state, money=_money(event))
            return state
        case _:
            assert_never(state)


def _begin(order: OrderPlaced) -> Placed:
    lines = {
        line.line_id: Line(
            sku=line.sku, unit_price_minor=line.unit_price_minor, ordered=line.quantity
        )
        for line in order.lines
    }
    return Placed(order=order, lines=lines)


def _evolve_placed(state: Placed, event: OrderEvent) -> State:
    match event:
        case OrderReserved():
            return replace(state, reserved=event)
        case OrderLinesCancelled():
            return replace(state, lines=_cancel_lines(state.lines, event.lines))
        case OrderPaymentRecorded():
            return replace(state, money=_money(event))
        case OrderConfirmed():
            money = replace(state.money, authorized_minor=event.authorized_minor)
            return Confirmed(order=state.order, lines=state.lines, money=money)
        case OrderRejected() | OrderExpired() | OrderCancelled() | OrderCompleted():
            return _ended(state, event)
        case (
            OrderPlaced()
            | OrderFulfillmentRecorded()
            | OrderCancellationRequested()
            | OrderCancellationRefused()
        ):
            return state
        case _:
            assert_never(event)


def _evolve_confirmed(state: Confirmed, event: OrderEvent) -> State:
    match event:
        case OrderFulfillmentRecorded():
            return _progress(state, event)
        case OrderLinesCancelled():
            lines = _cancel_lines(state.lines, event.lines)
            return replace(state, lines=lines, lost_to=state.lost_to | {event.source})
        case OrderPaymentRecorded():
            return replace(state, money=_money(event))
        case OrderCancellationRequested(reason=reason):
            return replace(state, cancelling=GivenReason(reason))
        case OrderCancellationRefused():
            return replace(state, cancelling=None)
        case OrderRejected() | OrderExpired() | OrderCancelled() | OrderCompleted():
            return _ended(state, event)
        case OrderPlaced() | OrderReserved() | OrderConfirmed():
            return state
        case _:
            assert_never(event)


def _ended(
    state: Placed | Confirmed, event: OrderCompleted | OrderRejected | OrderExpired | OrderCancelled
) -> Ended:
    match event:
        case OrderCompleted():
            return Ended(order=state.order, status="completed", money=state.money)
        case OrderRejected():
            return Ended(order=state.order, status="rejected", money=state.money)
        case OrderExpired():
            return Ended(order=state.order, status="expired", money=state.money)
        case OrderCancelled():
            return Ended(order=state.order, status="cancelled", money=state.money)
        case _:
            assert_never(event)


def _progress(state: Confirmed, event: OrderFulfillmentRecorded) -> Confirmed:
    lines = dict(state.lines)
    delivers = False
    for at in event.lines:
        delivers |= at.delivered > lines[at.line_id].delivered
        lines[at.line_id] = replace(lines[at.line_id], shipped=at.shipped, delivered=at.delivered)
    return replace(
        state,
        lines=lines,
        shipped=state.shipped | {event.shipment_id},
        delivered=state.delivered | ({event.shipment_id} if delivers else frozenset()),
    )


def _cancel_lines(lines: Mapping[str, Line], parts: Sequence[LineQuantity]) -> Mapping[str, Line]:
    after = dict(lines)
    for part in parts:
        line = after[part.line_id]
        after[part.line_id] = replace(line, cancelled=line.cancelled + part.quantity)
    return after


def _money(event: OrderPaymentRecorded) -> Money:
    return Money(
        payment_id=event.payment_id,
        authorized_minor=event.authorized_minor,
        captured_minor=event.captured_minor,
        refunded_minor=event.refunded_minor,
        failed=event.status == "failed",
    )
