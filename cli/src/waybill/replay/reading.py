"""A file of the UCI Online Retail layout, row by row: goods that were sold, or refused with why.

Pure but for `load`. Every row gets exactly one verdict; the verdicts add up to the file.
"""

import csv
import gzip
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path

from waybill.failure import NOT_FOUND, USAGE, Failure
from waybill.replay.places import PLACES

COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "UnitPrice",
    "CustomerID",
    "Country",
)
QUANTITY_MAX = 100_000
LINES_MAX = 1_000
PRICE_MINOR_MAX = 10**9
_GOODS = re.compile(r"\d{5}[A-Za-z]*|DCGS[A-Za-z0-9]+")

REASONS: Mapping[str, str] = {
    "credit_note": "the invoice number starts with C: goods that came back, or money given back",
    "unreadable": "a quantity or a price that is no number, or no invoice number or stock code",
    "charge_not_goods": "the stock code is neither five digits with letters behind, nor DCGS with "
    "more behind: postage, carriage, fees, discounts, samples, vouchers, manual entries",
    "negative_quantity": "no credit note, yet no units: a write-off",
    "quantity_beyond_limits": f"more than {QUANTITY_MAX} units on one line",
    "zero_price": "given away, or a correction of stock",
    "price_beyond_limits": f"below zero, or above {PRICE_MINOR_MAX} pence a piece",
    "no_description": "an order line needs a name",
    "unknown_country": "the country's name stands for none in our table",
    "invoice_contradicts_itself": "two customers or two countries on one invoice",
    "too_many_lines": f"more than {LINES_MAX} lines of goods on one invoice",
}
"""Each reason for which a row is refused before anything is posted, in the order they are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row as it stands in the file."""

    invoice: str
    sku: str
    description: str
    quantity: str
    unit_price: str
    customer: str
    country: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Goods that were sold."""

    sku: str
    name: str
    quantity: int
    unit_price_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An invoice with at least one line of goods."""

    number: str
    customer: str | None
    country: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """A whole file: what can be ordered, and what each other row was refused for."""

    rows: int
    invoices_found: int
    invoices: Sequence[Invoice]
    refused_rows: Mapping[str, int]
    refused_invoices: Mapping[str, int]
    """By the reason of the invoice's first row, where none of its rows was taken."""

    @property
    def taken_rows(self) -> int:
        return sum(len(invoice.lines) for invoice in self.invoices)


def load(file: Path) -> tuple[Sequence[Row], str]:
    """Every row of a CSV file, gzipped or not, and the SHA-256 of its bytes.

    Raises:
        Failure: the file is not there, or has another layout.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise Failure(
            f"{file} cannot be read: {error.strerror}.", "Name a CSV file.", code=NOT_FOUND
        ) from error
    try:
        data = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        return parse(data.decode("utf-8-sig")), hashlib.sha256(raw).hexdigest()
    except (ValueError, EOFError, OSError, csv.Error) as error:
        raise Failure(
            f"{file} is no file of the UCI Online Retail layout: {error}.",
            f"It needs the columns {', '.join(COLUMNS)}, in UTF-8.",
            code=USAGE,
        ) from error


def parse(text: str) -> Sequence[Row]:
    """The rows of a CSV text with a header.

    Raises:
        ValueError: a column is missing.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or [])]:
        raise ValueError(f"there is no column {', '.join(missing)}")
    return [
        Row(
            invoice=_cell(row, "InvoiceNo"),
            sku=_cell(row, "StockCode"),
            description=_cell(row, "Description"),
            quantity=_cell(row, "Quantity"),
            unit_price=_cell(row, "UnitPrice"),
            customer=_cell(row, "CustomerID").removesuffix(".0"),
            country=_cell(row, "Country"),
        )
        for row in reader
    ]


def _cell(row: Mapping[str, str | None], name: str) -> str:
    return (row.get(name) or "").strip()


def judge(row: Row) -> Line | str:
    """One row by itself: the goods sold, or the reason why it is none."""
    if row.invoice.upper().startswith("C"):
        return "credit_note"
    try:
        quantity, price = int(row.quantity), pence(row.unit_price)
    except (ValueError, InvalidOperation):
        return "unreadable"
    verdicts = {
        "unreadable": not row.invoice or not row.sku,
        "charge_not_goods": _GOODS.fullmatch(row.sku) is None,
        "negative_quantity": quantity <= 0,
        "quantity_beyond_limits": quantity > QUANTITY_MAX,
        "zero_price": price == 0,
        "price_beyond_limits": not 0 <= price <= PRICE_MINOR_MAX,
        "no_description": not row.description,
    }
    for reason, applies in verdicts.items():
        if applies:
            return reason
    return Line(sku=row.sku, name=row.description, quantity=quantity, unit_price_minor=price)


def pence(pounds: str) -> int:
    """Exactly from the text; half a penny is rounded up.

    Raises:
        InvalidOperation: the text is no finite number.
    """
    return int((Decimal(pounds) * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def sort(rows: Iterable[Row]) -> Sorted:
    """Give every row its verdict, then every invoice its own."""
    by_invoice: dict[str, list[Row]] = {}
    for row in rows:
        by_invoice.setdefault(row.invoice, []).append(row)
    taken: list[Invoice] = []
    refused_rows: dict[str, int] = {}
    refused_invoices: dict[str, int] = {}
    for number, members in by_invoice.items():
        verdicts = _judge_together(members)
        reasons = [verdict for verdict in verdicts if isinstance(verdict, str)]
        lines = [verdict for verdict in verdicts if isinstance(verdict, Line)]
        for reason in reasons:
            refused_rows[reason] = refused_rows.get(reason, 0) + 1
        if lines:
            first = members[0]
            taken.append(
                Invoice(
                    number=number,
                    customer=first.customer or None,
                    country=first.country,
                    lines=lines,
                )
            )
        else:
            refused_invoices[reasons[0]] = refused_invoices.get(reasons[0], 0) + 1
    return Sorted(
        rows=sum(len(members) for members in by_invoice.values()),
        invoices_found=len(by_invoice),
        invoices=taken,
        refused_rows=refused_rows,
        refused_invoices=refused_invoices,
    )


def _judge_together(members: Sequence[Row]) -> Sequence[Line | str]:
    """The rows of one invoice; what is wrong with the whole falls on what is left of it."""
    verdicts = [judge(row) for row in members]
    whole = ""
    if len({(row.customer, row.country) for row in members}) > 1:
        whole = "invoice_contradicts_itself"
    elif members[0].country not in PLACES:
        whole = "unknown_country"
    elif sum(isinstance(verdict, Line) for verdict in verdicts) > LINES_MAX:
        whole = "too_many_lines"
    if not whole:
        return verdicts
    return [whole if isinstance(verdict, Line) else verdict for verdict in verdicts]
