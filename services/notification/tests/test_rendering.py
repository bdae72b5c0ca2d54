"""Words: every template in every language, whole, safe, and with money as people write it."""

from pathlib import Path
from typing import Any, get_args

import pytest

import notification
from notification import reactor, rendering
from waybill_events import capture

TEMPLATES = Path(notification.__file__).parent / "templates"
REASONS = (
    *get_args(capture.RejectionReason),
    *get_args(capture.ExpiryReason),
    *get_args(capture.CancellationReason),
    "a_reason_that_nobody_knows_yet",
)
MARKUP = "<b>&\"'</b>"


def values(**other: Any) -> dict[str, Any]:
    return {
        "name": "A. Buyer",
        "number": "536365",
        "amount": "£20.25",
        "lines": [("6", "White hanging heart t-light holder")],
        "details": {"reason": "out_of_stock", "carrier": "sandbox", "tracking_numbers": "SB1, SB2"},
        "tracking_url": "http://track.test/v1/track/secret",
        **other,
    }


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
@pytest.mark.parametrize("template", sorted(reactor.CHANNELS))
def test_every_template_renders_for_every_reason(template: str, locale: str, reason: str) -> None:
    details = {**values()["details"], "reason": reason}
    rendered = rendering.render(template, locale, values(details=details))
    assert "536365" in rendered.subject
    assert "\n" not in rendered.subject
    assert "A. Buyer" in rendered.text
    assert rendered.subject in rendered.html
    for text in (rendered.subject, rendered.text, rendered.html):
        assert "{{" not in text
        assert "{%" not in text
        assert reason not in text


@pytest.mark.parametrize(
    ("locale", "numbers", "says"),
    [
        ("en", "SB1", ("a parcel has left", "Tracking number: SB1")),
        ("en", "SB1, SB2", ("2 parcels have left", "Tracking numbers: SB1, SB2")),
        ("de", "SB1", ("ein Paket hat", "Sendungsnummer: SB1")),
        ("de", "SB1, SB2", ("2 Pakete haben", "Sendungsnummern: SB1, SB2")),
    ],
)
def test_one_parcel_and_several_are_each_told_as_people_say_it(
    locale: str, numbers: str, says: tuple[str, ...]
) -> None:
    details = {"carrier": "sandbox", "tracking_numbers": numbers}
    rendered = rendering.render("shipped", locale, values(details=details))
    for words in says:
        assert words in rendered.text
        assert words in rendered.html


@pytest.mark.parametrize(("locale", "parcel"), [("en", "parcel"), ("de", "Paket")])
def test_what_was_delivered_may_be_several_parcels(locale: str, parcel: str) -> None:
    assert parcel not in rendering.render("delivered", locale, values()).text


def test_both_languages_have_the_same_templates_and_no_others() -> None:
    for language in rendering.LANGUAGES:
        names = {path.stem for path in (TEMPLATES / language).glob("*.txt")}
        assert names == reactor.CHANNELS.keys()


@pytest.mark.parametrize("template", sorted(reactor.CHANNELS))
def test_html_escapes_whatever_people_are_called(template: str) -> None:
    evil = values(name=MARKUP, number=MARKUP, lines=[("1", MARKUP)], tracking_url=MARKUP)
    evil["details"] = {"reason": MARKUP, "carrier": MARKUP, "tracking_numbers": MARKUP}
    rendered = rendering.render(template, "en", evil)
    assert "<b>" not in rendered.html
    assert MARKUP in rendered.text


def test_a_link_cannot_leave_its_attribute() -> None:
    rendered = rendering.render("shipped", "en", values(tracking_url='" onclick="alert(1)'))
    assert 'href="" onclick' not in rendered.html


def test_a_value_that_is_missing_is_a_mistake_not_a_gap() -> None:
    with pytest.raises(Exception, match="name"):
        rendering.render("shipped", "en", {k: v for k, v in values().items() if k != "name"})


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("en", "en"),
        ("en-GB", "en"),
        ("de", "de"),
        ("de-CH", "de"),
        ("fr-FR", "en"),
        ("xx", "en"),
        ("", "en"),
    ],
)
def test_a_locale_that_we_lack_falls_back(locale: str, language: str) -> None:
    assert rendering.language(locale) == language
    assert f'lang="{language}"' in rendering.render("shipped", locale, values()).html
    assert "20" in rendering.money(2025, "GBP", locale)


@pytest.mark.parametrize(
    ("amount_minor", "currency", "locale", "written"),
    [
        (2025, "GBP", "en-GB", "£20.25"),
        (202500, "GBP", "en-GB", "£2,025.00"),
        (5, "EUR", "de-DE", "0,05\xa0€"),
        (1999, "EUR", "fr-FR", "€19.99"),
        (1999, "EUR", "xx", "€19.99"),
        (1999, "EUR", "de-ZZ", "19,99\xa0€"),
        (0, "CHF", "de-CH", "CHF\xa00.00"),
        (2025, "JPY", "en", "¥2,025"),
        (1234567, "KWD", "de-DE", "1.234,567\xa0KWD"),
        (202550, "RSD", "en", "RSD2,025.50"),
        (2025, "XYZ", "en", "XYZ20.25"),
        (999_999_999_999_999, "EUR", "en", "€9,999,999,999,999.99"),
    ],
)
def test_money_is_written_to_the_minor_unit(
    amount_minor: int, currency: str, locale: str, written: str
) -> None:
    assert rendering.money(amount_minor, currency, locale) == written
