"""What fulfillment needs of the outside: a carrier, and what it takes of a recipient."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class CarrierUnavailable(Exception):
    """No answer, or none that settles anything: what was asked may or may not have happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Whom a parcel goes to. Personal: never logged, never in an event.

    All that we take of capture's answer: e-mail and phone are none of our business.
    """

    name: str
    line1: str
    city: str
    country_code: str
    company: str | None = None
    line2: str | None = None
    region_code: str | None = None
    postal_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelToSend:
    reference: str
    weight_g: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOrder:
    """Labels to buy at once, for all parcels of a shipment; `reference` is the shipment's id."""

    reference: str
    idempotency_key: str
    service: str
    to: Recipient
    parcels: Sequence[ParcelToSend]


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierScan:
    """Where a parcel was seen, in the carrier's own words."""

    status: str
    happened_at: datetime
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierParcel:
    reference: str
    tracking_number: str
    label_url: str
    scans: tuple[CarrierScan, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierShipment:
    """What the carrier sold, and how far it has come."""

    reference: str
    carrier: str
    parcels: tuple[CarrierParcel, ...]


@dataclass(frozen=True, slots=True)
class Declined:
    """The carrier's definite no: nothing was bought. The reason is for people."""

    reason: str


class Carrier(Protocol):
    """Sells labels and knows where parcels are. Every call is bounded in time."""

    async def buy_labels(self, order: LabelOrder) -> CarrierShipment | Declined:
        """Labels for every parcel, or a definite no. The same key never buys twice.

        Raises:
            CarrierUnavailable: look it up by reference, then ask again with the same key.
        """
        ...

    async def look_up(self, reference: str) -> CarrierShipment | None:
        """The live shipment with this reference; None when the carrier sold none.

        Raises:
            CarrierUnavailable: nothing is known.
        """
        ...

    async def close(self) -> None: ...
