"""What one field of an order may say: codes, phones, e-mail addresses, and never a card.

Each check answers the text, or raises ValueError with what to do.
"""

import re

import phonenumbers
import pycountry

from waybill_runtime import cards
from waybill_runtime.http.text import printable

_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
"""What notification can write to (WHATWG HTML, section 4.10.5.1.5), on a host with a domain."""
_SOMEBODYS = re.compile(r"[^@\s]@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
"""What is in a text that holds an e-mail address, and in few that hold none."""
_PHONE = re.compile(r"\+[0-9 ().-]+")
"""What a phone number is written in: no letters, and no digits of other scripts."""

METHODS = ("card",)
"""How we take money."""

_UNIONS = ("XAF", "XCD", "XCG", "XOF", "XPF")
"""Currencies that several countries share. Other X codes are no tender: metals, funds, tests."""


def currency(code: str) -> str:
    if pycountry.currencies.get(alpha_3=code) is None:
        raise ValueError(f"{code!r} is no currency of ISO 4217, such as GBP.")
    if code.startswith("X") and code not in _UNIONS:
        raise ValueError(f"Nobody pays with {code!r}. Send a currency of a country, such as GBP.")
    return code


def method(name: str) -> str:
    if name not in METHODS:
        raise ValueError(f"We take no {name!r}. Send one of: {', '.join(METHODS)}.")
    return name


def country(code: str) -> str:
    if pycountry.countries.get(alpha_2=code) is None:
        raise ValueError(f"{code!r} is no country of ISO 3166-1 alpha-2, such as GB.")
    return code


def phone(number: str) -> str:
    try:
        valid = phonenumbers.is_possible_number(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        valid = False
    if not valid or not _PHONE.fullmatch(number):
        raise ValueError("Write the phone number in E.164, such as +442079460000.")
    return number


def email(address: str) -> str:
    if not _EMAIL.fullmatch(address):
        raise ValueError(
            "We can send no mail there. Send one address of ASCII letters, digits and "
            ".!#$%&'*+/=?^_`{|}~-, such as buyer@example.com; a domain in its form with xn--."
        )
    return address


def holds_email(text: str) -> bool:
    return _SOMEBODYS.search(text) is not None


def clean(text: str) -> str:
    return cards.free_text(printable(text))
