"""Words for messages: Jinja2 templates by language, as text and HTML. Pure but for reading them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from babel.numbers import format_currency, get_currency_precision
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

LANGUAGES = ("en", "de")


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
    """An amount as people of that locale write it."""
    exponent = get_currency_precision(currency)
    return format_currency(amount_minor / 10**exponent, currency, locale=locale.replace("-", "_"))


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
