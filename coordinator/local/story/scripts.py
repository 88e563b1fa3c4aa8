"""What is said and who the patients are: every made-up name, number, address and free text of the story.

A script can be marked: a test lets ``mark`` put a word of its own into each personal field, and looks for those words
wherever they must not be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

Mark = Callable[[str, str], str]
"""Gives the text of a field (its name, then its text), changed or not."""

ZONE = "America/Phoenix"  # no daylight saving time: a day of the story always has 24 hours
STATE = "AZ"


def unmarked(field: str, text: str) -> str:
    """The text as it is."""
    return text


@dataclass(frozen=True)
class PatientScript:
    """A patient and why they are referred. ``mobile`` is in E.164."""

    full_name: str
    birth_date: str
    street: str
    unit: str
    city: str
    postal_code: str
    mobile: str
    email: str
    diagnosis: str
    reason: str

    @property
    def first_name(self) -> str:
        """What the story calls the patient."""
        return self.full_name.split()[0]

    @property
    def address(self) -> dict[str, Any]:
        """The home, as the API takes it."""
        return {
            "street": self.street,
            "unit": self.unit,
            "city": self.city,
            "state": STATE,
            "postal_code": self.postal_code,
        }

    def as_body(self) -> dict[str, Any]:
        """The patient, as a referral takes it."""
        return {
            "full_name": self.full_name,
            "birth_date": self.birth_date,
            "address": self.address,
            "mobile": self.mobile,
            "email": self.email,
            "zone": ZONE,
        }


@dataclass(frozen=True)
class Character:
    """A patient before marking. ``mobile`` is ten digits."""

    name: str
    full_name: str
    birth_date: str
    street: str
    mobile: str
    diagnosis: str
    reason: str


CHARACTERS: Final = (
    Character(
        "dana",
        "Dana Whitfield",
        "1984-03-19",
        "418 Saguaro Lane",
        "5205550142",
        "depression",
        "Two antidepressants and a year of weekly therapy brought little relief.",
    ),
    Character(
        "lee",
        "Lee Marchetti",
        "1991-11-02",
        "77 Ocotillo Court",
        "5205550163",
        "trauma",
        "Nightmares and avoidance after an accident; prefers not to be texted.",
    ),
    Character(
        "robin",
        "Robin Castellan",
        "1979-07-28",
        "2209 Palo Verde Drive",
        "5205550187",
        "anxiety",
        "Panic attacks several times a week in spite of treatment.",
    ),
)


class Script:
    """All of the story's data, each text passed through ``mark``. ``patients`` are by the names of ``characters``."""

    def __init__(self, mark: Mark = unmarked, characters: Sequence[Character] = CHARACTERS) -> None:
        self._mark = mark
        self.patients = {each.name: self._patient(each) for each in characters}

    def say(self, field: str, text: str) -> str:
        """A free text of the story."""
        return self._mark(field, text)

    def _patient(self, who: Character) -> PatientScript:
        local, _ = who.full_name.lower().split()
        return PatientScript(
            full_name=self._mark(f"{who.name}.full_name", who.full_name),
            birth_date=who.birth_date,
            street=self._mark(f"{who.name}.street", who.street),
            unit=self._mark(f"{who.name}.unit", "Apt 4"),
            city=self._mark(f"{who.name}.city", "Tucson"),
            postal_code="85711",
            mobile=f"+1{who.mobile}",
            email=self._mark(f"{who.name}.email", local) + "@example.net",
            diagnosis=who.diagnosis,
            reason=self._mark(f"{who.name}.reason", who.reason),
        )
