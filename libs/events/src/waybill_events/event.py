"""What every event is: a frozen fact with a written-out type, and the shapes events share.

Fields only ever get added, and only optional ones (ADR: schemas grow by optional fields). Money is
`amount_minor` in the currency's minor unit, quantities are whole units, times are UTC.
"""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """Part of an event. Unknown fields are ignored on reading: a newer writer may add some."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        json_schema_serialization_defaults_required=True,
        ser_json_timedelta="float",
    )


class Event(Shape):
    """An immutable fact, past tense. `TYPE` is its name on the wire, for ever."""

    TYPE: ClassVar[str]


def _in_utc(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise ValueError("the time needs an offset, such as Z")
    return value


Moment = Annotated[datetime, AfterValidator(_in_utc)]
Quantity = Annotated[int, Field(ge=1, le=1_000_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
AmountMinor = Annotated[int, Field(ge=0, le=10**15)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Sku = Annotated[str, Field(min_length=1, max_length=64)]
Id = Annotated[str, Field(min_length=1, max_length=80)]
Text = Annotated[str, Field(max_length=500)]


class LineQuantity(Shape):
    """So many units of one order line."""

    line_id: Id
    sku: Sku
    quantity: Quantity


class Allocation(Shape):
    """So many units of one order line, from one location."""

    line_id: Id
    sku: Sku
    location: Id
    quantity: Quantity


class Shortage(Shape):
    """A line that could not be held in full."""

    line_id: Id
    sku: Sku
    requested: Quantity
    available: Count
