"""What a prescription says: the part of it that somebody drafts, changes, reviews and signs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from services.core.errors import InvalidInput
from services.prescribing.limits import NO_LIMITS, PatientLimits
from services.prescribing.models import Prescription
from services.prescribing.routes import Route
from services.vault.boxes import Box

LONGEST_DIRECTIONS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content of a prescription. It is health data: keep it sealed, and never put it into a log or a sentence.

    Milligrams are per session, ``dose_mg`` in two halves and ``booster_mg`` (0 for none) on top.
    ``first_session_dose_mg`` is all that may be taken in the patient's very first session. ``quantity_units`` and
    ``sessions_supply`` are those of one fill. ``limits`` are this patient's own vitals limits and session interval.
    ``in_person_evaluated_on`` or ``telemedicine_exception`` (a name under ``prescribing.telemedicine_exceptions``) is
    what 21 USC 829(e) asks for once its flexibilities end.
    """

    drug: str
    route: Route = Route.SUBLINGUAL
    strength_mg: int
    form: str
    quantity_units: int
    sessions_supply: int
    dose_mg: int
    booster_mg: int = 0
    first_session_dose_mg: int | None = None
    directions: str
    refills: int = 0
    limits: PatientLimits = NO_LIMITS
    weight_kg: float | None = None
    in_person_evaluated_on: date | None = None
    telemedicine_exception: str | None = None

    def __repr__(self) -> str:
        return "<prescription content>"

    @property
    def session_mg(self) -> int:
        """The most a patient takes in one session: dose and booster."""
        return self.dose_mg + self.booster_mg

    def checked(self) -> Content:
        """The content with its texts trimmed. Raises ``InvalidInput`` naming the field that is not possible."""
        directions = self.directions.strip()
        if len(directions) > LONGEST_DIRECTIONS:
            raise InvalidInput(f"Directions have {LONGEST_DIRECTIONS} characters at most.", field="directions")
        return replace(self, drug=" ".join(self.drug.split()), directions=directions)

    def changed(self, **changes: Any) -> Content:
        """The content with some fields changed. Raises ``InvalidInput`` for a name that no content has."""
        for name in changes.keys() - set(Content.__slots__):
            raise InvalidInput("A prescription has no such field.", field=name)
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """The content as plain JSON types, for sealing and signing."""
        # Not dataclasses.asdict, which copies deeply: this runs with every draft and every look at one.
        plain = {name: getattr(self, name) for name in Content.__slots__}
        plain["limits"] = {name: getattr(self.limits, name) for name in PatientLimits.__slots__}
        day = self.in_person_evaluated_on
        plain["route"] = self.route.value
        return {**plain, "in_person_evaluated_on": None if day is None else day.isoformat()}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Content:
        """The content that ``as_dict`` wrote. Before routes were told apart everything was sublingual."""
        day = document["in_person_evaluated_on"]
        return cls(
            **{
                **document,
                "route": Route(document.get("route", Route.SUBLINGUAL)),
                "limits": PatientLimits(**document["limits"]),
                "in_person_evaluated_on": None if day is None else date.fromisoformat(day),
            }
        )


def content_of(own: Box, row: Prescription) -> Content:
    """The content of a prescription, opened."""
    return Content.from_dict(own.open(row, "content").reveal())
