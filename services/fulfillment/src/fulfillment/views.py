"""How a fulfillment order looks: folded from its order's stream, and listed for warehouses."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, TypeAdapter

from waybill_events import fulfillment as facts
from waybill_events.envelope import Recorded
from waybill_events.event import Event, LineQuantity
from waybill_runtime.projector import View


class Line(BaseModel):
    """What is asked of the location, what it found, and what it has said to be missing."""

    line_id: str
    sku: str
    name: str
    quantity: int
    picked: int = 0
    short: int = 0


class Units(BaseModel):
    line_id: str
    sku: str
    quantity: int


class Package(BaseModel):
    package_id: str
    weight_g: int
    lines: list[Units]


class LabelledPackage(BaseModel):
    package_id: str
    tracking_number: str
    label_url: str
    lines: list[Units]


class Shipment(BaseModel):
    """Parcels that left together; `status` is dispatched or delivered."""

    id: str
    status: str
    carrier: str
    service: str
    packages: list[LabelledPackage]


class Shipping(BaseModel):
    option: str


class FulfillmentOrder(BaseModel):
    """A fulfillment order as warehouses see it.

    `version` is its order's stream version at its last change: it grows, with leaps.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "ffo_01m84k8yhre00sxe1fx5ygf3kq-1",
                    "order_id": "ord_01m84k8yhre00sxe1fx5ygf3kq",
                    "location": "main",
                    "status": "accepted",
                    "lines": [
                        {
                            "line_id": "ln_1",
                            "sku": "85123A",
                            "name": "White hanging heart t-light holder",
                            "quantity": 6,
                            "picked": 0,
                            "short": 0,
                        }
                    ],
                    "packages": [],
                    "shipments": [],
                    "shipping": {"option": "standard"},
                    "reason": None,
                    "accept_by": "2026-11-23T18:19:24Z",
                    "created_at": "2026-11-23T16:19:24Z",
                    "version": 2,
                }
            ]
        }
    )

    id: str
    order_id: str
    location: str
    status: str
    lines: list[Line]
    packages: list[Package]
    shipments: list[Shipment]
    shipping: Shipping
    reason: str | None
    accept_by: datetime
    created_at: datetime
    version: int


Seen: TypeAlias = FulfillmentOrder | None


def see(seen: Seen, recorded: Recorded, event: Event) -> Seen:
    """The fulfillment order after one more event that names it."""
    if isinstance(event, facts.FulfillmentOrderCreated):
        return _opened(recorded, event)
    if seen is None:
        return None
    changes = _changes(seen, event)
    return seen.model_copy(update={**changes, "version": recorded.version}) if changes else seen


def _opened(recorded: Recorded, event: facts.FulfillmentOrderCreated) -> FulfillmentOrder:
    return FulfillmentOrder(
        id=event.fulfillment_order_id,
        order_id=event.order_id,
        location=event.location,
        status="requested",
        lines=[
            Line(line_id=line.line_id, sku=line.sku, name=line.name, quantity=line.quantity)
            for line in event.lines
        ],
        packages=[],
        shipments=[],
        shipping=Shipping(option=event.shipping_option),
        reason=None,
        accept_by=event.accept_by,
        created_at=recorded.occurred_at,
        version=recorded.version,
    )


def _changes(seen: FulfillmentOrder, event: Event) -> Mapping[str, object]:
    """What the event changes; nothing for what is not shown, so that ETags stay good."""
    match event:
        case facts.FulfillmentAccepted():
            return {"status": "accepted"}
        case facts.FulfillmentRejected(reason=reason):
            return {"status": "rejected", "reason": reason}
        case facts.ItemsPicked(lines=lines):
            return {"status": "picked", "lines": _counted(seen.lines, "picked", lines)}
        case facts.ShortPicked(missing=missing):
            lines_after = _counted(seen.lines, "short", missing)
            if any(line.picked for line in lines_after):
                return {"lines": lines_after}
            return {"status": "cancelled", "reason": "short_pick", "lines": lines_after}
        case facts.PackagesPacked(packages=packages):
            return {"status": "packed", "reason": None, "packages": _packages(packages)}
        case facts.LabelRequested():
            return {"reason": None}
        case facts.LabelFailed(reason=reason):
            return {"reason": reason}
        case facts.ShipmentDispatched():
            return {"status": "shipped", "shipments": [_shipment(event)]}
        case facts.ShipmentDelivered():
            delivered = [one.model_copy(update={"status": "delivered"}) for one in seen.shipments]
            return {"shipments": delivered}
        case facts.FulfillmentCancelled(reason=reason):
            return {"status": "cancelled", "reason": reason}
        case _:
            return {}


def _counted(lines: list[Line], what: str, parts: Iterable[LineQuantity]) -> list[Line]:
    units = {part.line_id: part.quantity for part in parts}
    return [line.model_copy(update={what: units.get(line.line_id, 0)}) for line in lines]


def _units(parts: Iterable[LineQuantity]) -> list[Units]:
    return [Units(line_id=one.line_id, sku=one.sku, quantity=one.quantity) for one in parts]


def _packages(packages: Iterable[facts.Package]) -> list[Package]:
    return [
        Package(package_id=one.package_id, weight_g=one.weight_g, lines=_units(one.lines))
        for one in packages
    ]


def _shipment(event: facts.ShipmentDispatched) -> Shipment:
    return Shipment(
        id=event.shipment_id,
        status="dispatched",
        carrier=event.carrier,
        service=event.service,
        packages=[
            LabelledPackage(
                package_id=one.package_id,
                tracking_number=one.tracking_number,
                label_url=one.label_url,
                lines=_units(one.lines),
            )
            for one in event.packages
        ],
    )


SHOWN: tuple[type[Event], ...] = (
    facts.FulfillmentOrderCreated,
    facts.FulfillmentAccepted,
    facts.FulfillmentRejected,
    facts.ItemsPicked,
    facts.ShortPicked,
    facts.PackagesPacked,
    facts.LabelRequested,
    facts.LabelFailed,
    facts.ShipmentDispatched,
    facts.ShipmentDelivered,
    facts.FulfillmentCancelled,
)
"""The facts that a fulfillment order shows."""


def id_of(event: Event) -> str | None:
    """The fulfillment order that an event shows in, if any."""
    return getattr(event, "fulfillment_order_id", None) if isinstance(event, SHOWN) else None


def seeing(id_: str) -> Callable[[Seen, Recorded, Event], Seen]:
    """`see` of one fulfillment order: its order's stream tells of others too."""

    def see_it(seen: Seen, recorded: Recorded, event: Event) -> Seen:
        return see(seen, recorded, event) if id_of(event) == id_ else seen

    return see_it


STATUSES = ("requested", "accepted", "rejected", "picked", "packed", "shipped", "cancelled")
"""What a fulfillment order's status can be."""


def _attributes(row: FulfillmentOrder) -> Mapping[str, str]:
    return {"location": row.location, "status": row.status, "order_id": row.order_id}


FULFILLMENT_ORDERS: View[FulfillmentOrder] = View(
    name="fulfillment-orders",
    model=TypeAdapter(FulfillmentOrder),
    handles=frozenset(model.TYPE for model in SHOWN),
    topics=("fulfillment",),
    key=lambda _, event: id_of(event),
    project=see,
    attributes=_attributes,
)
