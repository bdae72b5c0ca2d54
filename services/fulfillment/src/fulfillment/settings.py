"""What fulfillment can be told by its environment."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from waybill_runtime.settings import ServiceSettings

DAY_S = 86_400


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="FULFILLMENT_", extra="ignore")

    carrier_url: str = Field("http://127.0.0.1:9102", description="The carrier's API.")
    carrier_api_key: SecretStr = Field(SecretStr(""), description="Our key at the carrier.")
    carrier_webhook_secret: SecretStr = Field(
        description="Secret under which the carrier signs its callbacks."
    )
    carrier_timeout_s: float = Field(
        5.0, gt=0, le=20, description="Seconds until a carrier's answer is given up."
    )
    carrier_callback_url: str = Field(
        "", description="Where the carrier is to send callbacks; empty: where it is set up to."
    )
    capture_url: str = Field(description="Where capture's vault answers.")
    capture_key: SecretStr = Field(description="API key with the scope recipients:read at capture.")
    capture_timeout_s: float = Field(
        3.0, gt=0, le=20, description="Seconds until the vault's answer is given up."
    )
    recipient_cache_s: float = Field(
        60.0, ge=0, le=60, description="Seconds that a recipient is remembered."
    )
    accept_s: int = Field(
        4 * 3600, ge=1, le=90 * DAY_S, description="Seconds a warehouse has to accept or reject."
    )
    pick_s: int = Field(DAY_S, ge=1, le=90 * DAY_S, description="Seconds to pick once accepted.")
    pack_s: int = Field(4 * 3600, ge=1, le=90 * DAY_S, description="Seconds to pack once picked.")
    ship_s: int = Field(DAY_S, ge=1, le=90 * DAY_S, description="Seconds to ship once packed.")
    deliver_s: int = Field(
        10 * DAY_S, ge=1, le=365 * DAY_S, description="Seconds the carrier has to deliver."
    )
    label_grace_s: float = Field(
        15.0,
        ge=0,
        le=600,
        description="Seconds after which a label whose buyer was not heard of is finished by us.",
    )
    track_poll_s: float = Field(
        5.0, ge=0.05, le=3600, description="First pause between look-ups of a parcel."
    )
    track_poll_s_max: float = Field(
        900.0, ge=0.05, le=DAY_S, description="Longest pause between look-ups of a parcel."
    )
