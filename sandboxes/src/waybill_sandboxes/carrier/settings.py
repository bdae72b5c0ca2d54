"""The sandbox carrier's settings: `CARRIER_…` variables."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from waybill_sandboxes.carrier import depot
from waybill_sandboxes.carrier.faults import Faults


class Settings(BaseSettings):
    """Read once at the start; a missing or malformed variable stops the program, named."""

    model_config = SettingsConfigDict(env_prefix="CARRIER_", frozen=True, hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int = Field(9102, ge=1, le=65535)
    data_dir: Path = Path(".waybill/carrier")
    api_key: str = Field(min_length=1)
    webhook_secret: str = Field(min_length=1)
    callback_url: str = ""
    public_url: str = ""
    step_ms: int = Field(200, ge=0, le=86_400_000)
    latency_ms: int = Field(0, ge=0, le=60_000)
    hang_s: float = Field(30.0, gt=0, le=300)
    faults: Faults = Faults()

    def options(self) -> depot.Options:
        """What the core needs of them."""
        return depot.Options(
            step_s=self.step_ms / 1000,
            hang_s=self.hang_s,
            callback_url=self.callback_url,
            public_url=self.public_url or f"http://{self.host}:{self.port}",
        )
