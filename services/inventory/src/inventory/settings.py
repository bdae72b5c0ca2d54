"""What inventory can be told by its environment."""

from collections.abc import Mapping

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from waybill_runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="INVENTORY_", extra="ignore")

    hold_grace_s: int = Field(
        60, ge=0, le=86_400, description="Seconds that a hold outlives its order's own deadline."
    )
    location_priorities: str = Field(
        "", description="Where to take units from first, such as main=1,north=2; others come last."
    )

    @property
    def priorities(self) -> Mapping[str, int]:
        return _parse(self.location_priorities)

    @field_validator("location_priorities")
    @classmethod
    def _readable(cls, text: str) -> str:
        _parse(text)
        return text


def _parse(text: str) -> Mapping[str, int]:
    """`main=1,north=2` as a mapping.

    Raises:
        ValueError: a part is not a location and a number from 0 to 999.
    """
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        location, _, number = (piece.strip() for piece in part.partition("="))
        if not location or not (number.isascii() and number.isdigit() and len(number) <= 3):
            raise ValueError(f"{part!r} is not <location>=<0 to 999>, as in main=1,north=2")
        found[location] = int(number)
    return found
