"""Rows of a shop's invoices: each refusal by its reason, and numbers that add up."""

import gzip
from pathlib import Path

import pytest

from waybill.failure import Failure
from waybill.replay import places, reading

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
GOODS = {
    "InvoiceNo": "536365",
    "StockCode": "85123A",
    "Description": "WHITE HEART",
    "Quantity": "6",
    "UnitPrice": "2.55",
    "CustomerID": "17850.0",
    "Country": "United Kingdom",
}
MONTH = Path(__file__).parents[2] / ".." / "shared" / "data" / "online-retail" / "2010-12.csv.gz"


def csv_of(*changes: dict[str, str]) -> str:
    names = HEADER.strip().split(",")
    rows = [{"InvoiceDate": "2010-12-01 08:26:00", **GOODS, **change} for change in changes]
    return HEADER + "".join(",".join(f'"{row[name]}"' for name in names) + "\n" for row in rows)


def sorted_of(*changes: dict[str, str]) -> reading.Sorted:
    return reading.sort(reading.parse(csv_of(*changes)))


def test_goods_are_taken_with_their_price_in_pence() -> None:
    found = sorted_of({})
    assert found.invoices == [
        reading.Invoice(
            number="536365",
            customer="17850",
            country="United Kingdom",
            lines=[
                reading.Line(sku="85123A", name="WHITE HEART", quantity=6, unit_price_minor=255)
            ],
        )
    ]
    assert found.refused_rows == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"InvoiceNo": "C536379", "Quantity": "-1"}, "credit_note"),
        ({"InvoiceNo": "C536379", "StockCode": "D"}, "credit_note"),
        ({"Quantity": "six"}, "unreadable"),
        ({"Quantity": "1.5"}, "unreadable"),
        ({"UnitPrice": "NaN"}, "unreadable"),
        ({"UnitPrice": ""}, "unreadable"),
        ({"StockCode": ""}, "unreadable"),
        ({"InvoiceNo": ""}, "unreadable"),
        ({"StockCode": "POST"}, "charge_not_goods"),
        ({"StockCode": "M"}, "charge_not_goods"),
        ({"StockCode": "BANK CHARGES"}, "charge_not_goods"),
        ({"StockCode": "gift_0001_40"}, "charge_not_goods"),
        ({"StockCode": "C2"}, "charge_not_goods"),
        ({"Quantity": "-10"}, "negative_quantity"),
        ({"Quantity": "0"}, "negative_quantity"),
        ({"Quantity": "100001"}, "quantity_beyond_limits"),
        ({"UnitPrice": "0.0"}, "zero_price"),
        ({"UnitPrice": "0.004"}, "zero_price"),
        ({"UnitPrice": "-1.25"}, "price_beyond_limits"),
        ({"UnitPrice": "10000000.01"}, "price_beyond_limits"),
        ({"Description": "  "}, "no_description"),
        ({"Country": "Unspecified"}, "unknown_country"),
    ],
)
def test_a_row_is_refused_with_its_reason(change: dict[str, str], reason: str) -> None:
    found = sorted_of(change)
    assert found.refused_rows == {reason: 1}
    assert found.refused_invoices == {reason: 1}
    assert not found.invoices


@pytest.mark.parametrize("code", ["22423", "85123A", "15056bl", "79323LP", "DCGS0076"])
def test_codes_of_goods_are_goods(code: str) -> None:
    assert sorted_of({"StockCode": code}).taken_rows == 1


@pytest.mark.parametrize(
    ("pounds", "pence"),
    [("2.55", 255), ("0.1", 10), ("1.005", 101), ("0.005", 1), ("13541.33", 1_354_133), ("8", 800)],
)
def test_prices_are_read_exactly_and_half_a_penny_goes_up(pounds: str, pence: int) -> None:
    assert reading.pence(pounds) == pence


def test_an_invoice_of_two_customers_is_refused_whole_and_its_charge_for_being_one() -> None:
    found = sorted_of({}, {"CustomerID": "1.0"}, {"StockCode": "POST"})
    assert found.refused_rows == {"invoice_contradicts_itself": 2, "charge_not_goods": 1}
    assert found.refused_invoices == {"invoice_contradicts_itself": 1}


def test_an_invoice_beyond_the_line_limit_is_refused_whole() -> None:
    found = sorted_of(*[{}] * (reading.LINES_MAX + 1))
    assert found.refused_rows == {"too_many_lines": reading.LINES_MAX + 1}


def test_the_same_sku_twice_stays_two_lines() -> None:
    lines = sorted_of({}, {"Quantity": "2"}).invoices[0].lines
    assert [(line.sku, line.quantity) for line in lines] == [("85123A", 6), ("85123A", 2)]


def test_a_guest_has_no_customer() -> None:
    assert sorted_of({"CustomerID": ""}).invoices[0].customer is None


def test_what_is_taken_and_refused_adds_up_to_the_file() -> None:
    found = sorted_of(
        {},
        {"StockCode": "POST"},
        {"InvoiceNo": "536366", "UnitPrice": "0"},
        {"InvoiceNo": "C1"},
        {"InvoiceNo": "536367", "Country": "Norway"},
    )
    assert (found.rows, found.invoices_found) == (5, 4)
    assert found.taken_rows + sum(found.refused_rows.values()) == found.rows
    assert len(found.invoices) + sum(found.refused_invoices.values()) == found.invoices_found


def test_every_reason_given_is_explained() -> None:
    given = {
        "credit_note",
        "unreadable",
        "charge_not_goods",
        "negative_quantity",
        "quantity_beyond_limits",
        "zero_price",
        "price_beyond_limits",
        "no_description",
        "unknown_country",
        "invoice_contradicts_itself",
        "too_many_lines",
    }
    assert set(reading.REASONS) == given


def test_a_gzipped_file_reads_like_a_plain_one(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.csv", tmp_path / "a.csv.gz"
    plain.write_text(csv_of({}, {"Description": "TWO\nLINES"}))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert reading.load(plain)[0] == reading.load(packed)[0]
    assert len(reading.load(plain)[0]) == 2


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\x1f\x8bno gzip", b"\xff\xfe\x00"])
def test_another_layout_is_told_with_its_remedy(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other.csv"
    file.write_bytes(content)
    with pytest.raises(Failure, match="UCI Online Retail"):
        reading.load(file)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cannot be read"):
        reading.load(tmp_path / "none.csv")


def test_every_made_up_address_is_one_that_capture_takes() -> None:
    from capture import bodies
    from capture.addresses import faults

    for place in places.PLACES.values():
        address = bodies.Address.model_validate(place.address("A. Buyer"))
        assert not faults(address.country_code, address.postal_code, address.region_code), place


@pytest.mark.skipif(not MONTH.exists(), reason="no month of real invoices beside this checkout")
def test_the_month_of_real_invoices_adds_up() -> None:
    found = reading.sort(reading.load(MONTH)[0])
    assert (found.rows, found.invoices_found) == (42_481, 2_025)
    assert found.taken_rows + sum(found.refused_rows.values()) == found.rows
    assert len(found.invoices) + sum(found.refused_invoices.values()) == found.invoices_found
    assert found.refused_rows["credit_note"] == 728
    assert "unreadable" not in found.refused_rows
    assert "unknown_country" not in found.refused_rows
