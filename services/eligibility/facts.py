"""The facts of a case that the eligibility rules look at (DOMAIN 3), and nothing else about the person."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from services.core.errors import InvalidInput
from services.eligibility.medicine_names import NamedMedicine, by_class, read_names
from services.screening.history import Condition, Status, load_questions
from services.screening.instruments import RiskLevel

__all__ = ["BloodPressure", "Condition", "Diagnosis", "Facts", "RiskLevel", "Status"]


class Diagnosis(StrEnum):
    """The diagnoses of DOMAIN 3, and Avesta's further indications (DOMAIN 1).

    Which of them a programme treats is its setting ``eligibility.diagnoses``.
    """

    ANXIETY = "anxiety"
    OCD = "ocd"
    DEPRESSION = "depression"
    TRAUMA = "trauma"
    BIPOLAR = "bipolar"
    EATING = "eating"
    ADJUSTMENT = "adjustment"
    PRIMARY_ADDICTION = "primary_addiction"
    SOMATOFORM = "somatoform"
    CHRONIC_PAIN = "chronic_pain"
    SUICIDAL_IDEATION = "suicidal_ideation"


@dataclass(frozen=True, slots=True, repr=False)
class BloodPressure:
    """One reading in mmHg and when it was taken (aware, UTC)."""

    systolic: int
    diastolic: int
    taken_at: datetime


@dataclass(frozen=True, slots=True, repr=False)
class Facts:
    """One case on one day. None always means "not known", which no rule takes for "no". ``repr`` shows nothing.

    - ``on``: the day the case is judged; age is counted up to it.
    - ``state``: two-letter code of the patient's residence; ``states_of_operation``: those of the medical team.
    - ``diagnosis``: a code of ``Diagnosis`` or another that the programme lists.
    - ``has_therapist``: a therapist of record; ``will_have_therapist``: one is being arranged or matched.
    - ``has_sober_chaperone``: a chaperone is named; often not known yet at this stage.
    - ``blood_pressures``: all readings at hand in any order; the rules take the latest.
    - ``history``: status per condition; a condition left out, or ``unknown``, is not answered.
    - ``contraception_stated``: the contraception statement is on record.
    - ``remission_months``: full months in remission of a substance use disorder.
    - ``medicines``: names as given, an empty tuple when the patient takes none, None when not asked.
    - ``phq9``, ``gad7``, ``dast10``: totals, None when not taken or unscorable; ``cssrs``: the latest level.

    Raises ``InvalidInput`` for a status that a condition cannot have.
    """

    on: date
    birth_date: date | None = None
    state: str | None = None
    states_of_operation: frozenset[str] = frozenset()
    diagnosis: str | None = None
    has_therapist: bool | None = None
    will_have_therapist: bool | None = None
    has_sober_chaperone: bool | None = None
    blood_pressures: tuple[BloodPressure, ...] = ()
    history: Mapping[Condition, Status] = field(default_factory=dict)
    contraception_stated: bool | None = None
    remission_months: int | None = None
    medicines: tuple[str, ...] | None = None
    phq9: int | None = None
    gad7: int | None = None
    cssrs: RiskLevel | None = None
    dast10: int | None = None
    audit_c_positive: bool | None = None
    mdq_positive: bool | None = None
    medicines_read: tuple[NamedMedicine, ...] = field(init=False, compare=False)
    medicines_by_class: Mapping[str, tuple[str, ...]] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        questions = load_questions()
        for condition, status in self.history.items():
            allowed = questions[condition].answers
            if status not in allowed:
                words = ", ".join(allowed)
                raise InvalidInput(f"The status must be one of {words}.", field=f"history.{condition.value}")
        read = read_names(self.medicines or ())
        object.__setattr__(self, "medicines_read", read)
        object.__setattr__(self, "medicines_by_class", by_class(read))

    @property
    def age(self) -> int | None:
        """Full years on the day of judgement; who was born on 29 February has a birthday on 1 March in other years."""
        if self.birth_date is None:
            return None
        before_birthday = (self.on.month, self.on.day) < (self.birth_date.month, self.birth_date.day)
        return self.on.year - self.birth_date.year - before_birthday

    def status(self, condition: Condition) -> Status | None:
        """The status of a condition, None when it is not answered."""
        status = self.history.get(condition, Status.UNKNOWN)
        return None if status is Status.UNKNOWN else status

    def as_dict(self) -> dict[str, Any]:
        """The facts as plain JSON types, for storing sealed beside a decision so that it can be replayed."""
        plain: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        return plain | {
            "on": self.on.isoformat(),
            "birth_date": self.birth_date and self.birth_date.isoformat(),
            "states_of_operation": sorted(self.states_of_operation),
            "blood_pressures": [[bp.systolic, bp.diastolic, bp.taken_at.isoformat()] for bp in self.blood_pressures],
            "history": {condition.value: status.value for condition, status in sorted(self.history.items())},
            "medicines": None if self.medicines is None else list(self.medicines),
            "cssrs": self.cssrs and self.cssrs.value,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Facts:
        """The facts that ``as_dict`` gave."""
        birth_date, medicines, cssrs = stored["birth_date"], stored["medicines"], stored["cssrs"]
        readings = stored["blood_pressures"]
        plain = dict(stored) | {
            "on": date.fromisoformat(stored["on"]),
            "birth_date": None if birth_date is None else date.fromisoformat(birth_date),
            "states_of_operation": frozenset(stored["states_of_operation"]),
            "blood_pressures": tuple(
                BloodPressure(high, low, datetime.fromisoformat(at)) for high, low, at in readings
            ),
            "history": {Condition(name): Status(status) for name, status in stored["history"].items()},
            "medicines": None if medicines is None else tuple(medicines),
            "cssrs": None if cssrs is None else RiskLevel(cssrs),
        }
        return cls(**plain)

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of the facts, hex: the hash of the inputs that a decision stores.

        Facts can be guessed and tried, so the digest is clinical data too: keep it sealed.
        """
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()
