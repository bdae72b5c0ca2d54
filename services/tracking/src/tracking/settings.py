"""What tracking can be told by its environment."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from waybill_runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="TRACKING_", extra="ignore")

    streams_per_address: int = Field(
        100,
        ge=0,
        description="Most event streams of one address; 0: no limit. Behind a proxy name it in "
        "FORWARDED_ALLOW_IPS, or all its clients are one address.",
    )
