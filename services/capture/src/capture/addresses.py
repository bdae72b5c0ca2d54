"""What an address must have, country by country. Deliverability is the carrier's to say.

Postal code patterns after the Unicode CLDR postal code data (release 26, the last to carry it).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """`postal_code` None: the country has none, or does not insist on it."""

    postal_code: str | None = None
    example: str = ""
    region_required: bool = False


_RULES: Mapping[str, Rule] = {
    "AT": Rule(r"\d{4}", "1010"),
    "AU": Rule(r"\d{4}", "2000", region_required=True),
    "BE": Rule(r"\d{4}", "1000"),
    "BR": Rule(r"\d{5}-?\d{3}", "01310-100", region_required=True),
    "CA": Rule(r"[A-Za-z]\d[A-Za-z] ?\d[A-Za-z]\d", "K1A 0B1", region_required=True),
    "CH": Rule(r"\d{4}", "8001"),
    "CY": Rule(r"\d{4}", "1010"),
    "CZ": Rule(r"\d{3} ?\d{2}", "110 00"),
    "DE": Rule(r"\d{5}", "10115"),
    "DK": Rule(r"\d{4}", "1050"),
    "ES": Rule(r"\d{5}", "28001"),
    "FI": Rule(r"\d{5}", "00100"),
    "FR": Rule(r"\d{5}", "75001"),
    "GB": Rule(
        r"(GIR ?0AA|[A-Za-z]{1,2}\d[A-Za-z\d]? ?\d[A-Za-z]{2})",
        "N1 9GU",
    ),
    "GR": Rule(r"\d{3} ?\d{2}", "104 31"),
    "IL": Rule(r"\d{5}(\d{2})?", "9414219"),
    "IS": Rule(r"\d{3}", "101"),
    "IT": Rule(r"\d{5}", "00118"),
    "JP": Rule(r"\d{3}-?\d{4}", "100-0001", region_required=True),
    "LT": Rule(r"(LT-)?\d{5}", "01100"),
    "NL": Rule(r"\d{4} ?[A-Za-z]{2}", "1012 AB"),
    "NO": Rule(r"\d{4}", "0150"),
    "PL": Rule(r"\d{2}-\d{3}", "00-001"),
    "PT": Rule(r"\d{4}-\d{3}", "1000-001"),
    "SE": Rule(r"\d{3} ?\d{2}", "111 20"),
    "SG": Rule(r"\d{6}", "018956"),
    "US": Rule(r"\d{5}(-\d{4})?", "94103", region_required=True),
}

_ANY = Rule()


def faults(
    country_code: str, postal_code: str | None, region_code: str | None
) -> list[tuple[str, str]]:
    """What is wrong with an address, as (field, what to do); empty when nothing is."""
    rule = _RULES.get(country_code, _ANY)
    found = []
    # ASCII: \d is 0 to 9, which carriers print and sort by, and no digit of another script.
    if rule.postal_code is not None and not re.fullmatch(
        rule.postal_code, postal_code or "", re.ASCII
    ):
        say = "is missing" if not postal_code else f"is not one of {country_code}"
        found.append(("postal_code", f"The postal code {say}; write it like {rule.example}."))
    if rule.region_required and not region_code:
        found.append(
            ("region_code", f"Addresses in {country_code} need a region, such as a state.")
        )
    return found
