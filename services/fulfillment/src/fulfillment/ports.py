"""What fulfillment needs of the outside: a carrier, and the people behind references."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class CarrierUnavailable(Exception):
    """No answer, or none that settles anything: what was asked may or may not have happened."""


class RecipientsUnavailable(Exception):
    """Nobody could say who the recipient is; ask again later."""


class RecipientErased(Exception):
    """The recipient was forgotten; there is nobody to send anything to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Whom a parcel goes to. Personal: never logged, never in an event."""

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


class Recipients(Protocol):
    """The people behind references. What is remembered is remembered briefly."""

    async def read(self, recipient_ref: str) -> Recipient:
        """Whom the reference stands for.

        Raises:
            RecipientErased: nobody any more, or nobody ever.
            RecipientsUnavailable: ask again later.
        """
        ...

    def forget(self, recipient_ref: str) -> None:
        """Drop what is remembered of this one. Unknown ones are fine."""
        ...

    async def close(self) -> None: ...
