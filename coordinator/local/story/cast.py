"""Who plays a part: the organisations, and the people with their passwords and authenticators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import pyotp

from coordinator.local.story.scripts import STATE, ZONE, Script
from services.core import clock
from services.people.second_factors import step_of

PASSWORD: Final = "saguaro lantern teapot"  # noqa: S105 - made up, and shown to whoever runs the demo

_IN_TUCSON: Final = {"city": "Tucson", "state": STATE, "zone": ZONE}
PRACTICE_ADDRESS: Final = {
    "street": "1500 Speedway Boulevard",
    "unit": "",
    "city": "Tucson",
    "state": STATE,
    "postal_code": "85719",
}
ORGANISATIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "operations": {
        "name": "Sonoran Coordination Desk",
        "short_name": "Care Desk",
        "phone": "+15205550100",
        "street": "20 Stone Avenue",
        "postal_code": "85701",
        **_IN_TUCSON,
    },
    "medical_team": {
        "name": "Meridian Remote Medical Group",
        "short_name": "Meridian",
        "phone": "+15205550101",
        "street": "310 Congress Street",
        "postal_code": "85701",
        "states_of_operation": [STATE, "NM"],
        **_IN_TUCSON,
    },
    "pharmacy": {
        "name": "Catalina Compounding Pharmacy",
        "short_name": "Catalina",
        "phone": "+15205550102",
        "street": "88 Oracle Road",
        "postal_code": "85705",
        **_IN_TUCSON,
    },
    "practice": {
        "name": "Rincon Practice",
        "short_name": "Rincon Practice",
        "phone": "+15205550103",
        "street": PRACTICE_ADDRESS["street"],
        "postal_code": PRACTICE_ADDRESS["postal_code"],
        **_IN_TUCSON,
    },
}


@dataclass
class Person:
    """Somebody with an account. ``token`` is the bearer token of the last sign-in, valid until ``expires_at``."""

    full_name: str
    role: str
    email: str
    mobile: str
    on_call: bool = False
    id: str = ""
    organisation_id: str = ""
    secret: str = field(default="", repr=False)
    token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    last_step: int = 0
    last_code: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """How texts name them."""
        return self.title

    @property
    def title(self) -> str:
        """How the story names them."""
        return f"{self.full_name} ({self.role.replace('_', ' ')})"

    def enrol(self, address: str) -> None:
        """Keep what the authenticator reads from its ``otpauth://`` address."""
        self.secret = pyotp.parse_uri(address).secret

    @property
    def has_fresh_code(self) -> bool:
        """Whether the authenticator shows a code that was not used yet."""
        return step_of(clock.now()) > self.last_step

    def code(self) -> str:
        """The code that the authenticator shows now."""
        now = clock.now()
        self.last_step, self.last_code = step_of(now), pyotp.TOTP(self.secret).at(now)
        return self.last_code


@dataclass
class Patient:
    """A patient as the story follows them. ``token`` comes from a link or a one-time code."""

    name: str
    mobile: str
    id: str = ""
    episode_id: str = ""
    screening_id: str = ""
    token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None

    @property
    def title(self) -> str:
        """How the story names them."""
        return f"{self.name} (patient)"


@dataclass
class Cast:
    """Everybody. ``staff`` is in the order in which sign-ins are shown; ``second`` is another therapist, if any."""

    therapist: Person
    prescriber: Person
    colleague: Person
    assistant: Person
    pharmacist: Person
    operator: Person
    second: Person | None = None
    organisations: dict[str, str] = field(default_factory=dict)

    @property
    def staff(self) -> list[Person]:
        """All with an account."""
        everybody = (
            self.therapist,
            self.second,
            self.prescriber,
            self.colleague,
            self.assistant,
            self.pharmacist,
            self.operator,
        )
        return [person for person in everybody if person is not None]


def cast_of(
    script: Script, *, domain: str = "example.org", exchange: str = "520555", two_therapists: bool = False
) -> Cast:
    """The people, before they have accounts: their addresses are of ``domain``, their numbers of ``exchange``."""

    def person(full_name: str, role: str, digits: str, *, on_call: bool = False) -> Person:
        first, last = full_name.lower().split()
        local = script.say(f"{first}.email", f"{first}.{last}")
        name = script.say(f"{first}.full_name", full_name)
        return Person(name, role, f"{local}@{domain}", f"+1{exchange}{digits}", on_call)

    return Cast(
        therapist=person("Thea Terrell", "therapist", "0111"),
        prescriber=person("Paula Prescott", "prescriber", "0112", on_call=True),
        colleague=person("Nadia Okafor", "prescriber", "0113"),
        assistant=person("Sam Staffer", "medical_staff", "0114"),
        pharmacist=person("Farah Marsh", "pharmacist", "0115"),
        operator=person("Odell Overton", "operations", "0116", on_call=True),
        second=person("Tomas Ekholm", "therapist", "0117") if two_therapists else None,
    )
