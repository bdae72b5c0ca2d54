"""From a closed parcel to the customer's door: label, dispatch, scans, delivery."""

from collections.abc import Sequence

from fulfillment.decider import commands
from fulfillment.decider.state import FulfillmentOrder, Labelling, Shipped, mark, shipment_of
from waybill_events import fulfillment as facts
from waybill_events.event import Event

SCANS_MAX = 500
"""Scans that are kept of one shipment; deliveries are always kept."""


def label_requested(
    command: commands.RequestLabel, order: FulfillmentOrder
) -> facts.LabelRequested:
    """The fact that is committed before the carrier is asked.

    The key is the same for every try of one request; after a refusal the parcels may have
    changed, so the next request has another.
    """
    asked = order.asked
    shipment_id = shipment_of(asked.fulfillment_order_id)
    again = f":{order.label_requests + 1}" if order.label_requests else ""
    return facts.LabelRequested(
        fulfillment_order_id=asked.fulfillment_order_id,
        order_id=asked.order_id,
        shipment_id=shipment_id,
        service=command.service,
        idempotency_key=f"{shipment_id}:label{again}",
        location=asked.location,
    )


def dispatch(command: commands.NoteLabel, order: FulfillmentOrder) -> Sequence[Event]:
    """The parcels leave, each with the carrier's number; once."""
    phase = order.phase
    if not isinstance(phase, Labelling) or phase.idempotency_key != command.idempotency_key:
        return []
    asked = order.asked
    labels = {label.package_id: label for label in command.labels}
    return [
        facts.ShipmentDispatched(
            fulfillment_order_id=asked.fulfillment_order_id,
            order_id=asked.order_id,
            shipment_id=shipment_of(asked.fulfillment_order_id),
            location=asked.location,
            carrier=command.carrier,
            service=phase.service,
            packages=tuple(
                facts.LabelledPackage(
                    package_id=package.package_id,
                    tracking_number=labels[package.package_id].tracking_number,
                    label_url=labels[package.package_id].label_url,
                    lines=package.lines,
                )
                for package in phase.packages
            ),
            lines=phase.lines,
        )
    ]


def label_failed(command: commands.NoteLabelRefused, order: FulfillmentOrder) -> Sequence[Event]:
    phase = order.phase
    if not isinstance(phase, Labelling) or phase.idempotency_key != command.idempotency_key:
        return []
    asked = order.asked
    return [
        facts.LabelFailed(
            fulfillment_order_id=asked.fulfillment_order_id,
            order_id=asked.order_id,
            shipment_id=shipment_of(asked.fulfillment_order_id),
            reason=command.reason,
            location=asked.location,
        )
    ]


def track(command: commands.NoteTracking, order: FulfillmentOrder) -> Sequence[Event]:
    """The scans that are new, as they happened; and the delivery once every parcel arrived."""
    phase = order.phase
    if not isinstance(phase, Shipped):
        return []
    asked = order.asked
    dispatched = phase.dispatched
    ours = {package.tracking_number for package in dispatched.packages}
    seen, arrived = set(phase.seen), set(phase.arrived)
    told: list[Event] = []
    for scan in sorted(command.scans, key=lambda scan: scan.happened_at):
        known_as = mark(scan.tracking_number, scan.status, scan.happened_at)
        delivers = scan.status == "delivered" and scan.tracking_number not in arrived
        if scan.tracking_number not in ours or known_as in seen:
            continue
        if len(seen) >= SCANS_MAX and not delivers:
            continue
        seen.add(known_as)
        if delivers:
            arrived.add(scan.tracking_number)
        told.append(
            facts.TrackingUpdated(
                order_id=asked.order_id,
                shipment_id=dispatched.shipment_id,
                tracking_number=scan.tracking_number,
                status=scan.status,
                happened_at=scan.happened_at,
                place=scan.place,
                location=asked.location,
            )
        )
    if told and arrived == ours and not phase.delivered:
        arrivals = [scan.happened_at for scan in command.scans if scan.status == "delivered"]
        told.append(
            facts.ShipmentDelivered(
                fulfillment_order_id=asked.fulfillment_order_id,
                order_id=asked.order_id,
                shipment_id=dispatched.shipment_id,
                lines=dispatched.lines,
                delivered_at=max(arrivals),
                location=asked.location,
            )
        )
    return told
