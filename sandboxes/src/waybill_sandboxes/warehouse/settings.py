"""The robot warehouse's settings: `WAREHOUSE_…` variables, and `FULFILLMENT_URL`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from waybill_sandboxes.warehouse import plan, robot


class Settings(BaseSettings):
    """Read once at the start; a missing or malformed variable stops the program, named."""

    model_config = SettingsConfigDict(
        env_prefix="WAREHOUSE_", frozen=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    port: int = Field(9104, ge=1, le=65535)
    data_dir: Path = Path(".waybill/warehouse")
    key: str = Field(min_length=1)
    fulfillment_url: str = Field(validation_alias="FULFILLMENT_URL", pattern=r"^https?://")
    location: str = ""
    workers: int = Field(8, ge=1, le=64)
    step_ms: int = Field(0, ge=0, le=600_000)
    poll_ms: int = Field(200, ge=10, le=60_000)
    sweep_ms: int = Field(5000, ge=100, le=3_600_000)
    timeout_s: float = Field(10.0, gt=0, le=60)
    tries_max: int = Field(20, ge=6, le=1000)
    short_skus: Annotated[dict[str, int], NoDecode] = {}
    reject_skus: Annotated[frozenset[str], NoDecode] = frozenset()

    @field_validator("short_skus", mode="before")
    @classmethod
    def _read_shorts(cls, text: object) -> object:
        """`SKU1=1,SKU2=3` → units never found, per SKU."""
        if not isinstance(text, str):
            return text
        pairs = (one.partition("=") for one in text.split(",") if one.strip())
        return {sku.strip(): units.strip() for sku, _, units in pairs}

    @field_validator("reject_skus", mode="before")
    @classmethod
    def _read_rejects(cls, text: object) -> object:
        """`SKU1,SKU2` → a set."""
        if not isinstance(text, str):
            return text
        return frozenset(one.strip() for one in text.split(",") if one.strip())

    def behaviour(self) -> plan.Behaviour:
        return plan.Behaviour(short_skus=self.short_skus, reject_skus=self.reject_skus)

    def pace(self) -> robot.Pace:
        return robot.Pace(
            workers=self.workers,
            step_s=self.step_ms / 1000,
            poll_s=self.poll_ms / 1000,
            sweep_s=self.sweep_ms / 1000,
            tries_max=self.tries_max,
            location=self.location,
        )
