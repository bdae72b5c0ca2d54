"""Where a file's countries are, and an address there that a carrier would take. All made up."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A town that stands for its country; its postal code has the form that is used there."""

    country_code: str
    city: str
    postal_code: str | None = None
    region_code: str | None = None

    def address(self, name: str) -> dict[str, str]:
        found = {
            "name": name,
            "line1": "1 High Street",
            "city": self.city,
            "postal_code": self.postal_code,
            "region_code": self.region_code,
            "country_code": self.country_code,
        }
        return {field: text for field, text in found.items() if text is not None}


PLACES: Mapping[str, Place] = {
    "Australia": Place("AU", "Sydney", "2000", "NSW"),
    "Austria": Place("AT", "Wien", "1010"),
    "Bahrain": Place("BH", "Manama", "317"),
    "Belgium": Place("BE", "Brussels", "1000"),
    "Brazil": Place("BR", "São Paulo", "01310-100", "SP"),
    "Canada": Place("CA", "Ottawa", "K1A 0B1", "ON"),
    "Channel Islands": Place("JE", "St Helier", "JE2 3QA"),
    "Cyprus": Place("CY", "Nicosia", "1010"),
    "Czech Republic": Place("CZ", "Praha", "110 00"),
    "Denmark": Place("DK", "København", "1050"),
    "EIRE": Place("IE", "Dublin", "D02 X285"),
    "Finland": Place("FI", "Helsinki", "00100"),
    "France": Place("FR", "Paris", "75001"),
    "Germany": Place("DE", "Berlin", "10115"),
    "Greece": Place("GR", "Athens", "104 31"),
    "Hong Kong": Place("HK", "Hong Kong"),
    "Iceland": Place("IS", "Reykjavík", "101"),
    "Israel": Place("IL", "Jerusalem", "9414219"),
    "Italy": Place("IT", "Roma", "00118"),
    "Japan": Place("JP", "Chiyoda", "100-0001", "13"),
    "Lebanon": Place("LB", "Beirut", "2038 3054"),
    "Lithuania": Place("LT", "Vilnius", "01100"),
    "Malta": Place("MT", "Valletta", "VLT 1117"),
    "Netherlands": Place("NL", "Amsterdam", "1012 AB"),
    "Norway": Place("NO", "Oslo", "0150"),
    "Poland": Place("PL", "Warszawa", "00-001"),
    "Portugal": Place("PT", "Lisboa", "1000-001"),
    "RSA": Place("ZA", "Pretoria", "0002"),
    "Saudi Arabia": Place("SA", "Riyadh", "11564"),
    "Singapore": Place("SG", "Singapore", "018956"),
    "Spain": Place("ES", "Madrid", "28001"),
    "Sweden": Place("SE", "Stockholm", "111 20"),
    "Switzerland": Place("CH", "Zürich", "8001"),
    "USA": Place("US", "San Francisco", "94103", "CA"),
    "United Arab Emirates": Place("AE", "Dubai"),
    "United Kingdom": Place("GB", "London", "N1 9GU"),
}
"""By the names that the file uses. `Unspecified` and `European Community` are no countries."""
