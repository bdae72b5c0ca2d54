"""Counting units: what was found of what was asked, and what lies in which parcel."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fulfillment.decider import commands
from waybill_events.event import LineQuantity
from waybill_events.fulfillment import FulfillmentLine, Package
from waybill_events.identity import stem


class WrongQuantities(Exception):
    """The units told do not fit the units there are; `line_id` names the line."""

    def __init__(self, line_id: str, detail: str) -> None:
        super().__init__(detail)
        self.line_id = line_id


def units(lines: Iterable[FulfillmentLine]) -> Iterator[LineQuantity]:
    """Lines without their names."""
    for line in lines:
        yield LineQuantity(line_id=line.line_id, sku=line.sku, quantity=line.quantity)


def split(
    found: Mapping[str, int], asked: Sequence[FulfillmentLine]
) -> tuple[tuple[LineQuantity, ...], tuple[LineQuantity, ...]]:
    """What was found and what is missing, in the order asked.

    Raises:
        WrongQuantities: more than asked, or a line that nobody asked for.
    """
    wanted = {line.line_id: line.quantity for line in asked}
    for line_id, quantity in found.items():
        if line_id not in wanted:
            raise WrongQuantities(line_id, f"This fulfillment order has no line {line_id}.")
        if quantity > wanted[line_id]:
            detail = f"Line {line_id} asks for {wanted[line_id]}; {quantity} are too many."
            raise WrongQuantities(line_id, detail)
    here, gone = [], []
    for line in asked:
        quantity = found.get(line.line_id, 0)
        if quantity:
            here.append(_so_many(line, quantity))
        if quantity < line.quantity:
            gone.append(_so_many(line, line.quantity - quantity))
    return tuple(here), tuple(gone)


def pack(
    parcels: Sequence[commands.Parcel], picked: Sequence[LineQuantity], fulfillment_order_id: str
) -> tuple[Package, ...]:
    """The parcels as packages with ids of their own.

    Raises:
        WrongQuantities: a picked unit is in no parcel, or in two, or was never picked.
    """
    lines = {line.line_id: line for line in picked}
    packed = dict.fromkeys(lines, 0)
    for parcel in parcels:
        for line_id, quantity in parcel.units.items():
            if line_id not in packed:
                raise WrongQuantities(line_id, f"Nothing of line {line_id} was picked.")
            packed[line_id] += quantity
    for line_id, quantity in packed.items():
        if quantity != lines[line_id].quantity:
            detail = (
                f"{lines[line_id].quantity} units of line {line_id} were picked and {quantity} "
                "are in packages. Put each picked unit in exactly one."
            )
            raise WrongQuantities(line_id, detail)
    part = stem(fulfillment_order_id)
    return tuple(
        Package(
            package_id=f"pkg_{part}-{number}",
            weight_g=parcel.weight_g,
            lines=tuple(
                _so_many(line, parcel.units[line_id])
                for line_id, line in lines.items()
                if parcel.units.get(line_id)
            ),
        )
        for number, parcel in enumerate(parcels, start=1)
    )


def _so_many(line: FulfillmentLine | LineQuantity, quantity: int) -> LineQuantity:
    return LineQuantity(line_id=line.line_id, sku=line.sku, quantity=quantity)
