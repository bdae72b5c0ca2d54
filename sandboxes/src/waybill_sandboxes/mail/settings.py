"""The mail sink's settings: `MAIL_…` variables."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read once at the start; a malformed variable stops the program, named."""

    model_config = SettingsConfigDict(env_prefix="MAIL_", frozen=True, hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int = Field(9103, ge=1, le=65535)
    smtp_port: int = Field(9125, ge=1, le=65535)
    data_dir: Path = Path(".waybill/mail")
    newest_max: int = Field(1000, ge=1, le=100_000)
