"""What a merchant asks of the gateway."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

AmountMinor = Annotated[int, Field(gt=0, le=10**12, strict=True)]
Reference = Annotated[str, Field(min_length=1, max_length=128)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Authorize(_Request):
    """Hold an amount on a card; `reference` is the merchant's order id."""

    reference: Reference
    amount_minor: AmountMinor
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    token: str = Field(pattern=r"^tok_[a-z_]{1,60}$")
    callback_url: str | None = Field(None, max_length=500, pattern=r"^https?://")


class Capture(_Request):
    """Take a part of what is held; `final` lets go of the rest."""

    amount_minor: AmountMinor
    reference: Reference
    final: bool = False


class Void(_Request):
    """Let go of whatever is held and not captured."""

    reference: Reference


class Refund(_Request):
    """Give back a part of what was captured."""

    amount_minor: AmountMinor
    reference: Reference
