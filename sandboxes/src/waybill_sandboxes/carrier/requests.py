"""What a shipper asks of the carrier."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Reference = Annotated[str, Field(min_length=1, max_length=128)]
Line = Annotated[str, Field(max_length=200)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Address(BaseModel):
    """Where to; `postal_code` FAIL cannot be delivered to, a `name` LOST gets it late."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Line = Field(min_length=1)
    line1: Line = Field(min_length=1)
    line2: Line | None = None
    city: Line = Field(min_length=1)
    region: Line | None = None
    postal_code: Annotated[str, Field(max_length=20)] | None = None
    country_code: str = Field(pattern=r"^[A-Z]{2}$")


class Package(_Request):
    """One parcel; `reference` is the shipper's own."""

    reference: Reference
    weight_g: int = Field(gt=0, le=1_000_000, strict=True)


class CreateShipment(_Request):
    """Buy a label for each package; `reference` is the shipper's shipment id."""

    reference: Reference
    service: Literal["standard", "express"]
    to: Address
    packages: tuple[Package, ...] = Field(min_length=1, max_length=100)
    callback_url: str | None = Field(None, max_length=500, pattern=r"^https?://")
