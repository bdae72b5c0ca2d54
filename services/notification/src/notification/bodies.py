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
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "customer_ref": "17850",
                    "channels": {"email": True, "sms": False, "chat": False},
                    "version": 1,
                }
            ]
        }
    )

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
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "data": [
                        {
                            "message_id": "msg_01m84k8yhre00sxe1fx5ygf3kq-confirmed-email",
                            "order_id": "ord_01m84k8yhre00sxe1fx5ygf3kq",
                            "template": "confirmed",
                            "channel": "email",
                            "status": "sent",
                            "reason": None,
                            "source_event_id": "01a20934-7b00-7000-8000-000000000014",
                        }
                    ],
                    "has_more": False,
                    "next_cursor": None,
                }
            ]
        }
    )

    data: list[DeliveryView]
    has_more: bool
    next_cursor: str | None
