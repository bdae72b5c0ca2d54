"""What notification can be told by its environment."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from notification.reactor import CHANNELS
from waybill_runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="NOTIFICATION_", extra="ignore")

    capture_url: str = Field(description="capture, for its recipient vault.")
    capture_key: SecretStr = Field(description="An API key with the scope recipients:read.")
    smtp_host: str = Field("127.0.0.1", description="Mail relay.")
    smtp_port: int = Field(25, ge=1, le=65535)
    sender: str = Field("Waybill <orders@waybill.example>", description="From, as mails show it.")
    message_url: str = Field("", description="Provider of SMS and chat; empty: no such channels.")
    channel_timeout_s: float = Field(5.0, gt=0, le=20)
    channels: dict[str, list[str]] = Field(
        {template: list(channels) for template, channels in CHANNELS.items()},
        description="Channels by template, as JSON.",
    )
