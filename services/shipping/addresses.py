"""Where a parcel may go: to the patient's home address of record and nowhere else (DOMAIN 5: ultimate user only).

Addresses are compared in a plain form, so that spelling, punctuation and abbreviations neither hide a clinic nor
refuse a home.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from services.core.findings import Finding, Severity
from services.core.rules import Rule, declare
from services.people.postal import Address

_ABBREVIATIONS = """
st street str saint|ave avenue av|rd road|dr drive|ln lane|blvd boulevard boul|ct court|pl place|sq square|cir circle|
ter terrace|trl trail|pkwy parkway pky|hwy highway|fwy freeway|expy expressway|aly alley|plz plaza|cres crescent|
xing crossing|hts heights|mt mount|ft fort|rte route rt|bldg building|fl floor|n north|s south|e east|w west|
ne northeast|nw northwest|se southeast|sw southwest|1st first|2nd second|3rd third|4th fourth|5th fifth|6th sixth|
7th seventh|8th eighth|9th ninth|10th tenth
"""
ABBREVIATIONS: Mapping[str, str] = MappingProxyType(
    {
        word: words.split()[0]
        for words in _ABBREVIATIONS.replace("\n", "").split("|")
        for word in words.split()
    }
)  # fmt: skip
"""Word → its short form, after USPS Publication 28, appendices B and C."""

UNIT_WORDS = frozenset({"#", "apt", "apartment", "ste", "suite", "unit", "rm", "room", "no", "number"})
"""What stands before a unit's number. They count as the same: Ste 4, Apt 4 and #4 are one door."""


_HOME = "The law lets nobody choose another address."
NOT_HOME = declare(
    "shipping.ship_to_not_home",
    Severity.STOP,
    "DOMAIN 5",
    "The parcel may only go to the patient's home address of record.",
    fixed=_HOME,
)
PRACTICE = declare(
    "shipping.ship_to_practice",
    Severity.STOP,
    "21 CFR 1306.04, DOMAIN 5",
    "This is the address of a practice or clinic; ketamine is dispensed to the patient only.",
    fixed=_HOME,
)
THERAPIST = declare(
    "shipping.ship_to_therapist",
    Severity.STOP,
    "21 CFR 1306.04, DOMAIN 5",
    "This is the address of a therapist; ketamine is dispensed to the patient only.",
    fixed=_HOME,
)
HOUSE_OF_PRACTICE = declare(
    "shipping.ship_to_house_of_practice",
    Severity.REVIEW,
    "DOMAIN 5",
    "This is the house of a practice or clinic, another unit: make sure the patient lives there.",
    fixed=_HOME,
)
HOUSE_OF_THERAPIST = declare(
    "shipping.ship_to_house_of_therapist",
    Severity.REVIEW,
    "DOMAIN 5",
    "This is the house of a therapist, another unit: make sure the patient lives there.",
    fixed=_HOME,
)


@dataclass(frozen=True, slots=True)
class PlainAddress:
    """An address in comparable form. Two are the same door when ``door`` is equal, the same house when ``house`` is."""

    zip5: str = field(repr=False)
    street: tuple[str, ...] = field(repr=False)
    unit: str = field(repr=False)

    @property
    def door(self) -> tuple[str, tuple[str, ...]]:
        """ZIP code, street and unit; a unit counts with and without its word before it."""
        return self.zip5, (*self.street, self.unit) if self.unit else self.street

    @property
    def house(self) -> tuple[str, tuple[str, ...]]:
        """ZIP code and street."""
        return self.zip5, self.street


def plain(address: Address) -> PlainAddress:
    """The comparable form: no case, accents or punctuation, short words, five digits of ZIP, the unit apart.

    City and state do not count: the ZIP code and the street say as much and are spelled in fewer ways.
    """
    street: list[str] = []
    unit: list[str] = []
    for part in re.split(r"[,;\n]", address.street):
        street_words, unit_words = _split_unit(_words(part))
        street += street_words
        unit += unit_words
    unit += [word for word in _words(address.unit) if word not in UNIT_WORDS]
    return PlainAddress(
        zip5=re.sub(r"[^0-9]", "", address.postal_code)[:5],
        street=tuple(ABBREVIATIONS.get(word, word) for word in street),
        unit="".join(unit),
    )


def ship_to_findings(
    address: Address,
    patient_address: Address | None,
    practice_addresses: Iterable[Address],
    therapist_addresses: Iterable[Address],
) -> list[Finding]:
    """Why a parcel may not go to ``address``; empty when it is the patient's home of record and nobody's workplace.

    ``practice_addresses`` are those of every practice, clinic, medical team and pharmacy known, not only the patient's
    own. A clinic's house without the clinic's own unit is refused where the address names no unit, else reviewed.
    """
    findings = []
    target = plain(address)
    if patient_address is None or target.door != plain(patient_address).door:
        findings.append(NOT_HOME.finding(is_home=False))
    for same_door, same_house, workplaces in (
        (PRACTICE, HOUSE_OF_PRACTICE, [plain(known) for known in practice_addresses]),
        (THERAPIST, HOUSE_OF_THERAPIST, [plain(known) for known in therapist_addresses]),
    ):
        finding = _workplace_finding(target, same_door, same_house, workplaces)
        if finding is not None:
            findings.append(finding)
    return findings


def _workplace_finding(
    target: PlainAddress, same_door: Rule, same_house: Rule, workplaces: list[PlainAddress]
) -> Finding | None:
    in_the_house = [workplace for workplace in workplaces if workplace.house == target.house]
    if any(workplace.door == target.door for workplace in workplaces) or (in_the_house and not target.unit):
        return same_door.finding(same="door")
    return same_house.finding(same="house") if in_the_house else None


def _split_unit(words: list[str]) -> tuple[list[str], list[str]]:
    """Street words and unit words of a part of an address line.

    A unit reaches to the end of its part (``12 Elm St Apt 4 B``), or to the house number where it comes first
    (``Suite 4 12 Elm St``).
    """
    start = next((place for place, word in enumerate(words) if word in UNIT_WORDS), len(words))
    end = len(words)
    if start == 0:
        named = next((place for place, word in enumerate(words) if word not in UNIT_WORDS), end)
        end = next((place for place in range(named + 1, end - 1) if words[place][0].isdigit()), end)
    return words[:start] + words[end:], [word for word in words[start:end] if word not in UNIT_WORDS]


def _words(text: str) -> list[str]:
    """The words of an address line, without accents, case and punctuation; ``#`` and ``Apt`` of ``Apt4`` split off."""
    letters = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.findall(r"#|(?:apt|ste|suite|unit|rm)(?=[0-9])|[^\W_]+", re.sub(r"['’.]", "", bare))
