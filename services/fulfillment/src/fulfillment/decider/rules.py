"""What an order's fulfillment does with a command.

requested → accepted → picked → packed → shipped; until a label is being bought it may be rejected
or cancelled. Units once asked of a location are picked and shipped, or said to be missing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

from fulfillment.decider import commands, packing, shipping
from fulfillment.decider.packing import WrongQuantities
from fulfillment.decider.state import (
    Accepted,
    Ended,
    FulfillmentOrder,
    Labelling,
    Packed,
    Phase,
    Picked,
    Requested,
    Shipped,
    State,
)
from waybill_events import fulfillment as facts
from waybill_events.event import Event
from waybill_events.fulfillment import FulfillmentLine
from waybill_events.identity import suffix

__all__ = ["WrongQuantities", "WrongState", "decide"]


class WrongState(Exception):
    """The fulfillment order is not where this can be done; says where it is and what can be."""

    def __init__(self, phase: Phase) -> None:
        super().__init__(_POSSIBLE[type(phase)])


_POSSIBLE: Mapping[type[Phase], str] = {
    Requested: "It is requested: accept or reject it.",
    Accepted: "It is accepted: pick or reject it.",
    Picked: "It is picked: pack or reject it.",
    Packed: "It is packed: ship it, pack it anew, or reject it.",
    Labelling: "Its label is being bought: ship it again to hear the outcome.",
    Shipped: "It is shipped; nothing is left to do.",
    Ended: "It has ended; nothing of it will ship.",
}


def decide(command: commands.Command, state: State) -> Sequence[Event]:
    """What a command means for an order's fulfillment. The same command again adds nothing.

    Raises:
        WrongState, WrongQuantities: a warehouse asks for what cannot be.
    """
    match command:
        case commands.OpenOrder():
            return [] if state.count else list(_open(command))
        case commands.OpenElsewhere():
            return _open_elsewhere(command, state)
        case commands.CancelRest():
            return _cancel_rest(command, state)
        case _:
            order = state.orders.get(command.fulfillment_order_id)
            return [] if order is None else _decide_one(command, order, state)


def _open(command: commands.OpenOrder) -> Iterator[Event]:
    for number, (location, lines) in enumerate(command.parts.items(), start=1):
        yield facts.FulfillmentOrderCreated(
            fulfillment_order_id=_id(command.order_id, number),
            order_id=command.order_id,
            location=location,
            lines=lines,
            shipping_option=command.shipping_option,
            recipient_ref=command.recipient_ref,
            accept_by=command.accept_by,
        )


def _open_elsewhere(command: commands.OpenElsewhere, state: State) -> Sequence[Event]:
    """Ask the new locations; or, if the order was called off meanwhile, give the units back."""
    rejected = state.orders.get(command.rejected)
    if rejected is None or command.rejected in state.replaced:
        return []
    if rejected.phase != Ended("rejected"):
        return []
    asked = rejected.asked
    names = {line.line_id: line.name for line in asked.lines}
    by_location: dict[str, list[FulfillmentLine]] = {}
    for part in command.allocations:
        line = FulfillmentLine(
            line_id=part.line_id,
            sku=part.sku,
            name=names.get(part.line_id, part.sku),
            quantity=part.quantity,
        )
        by_location.setdefault(part.location, []).append(line)
    opened: list[Event] = []
    for number, (location, lines) in enumerate(by_location.items(), start=state.count + 1):
        id_ = _id(asked.order_id, number)
        if state.off is None:
            opened.append(
                facts.FulfillmentOrderCreated(
                    fulfillment_order_id=id_,
                    order_id=asked.order_id,
                    location=location,
                    lines=tuple(lines),
                    shipping_option=asked.shipping_option,
                    recipient_ref=asked.recipient_ref,
                    accept_by=command.accept_by,
                    replaces=command.rejected,
                )
            )
        else:
            opened.append(
                facts.FulfillmentCancelled(
                    fulfillment_order_id=id_,
                    order_id=asked.order_id,
                    location=location,
                    reason=state.off,
                    lines=tuple(packing.units(lines)),
                    replaces=command.rejected,
                )
            )
    return opened


def _cancel_rest(command: commands.CancelRest, state: State) -> Sequence[Event]:
    """End what can be ended; say of the rest that it is too late.

    Remembered even when there is nothing to end yet: a rejected part may come back from sourcing.
    """
    first = state.any_order
    if first is None or state.is_final or command.request_id in state.requests:
        return []
    answers: list[Event] = []
    awaited = False
    for id_, order in state.orders.items():
        match order.phase:
            case Ended(how=how):
                awaited |= how == "rejected" and id_ not in state.replaced
            case Labelling():
                answers.append(_too_late(order, "label_requested"))
            case Shipped():
                if not command.is_final:
                    answers.append(_too_late(order, "dispatched"))
            case _:
                answers.append(_cancelled(order, command.reason))
    if not answers and not awaited:
        return []
    asked = facts.FulfillmentCancellationRequested(
        order_id=first.asked.order_id,
        request_id=command.request_id,
        reason=command.reason,
        is_final=command.is_final,
    )
    return [asked, *answers]


def _cancelled(order: FulfillmentOrder, reason: str) -> facts.FulfillmentCancelled:
    asked = order.asked
    return facts.FulfillmentCancelled(
        fulfillment_order_id=asked.fulfillment_order_id,
        order_id=asked.order_id,
        location=asked.location,
        reason=reason,
        lines=order.lines,
    )


def _too_late(
    order: FulfillmentOrder, reason: facts.TooLate
) -> facts.FulfillmentCancellationRefused:
    asked = order.asked
    return facts.FulfillmentCancellationRefused(
        fulfillment_order_id=asked.fulfillment_order_id,
        order_id=asked.order_id,
        reason=reason,
        location=asked.location,
    )


def _decide_one(
    command: commands.OneOrderCommand, order: FulfillmentOrder, state: State
) -> Sequence[Event]:
    match command:
        case commands.Accept():
            return _accept(order)
        case commands.Reject():
            return _reject(command, order)
        case commands.Pick():
            return _pick(command, order)
        case commands.Pack():
            return _pack(command, order)
        case commands.RequestLabel():
            return _request_label(command, order)
        case commands.NoteLabel():
            return shipping.dispatch(command, order)
        case commands.NoteLabelRefused():
            failed = shipping.label_failed(command, order)
            if failed and state.is_final and state.off is not None:
                return [*failed, _cancelled(order, state.off)]
            return failed
        case commands.NoteTracking():
            return shipping.track(command, order)
        case commands.MissDeadline():
            return _miss(command, order)
        case _:
            assert_never(command)


def _accept(order: FulfillmentOrder) -> Sequence[Event]:
    match order.phase:
        case Accepted():
            return []
        case Requested():
            asked = order.asked
            return [
                facts.FulfillmentAccepted(
                    fulfillment_order_id=asked.fulfillment_order_id,
                    order_id=asked.order_id,
                    location=asked.location,
                )
            ]
        case phase:
            raise WrongState(phase)


def _reject(command: commands.Reject, order: FulfillmentOrder) -> Sequence[Event]:
    match order.phase:
        case Ended(how="rejected"):
            return []
        case Requested() | Accepted() | Picked() | Packed():
            asked = order.asked
            return [
                facts.FulfillmentRejected(
                    fulfillment_order_id=asked.fulfillment_order_id,
                    order_id=asked.order_id,
                    location=asked.location,
                    reason=command.reason,
                    lines=order.lines,
                )
            ]
        case phase:
            raise WrongState(phase)


def _pick(command: commands.Pick, order: FulfillmentOrder) -> Sequence[Event]:
    """What was found, and what was not: a pick is final."""
    asked = order.asked
    found, missing = packing.split(command.units, order.asked.lines)
    match order.phase:
        case Picked(lines=lines) if lines == found:
            return []
        case Ended(how="short") if not found:
            return []
        case Accepted():
            ids = {
                "fulfillment_order_id": asked.fulfillment_order_id,
                "order_id": asked.order_id,
                "location": asked.location,
            }
            picked = [facts.ItemsPicked(**ids, lines=found)] if found else []
            short = [facts.ShortPicked(**ids, missing=missing)] if missing else []
            return [*picked, *short]
        case phase:
            raise WrongState(phase)


def _pack(command: commands.Pack, order: FulfillmentOrder) -> Sequence[Event]:
    match order.phase:
        case Picked(lines=lines) | Packed(lines=lines):
            asked = order.asked
            packages = packing.pack(command.parcels, lines, asked.fulfillment_order_id)
            if isinstance(order.phase, Packed) and packages == order.phase.packages:
                return []
            return [
                facts.PackagesPacked(
                    fulfillment_order_id=asked.fulfillment_order_id,
                    order_id=asked.order_id,
                    location=asked.location,
                    packages=packages,
                )
            ]
        case phase:
            raise WrongState(phase)


def _request_label(command: commands.RequestLabel, order: FulfillmentOrder) -> Sequence[Event]:
    match order.phase:
        case Labelling(service=service) if service == command.service:
            return []
        case Shipped(dispatched=dispatched) if dispatched.service == command.service:
            return []
        case Packed():
            return [shipping.label_requested(command, order)]
        case phase:
            raise WrongState(phase)


def _miss(command: commands.MissDeadline, order: FulfillmentOrder) -> Sequence[Event]:
    """Once per state, and only while it lasts: a late sweeper changes nothing."""
    waiting = _waiting(order.phase)
    if waiting is None:
        return []
    state, owner = waiting
    if state != command.state or state in order.missed:
        return []
    asked = order.asked
    return [
        facts.DeadlineMissed(
            fulfillment_order_id=asked.fulfillment_order_id,
            order_id=asked.order_id,
            state=state,
            owner=owner,
            location=asked.location,
        )
    ]


def _waiting(phase: Phase) -> tuple[facts.Waiting, facts.Owner] | None:
    """The state as its deadline knows it, and who is waited for; None when nobody is."""
    match phase:
        case Requested():
            return "requested", "warehouse"
        case Accepted():
            return "accepted", "warehouse"
        case Picked():
            return "picked", "warehouse"
        case Packed():
            return "packed", "warehouse"
        case Labelling():
            return "packed", "carrier"
        case Shipped(delivered=False):
            return "shipped", "carrier"
        case Shipped() | Ended():
            return None
        case _:
            assert_never(phase)


def _id(order_id: str, number: int) -> str:
    return f"ffo_{suffix(order_id)}-{number}"
