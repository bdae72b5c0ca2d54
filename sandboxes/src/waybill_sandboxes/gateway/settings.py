"""The sandbox gateway's settings: `GATEWAY_…` variables."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from waybill_sandboxes.gateway import ledger
from waybill_sandboxes.gateway.faults import Faults


class Settings(BaseSettings):
    """Read once at the start; a missing or malformed variable stops the program, named."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int = Field(9101, ge=1, le=65535)
    data_dir: Path = Path(".waybill/gateway")
    api_key: str = Field(min_length=1)
    webhook_secret: str = Field(min_length=1)
    callback_url: str = ""
    callback_delay_ms: int = Field(0, ge=0, le=600_000)
    latency_ms: int = Field(0, ge=0, le=60_000)
    hang_s: float = Field(30.0, gt=0, le=300)
    slow_s: float = Field(2.0, gt=0, le=60)
    pending_s: float = Field(1.0, gt=0, le=3600)
    authorization_ttl_s: float = Field(7 * 24 * 3600.0, gt=0)
    expires_fast_s: float = Field(3.0, gt=0)
    faults: Faults = Faults()

    def options(self) -> ledger.Options:
        """What the core needs of them."""
        return ledger.Options(
            hang_s=self.hang_s,
            slow_s=self.slow_s,
            pending_s=self.pending_s,
            authorization_ttl_s=self.authorization_ttl_s,
            expires_fast_s=self.expires_fast_s,
            callback_url=self.callback_url,
            callback_delay_s=self.callback_delay_ms / 1000,
        )
