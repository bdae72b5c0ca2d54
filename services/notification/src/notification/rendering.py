"""Words for messages: Jinja2 templates by language, as text and HTML. Pure but for reading them."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from babel import Locale, UnknownLocaleError
from babel.numbers import format_currency
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

LANGUAGES = ("en", "de")

_DIGITS_OF: Mapping[int, tuple[str, ...]] = {
    0: (
        *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"),
        *("RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"),
    ),
    3: ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"),
    4: ("CLF", "UYW"),
}
_DIGITS = {code: digits for digits, codes in _DIGITS_OF.items() for code in codes}
"""Digits of the minor unit where ISO 4217 says other than 2; the CLDR's own are for cash."""


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    html: str


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("notification", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def language(locale: str) -> str:
    """The language of ours that fits a locale best."""
    wanted = locale.partition("-")[0]
    return wanted if wanted in LANGUAGES else LANGUAGES[0]


def money(amount_minor: int, currency: str, locale: str) -> str:
    """An amount, to the minor unit, as readers of that message write it."""
    known = _locale(locale)
    digits = _DIGITS.get(currency, 2)
    pattern = known.currency_formats["standard"].pattern
    exact = pattern.replace("0.00", f"0.{'0' * digits}" if digits else "0")
    amount = Decimal(amount_minor).scaleb(-digits)
    return format_currency(amount, currency, exact, locale=known, currency_digits=False)


def _locale(locale: str) -> Locale:
    """The reader's own locale where the message is in its language, else the message's."""
    ours = language(locale)
    try:
        known = Locale.parse(locale, sep="-")
    except (UnknownLocaleError, ValueError):
        return Locale.parse(ours)
    return known if known.language == ours else Locale.parse(ours)


def render(template: str, locale: str, values: Mapping[str, object]) -> Rendered:
    """A message in the language of its reader. The text's first line is the subject."""
    folder = language(locale)
    environment = _environment()
    text = environment.get_template(f"{folder}/{template}.txt").render(values)
    subject, _, body = text.partition("\n")
    page = environment.get_template("page.html").render(
        language=folder,
        subject=subject,
        paragraphs=[part.splitlines() for part in body.strip().split("\n\n")],
        **values,
    )
    return Rendered(subject.strip(), body.strip() + "\n", page)
