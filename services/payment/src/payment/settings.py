"""What payment can be told by its environment."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from waybill_runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="PAYMENT_", extra="ignore")

    gateway_url: str = Field(description="Where the card gateway's API is.")
    gateway_api_key: SecretStr = Field(description="Our key at the gateway.")
    gateway_webhook_secret: SecretStr = Field(
        min_length=8, description="Secret that the gateway signs its callbacks with."
    )
    gateway_timeout_s: float = Field(
        5.0, gt=0, le=10, description="Seconds to wait for the gateway; then it is unknown."
    )
