"""What the carrier knows about shipments: folded from its records, rendered for callers."""

from dataclasses import dataclass, field
from typing import Any

JOURNEY = ("picked_up", "in_transit", "out_for_delivery", "delivered")
PLACES = {
    "picked_up": "Origin depot",
    "in_transit": "Sorting hub",
    "out_for_delivery": "Local depot",
    "delivered": "Front door",
    "exception": "Lost and found",
}


@dataclass(slots=True, kw_only=True)
class Parcel:
    """A package on its way. `events` are in the order they happened, `sequence` from 1."""

    reference: str
    tracking_number: str
    weight_g: int
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> str:
        return str(self.events[-1]["status"]) if self.events else "label_created"


@dataclass(slots=True, kw_only=True)
class Shipment:
    """Labels bought together, and where their parcels are."""

    id: str
    reference: str
    service: str
    to: dict[str, Any]
    callback_url: str
    parcels: list[Parcel]
    created_at: str
    voided: bool = False

    @property
    def status(self) -> str:
        """The least advanced parcel's status, or `voided`."""
        if self.voided:
            return "voided"
        return min((one.status for one in self.parcels), key=_progress)

    @property
    def picked_up(self) -> bool:
        return any(one.events for one in self.parcels)

    @property
    def is_to_be_lost(self) -> bool:
        return self.to.get("name") == "LOST"

    def render(self, public_url: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "reference": self.reference,
            "carrier": "sandbox",
            "service": self.service,
            "status": self.status,
            "created_at": self.created_at,
            "packages": [
                {
                    "reference": one.reference,
                    "tracking_number": one.tracking_number,
                    "label_url": f"{public_url}/v1/labels/{one.tracking_number}",
                    "status": one.status,
                    "events": one.events,
                }
                for one in self.parcels
            ],
        }

    def label(self, parcel: Parcel) -> str:
        """A label as a ZPL-like text; `^` and `~`, which steer the printer, are taken out."""
        lines = [
            self.to["name"],
            self.to["line1"],
            self.to.get("line2") or "",
            f"{self.to.get('postal_code') or ''} {self.to['city']}".strip(),
            self.to["country_code"],
        ]
        address = "\n".join(
            f"^FO40,{60 + 40 * row}^FD{_printable(line)}^FS"
            for row, line in enumerate(lines)
            if line
        )
        return (
            f"^XA\n^FO40,20^FDSANDBOX {self.service.upper()} {parcel.weight_g} g^FS\n{address}\n"
            f"^FO40,300^BCN,100^FD{parcel.tracking_number}^FS\n^XZ\n"
        )


def _progress(status: str) -> int:
    order = ("label_created", "picked_up", "in_transit", "out_for_delivery", "exception")
    return order.index(status) if status in order else len(order)


def _printable(text: str) -> str:
    return "".join(one for one in text if one.isprintable() and one not in "^~")


def next_status(shipment: Shipment, parcel: Parcel) -> str | None:
    """What befalls the parcel next by itself, None when its journey stopped."""
    steps = len(parcel.events)
    if shipment.voided or steps >= len(JOURNEY):
        return None
    if JOURNEY[steps] == "delivered" and shipment.is_to_be_lost:
        return "exception"
    return JOURNEY[steps]
