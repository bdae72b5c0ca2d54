"""Card numbers, which may be nowhere (I14; PCI DSS 4.0.1, requirement 3.3): told apart from text.

In a code (a SKU, a shop's own number, a key) only what has a brand's first digits and length is
one: other long numbers, GTINs above all, are goods. In free text every number is suspected that
has the check digit.
"""

import re
from collections.abc import Iterator

_LONG = re.compile(r"\d[ -]?(?:\d[ -]?){11,17}\d")
_WRITTEN = re.compile(
    r"(?<![A-Za-z0-9])\d{13,19}(?![A-Za-z0-9])"
    r"|(?<![\w-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5})(?![\w-])"
)
_BRANDS = re.compile(
    r"4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d{2}|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}|6(?:011|4[4-9]\d|5\d{2})\d{12,15}"
)
REFUSED = "This looks like a card number. Send the gateway's token, never a card."


def in_code(text: str) -> bool:
    """Whether a code, as machines make them, holds a card number as people or machines write it."""
    written = (re.sub(r"\D", "", match.group()) for match in _WRITTEN.finditer(text))
    return any(_BRANDS.fullmatch(digits) and _is_checked(digits) for digits in written)


def in_text(text: str) -> bool:
    """Whether text that people wrote holds 13 to 19 digits with a check digit."""
    return any(map(_is_checked, _runs(text)))


def free_text(text: str) -> str:
    """The text, for a validator.

    Raises:
        ValueError: it holds what looks like a card number.
    """
    if in_text(text) or in_code(text):
        raise ValueError(REFUSED)
    return text


def _runs(text: str) -> Iterator[str]:
    for match in _LONG.finditer(text):
        yield re.sub(r"\D", "", match.group())


def _is_checked(digits: str) -> bool:
    """The Luhn check (ISO/IEC 7812-1, annex B); not of one digit over and over."""
    values = [int(digit) for digit in reversed(digits)]
    doubled = [d if at % 2 == 0 else sum(divmod(2 * d, 10)) for at, d in enumerate(values)]
    return sum(doubled) % 10 == 0 and len(set(digits)) > 1
