"""What people send and get of stock. Unknown fields are refused; every limit is named."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from inventory import views
from inventory.decider.stock import Level, Reorder, Stock
from waybill_runtime import cards
from waybill_runtime.http.text import printable, step

LINES_MAX = 1_000
UNITS_MAX = 1_000_000


def _sku(text: str) -> str:
    if "/" in text:
        raise ValueError("A SKU cannot contain '/', for it is part of a path. Leave that out.")
    if text != text.strip():
        raise ValueError("A SKU neither begins nor ends with a space. Leave that out.")
    return printable(step(text))


Sku = Annotated[str, Field(min_length=1, max_length=64, examples=["85123A"]), AfterValidator(_sku)]
Location = Annotated[
    str,
    Field(
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="1 to 64 letters, digits, '.', '_' or '-'.",
        examples=["main"],
    ),
]
Reference = Annotated[
    str,
    Field(min_length=1, max_length=200),
    AfterValidator(printable),
    AfterValidator(cards.free_text),
]
Reason = Annotated[
    str,
    Field(
        pattern="^[a-z][a-z0-9_]{0,63}$",
        description="In lower case with underscores, such as damaged, found or stolen.",
        examples=["damaged"],
    ),
    AfterValidator(cards.free_text),
]


def _moves(delta: int) -> int:
    if delta == 0:
        raise ValueError("Say how many more or fewer there are; 0 changes nothing.")
    return delta


Delta = Annotated[int, Field(ge=-UNITS_MAX, le=UNITS_MAX, strict=True), AfterValidator(_moves)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class ReceiptLine(Body):
    sku: Sku
    quantity: Annotated[int, Field(ge=1, le=UNITS_MAX, strict=True)]


class Receipt(Body):
    """A delivery that came to a location."""

    location: Location
    reference: Reference
    lines: Annotated[list[ReceiptLine], Field(min_length=1, max_length=LINES_MAX)]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "location": "main",
                    "reference": "PO-1",
                    "lines": [{"sku": "85123A", "quantity": 100}],
                }
            ]
        }
    )


class AdjustmentLine(Body):
    sku: Sku
    delta: Delta


class Adjustment(Body):
    """Units found, lost or spoilt."""

    location: Location
    reason: Reason
    lines: Annotated[list[AdjustmentLine], Field(min_length=1, max_length=LINES_MAX)]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "location": "main",
                    "reason": "damaged",
                    "lines": [{"sku": "85123A", "delta": -2}],
                }
            ]
        }
    )


class CountLine(Body):
    sku: Sku
    counted: Annotated[int, Field(ge=0, le=1_000_000_000, strict=True)]


class Counting(Body):
    """What was counted on a location's shelves."""

    location: Location
    reference: Reference
    lines: Annotated[list[CountLine], Field(min_length=1, max_length=LINES_MAX)]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "location": "main",
                    "reference": "cycle-count-7",
                    "lines": [{"sku": "85123A", "counted": 98}],
                }
            ]
        }
    )


class SetReorderPoint(Body):
    """Suggest buying `reorder_quantity` once available falls to `reorder_point` or below."""

    reorder_point: Annotated[int, Field(ge=0, le=1_000_000_000, strict=True)]
    reorder_quantity: Annotated[int, Field(ge=1, le=UNITS_MAX, strict=True)]

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reorder_point": 10, "reorder_quantity": 50}]}
    )


class Counters(BaseModel):
    """`available` is `on_hand` less `held` and `allocated`."""

    on_hand: int
    held: int
    allocated: int
    available: int


def _counters(level: Level) -> dict[str, int]:
    return {
        "on_hand": level.on_hand,
        "held": level.held,
        "allocated": level.allocated,
        "available": level.available,
    }


class LocationStock(Counters):
    """One location. `version` is the SKU's; If-Match takes it."""

    location: str
    version: int


class StockView(BaseModel):
    """Every location that units were ever booked at, and the sums of all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sku": "85123A",
                    "locations": [
                        {
                            "location": "main",
                            "on_hand": 100,
                            "held": 6,
                            "allocated": 0,
                            "available": 94,
                            "version": 2,
                        }
                    ],
                    "totals": {"on_hand": 100, "held": 6, "allocated": 0, "available": 94},
                }
            ]
        }
    )

    sku: str
    locations: list[LocationStock]
    totals: Counters

    @classmethod
    def of(cls, sku: str, state: Stock, version: int) -> Self:
        return cls(
            sku=sku,
            locations=[
                LocationStock(location=location, version=version, **_counters(level))
                for location, level in views.levels(state)
            ],
            totals=Counters(**_counters(views.total(state))),
        )


class BookedLine(Counters):
    sku: str
    version: int

    @classmethod
    def of(cls, sku: str, level: Level, version: int) -> Self:
        return cls(sku=sku, version=version, **_counters(level))


class Booked(BaseModel):
    """The counters of every SKU that was named, once each, after all of it was booked."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "location": "main",
                    "lines": [
                        {
                            "sku": "85123A",
                            "on_hand": 100,
                            "held": 0,
                            "allocated": 0,
                            "available": 100,
                            "version": 1,
                        }
                    ],
                }
            ]
        }
    )

    location: str
    lines: list[BookedLine]


class ReorderPoint(BaseModel):
    """`is_breached`: available is at the point or below, and buying was suggested."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sku": "85123A",
                    "location": "main",
                    "reorder_point": 10,
                    "reorder_quantity": 50,
                    "is_breached": False,
                    "version": 3,
                }
            ]
        }
    )

    sku: str
    location: str
    reorder_point: int
    reorder_quantity: int
    is_breached: bool
    version: int

    @classmethod
    def of(cls, sku: str, location: str, reorder: Reorder, version: int) -> Self:
        return cls(
            sku=sku,
            location=location,
            reorder_point=reorder.point,
            reorder_quantity=reorder.quantity,
            is_breached=reorder.is_breached,
            version=version,
        )


class LocationAvailability(BaseModel):
    location: str
    available_quantity: int


class Availability(BaseModel):
    """Whether so many could be held now, over all locations together, and where they are."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sku": "85123A",
                    "quantity": 6,
                    "available": True,
                    "available_quantity": 94,
                    "locations": [{"location": "main", "available_quantity": 94}],
                }
            ]
        }
    )

    sku: str
    quantity: int
    available: bool
    available_quantity: int
    locations: list[LocationAvailability]

    @classmethod
    def of(cls, sku: str, quantity: int, state: Stock) -> Self:
        total = views.total(state).available
        return cls(
            sku=sku,
            quantity=quantity,
            available=total >= quantity,
            available_quantity=total,
            locations=[
                LocationAvailability(location=location, available_quantity=units)
                for location, units in views.stocked(state)
            ],
        )
