"""What warehouses send and get. Unknown fields are refused; every limit is named."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fulfillment import views
from waybill_runtime import cards
from waybill_runtime.http.text import printable

LINES_MAX = 1_000
PACKAGES_MAX = 100
WEIGHT_G_MAX = 1_000_000


LineId = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(printable)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Accept(Body):
    """Nothing needs to be said."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})


class Reject(Body):
    reason: Annotated[
        str,
        Field(min_length=1, max_length=200),
        AfterValidator(printable),
        AfterValidator(cards.free_text),
    ]

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "closed for stocktake"}]})


class PickedLine(Body):
    line_id: LineId
    quantity: Annotated[int, Field(ge=0, le=1_000_000, strict=True)]


class PackedLine(Body):
    line_id: LineId
    quantity: Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


def _once(lines: Iterable[PickedLine | PackedLine]) -> None:
    seen: set[str] = set()
    for line in lines:
        if line.line_id in seen:
            raise ValueError(f"Line {line.line_id} is named twice. Name each line once.")
        seen.add(line.line_id)


def _each_once(lines: tuple[Any, ...]) -> tuple[Any, ...]:
    _once(lines)
    return lines


class Pick(Body):
    """What was found, for good. Less than asked is a short pick; a line left out counts as 0."""

    lines: Annotated[
        tuple[PickedLine, ...], Field(max_length=LINES_MAX), AfterValidator(_each_once)
    ]

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"lines": [{"line_id": "ln_1", "quantity": 6}]}]}
    )

    @property
    def units(self) -> Mapping[str, int]:
        return {line.line_id: line.quantity for line in self.lines}


class PackageToPack(Body):
    weight_g: Annotated[int, Field(ge=1, le=WEIGHT_G_MAX, strict=True)]
    lines: Annotated[
        tuple[PackedLine, ...],
        Field(min_length=1, max_length=LINES_MAX),
        AfterValidator(_each_once),
    ]

    @property
    def units(self) -> Mapping[str, int]:
        return {line.line_id: line.quantity for line in self.lines}


class Pack(Body):
    """Every picked unit in exactly one package. Again, with other packages, packs anew."""

    packages: Annotated[tuple[PackageToPack, ...], Field(min_length=1, max_length=PACKAGES_MAX)]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"packages": [{"weight_g": 900, "lines": [{"line_id": "ln_1", "quantity": 6}]}]}
            ]
        }
    )


class Ship(Body):
    service: Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,63}$")]

    model_config = ConfigDict(json_schema_extra={"examples": [{"service": "standard"}]})


class FulfillmentOrderPage(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"data": [], "has_more": False, "next_cursor": None}]}
    )

    data: list[views.FulfillmentOrder]
    has_more: bool
    next_cursor: str | None


class FeedPage(BaseModel):
    """Events as CloudEvents in structured mode. Ask again with `next_cursor`, always given."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"data": [], "next_cursor": "MQ", "has_more": False}]}
    )

    data: list[dict[str, Any]]
    next_cursor: str
    has_more: bool


class Hint(BaseModel):
    """What we take from a callback: which shipment to look up. The rest is the look-up's."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    reference: str = Field(
        pattern=r"^shp_[0-9a-z]{1,64}-[0-9]{1,4}$", description="Our shipment's id."
    )
