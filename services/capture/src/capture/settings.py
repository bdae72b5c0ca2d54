"""What capture can be told by its environment."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from waybill_runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="CAPTURE_", extra="ignore")

    tracking_token_secret: SecretStr = Field(
        description="Secret that tracking tokens are derived under; changing it voids them."
    )
    public_tracking_url: str = Field(
        "http://127.0.0.1:8005", description="Where customers reach the tracking service."
    )
    shipping_options: list[str] = Field(
        ["standard", "express"],
        min_length=1,
        description="Shipping options that orders may name, as JSON; the carrier must know them.",
    )
    unpaid_order_ttl_s: int = Field(
        900, ge=1, le=86_400, description="Seconds until an order that is not confirmed expires."
    )
