"""What I14 looks for of a person, in which spellings, and what it takes for something else."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from waybill.audit import privacy
from waybill.audit.evidence import LogLine
from waybill.testing import lies

PERSON = {
    "name": "Ada Buyer",
    "company": "Acme Widgets Ltd",
    "line1": "1 High Street",
    "line2": "Flat Seven",
    "city": "Newcastle upon Tyne",
    "region_code": "England",
    "postal_code": "N1 9GU",
    "country_code": "GB",
    "email": "ada+x@example.com",
    "phone": "+442079460000",
    "locale": "en",
}
LOOKED_FOR = list(privacy.values_of(PERSON))


def said(text: str) -> Sequence[str]:
    logs = [LogLine("capture.log:1", text)]
    return privacy.i14_no_personal_data(replace(lies.CLEAN, personal=LOOKED_FOR, logs=logs)).said


@pytest.mark.parametrize(
    "text",
    [
        "c/o Acme Widgets Ltd",
        "acme widgets ltd refused",
        "ring at FLAT SEVEN",
        "no carrier goes to N1 9GU",
        "to ADA+X@EXAMPLE.COM",
        "GET /v1/preferences?email=ada%2Bx%40example.com",
        "GET /v1/preferences?email=ada%2bx%40example.com",
        "q=Ada+Buyer",
        "q=ADA%20BUYER",
        "1%20High%20Street",
        "to 442079460000",
        "to 00442079460000",
        "to %2B442079460000",
        '{"to": "+442079460000"}',
    ],
)
def test_a_person_is_found_as_people_and_programs_write_them(text: str) -> None:
    assert said(text) == ["capture.log:1 holds personal data"]


@pytest.mark.parametrize(
    "text",
    [
        "took 0.442079460000 s",
        "took 442079460000.5 ms",
        "id 1442079460000",
        "sku a442079460000",
        "to Newcastle upon Tyne",
        "flat 7, seven flats",
    ],
)
def test_what_is_of_nobody_is_not_taken_for_somebody(text: str) -> None:
    assert said(text) == []


def test_words_that_are_the_worlds_as_well_are_not_looked_for() -> None:
    assert set(LOOKED_FOR) == {
        *("Ada Buyer", "Acme Widgets Ltd", "1 High Street", "Flat Seven", "N1 9GU"),
        *("ada+x@example.com", "+442079460000"),
    }
    alone = {"company": "Payment", "line2": "Capture", "postal_code": "110 01", "city": "Reading"}
    assert list(privacy.values_of({**alone, "name": "Stripe", "phone": None})) == ["Stripe"]


def test_a_name_of_one_word_is_found_as_it_is_written_alone() -> None:
    def found(text: str) -> bool:
        logs = [LogLine("capture.log:1", text)]
        evidence = replace(lies.CLEAN, personal=["Customer"], logs=logs)
        return bool(privacy.i14_no_personal_data(evidence).said)

    assert found("to Customer")
    assert not found('{"view": "customer"}')
