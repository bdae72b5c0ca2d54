"""What tracking can be told by its environment."""

from pydantic_settings import SettingsConfigDict

from waybill_runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="TRACKING_", extra="ignore")
