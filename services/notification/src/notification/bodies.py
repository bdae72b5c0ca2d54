"""What staff send and get."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class SetPreference(BaseModel):
    """Whether a channel may be used for a customer."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"channel": "sms", "allowed": False}]}
    )

    channel: Literal["email", "sms", "chat"]
    allowed: Annotated[bool, Field(strict=True)]


class PreferencesView(BaseModel):
    customer_ref: str
    channels: dict[str, bool]
    version: int


class DeliveryView(BaseModel):
    """One message and what became of it: decided, sent, failed or suppressed."""

    message_id: str
    order_id: str
    template: str
    channel: str
    status: str
    reason: str | None
    source_event_id: str


class DeliveryPage(BaseModel):
    data: list[DeliveryView]
    has_more: bool
    next_cursor: str | None
