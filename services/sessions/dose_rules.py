"""What may be taken in a dosing session: the prescription and nothing beyond it (DOMAIN 4).

Neither therapist nor patient changes a dose, so every finding here is a stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.core.errors import InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseTaken:
    """Something taken: milligrams, when (aware), and whether it was the booster. A dose comes in parts, two halves."""

    mg: int
    at: datetime
    is_booster: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DosePlan:
    """What the prescription allows in this session.

    ``first_session_mg`` is set in the patient's very first session only: then it is all that may be taken, booster
    included. ``last_session_mg`` is the dose of the session before, without its booster.
    """

    dose_mg: int
    booster_mg: int = 0
    first_session_mg: int | None = None
    last_session_mg: int | None = None

    @property
    def cap_mg(self) -> int:
        """The most for the whole session, booster included."""
        whole = self.dose_mg + self.booster_mg
        return whole if self.first_session_mg is None else min(whole, self.first_session_mg)


def dose_findings(plan: DosePlan, taken: Sequence[DoseTaken], new: DoseTaken, programme: Programme) -> list[Finding]:
    """Why ``new`` may not be taken after what was ``taken`` in this session; empty when it may.

    Raises ``InvalidInput`` on ``mg`` when it is not more than 0, on ``at`` when it lies before something already taken.
    """
    if new.mg < 1:
        raise InvalidInput("A dose is at least 1 mg.", field="mg")
    if any(new.at < earlier.at for earlier in taken):
        raise InvalidInput("This lies before a dose already recorded.", field="at")
    findings = _booster_findings(plan, taken, new, programme) if new.is_booster else _main_findings(plan, taken, new)
    findings += _first_session_findings(plan, programme)
    total = sum(dose.mg for dose in taken) + new.mg
    if total > plan.cap_mg:
        sentence = "With this the session would take more than is prescribed for one session."
        findings.append(_stop("dose_over_cap", sentence, total_mg=total, cap_mg=plan.cap_mg))
    if not new.is_booster:
        findings += _step_findings(plan, taken, new, programme)
    return findings


def _main_findings(plan: DosePlan, taken: Sequence[DoseTaken], new: DoseTaken) -> list[Finding]:
    total = sum(dose.mg for dose in taken if not dose.is_booster) + new.mg
    findings = []
    if total > plan.dose_mg:
        sentence = "This is more than the prescribed dose."
        findings.append(_stop("dose_over_prescription", sentence, total_mg=total, dose_mg=plan.dose_mg))
    if any(dose.is_booster for dose in taken):
        findings.append(_stop("dose_after_booster", "After the booster nothing more is taken."))
    return findings


def _booster_findings(
    plan: DosePlan, taken: Sequence[DoseTaken], new: DoseTaken, programme: Programme
) -> list[Finding]:
    findings = []
    if plan.booster_mg == 0:
        findings.append(_stop("booster_not_prescribed", "The prescription has no booster."))
    elif new.mg > plan.booster_mg:
        sentence = "This is more than the prescribed booster."
        findings.append(_stop("booster_over_prescription", sentence, mg=new.mg, booster_mg=plan.booster_mg))
    setting = "sessions.boosters_at_most"
    if sum(dose.is_booster for dose in taken) >= programme.whole(setting):
        findings.append(_stop("booster_taken_already", "There is one booster in a session.", setting, programme))
    doses = [dose.at for dose in taken if not dose.is_booster]
    setting = "sessions.booster_after_minutes"
    if not doses:
        findings.append(_stop("booster_before_dose", "A booster follows a dose.", setting, programme))
    elif new.at - min(doses) < timedelta(minutes=programme.number(setting)):
        sentence = f"A booster comes {programme.whole(setting)} minutes after the first dose at the earliest."
        findings.append(_stop("booster_too_soon", sentence, setting, programme))
    return findings


def _first_session_findings(plan: DosePlan, programme: Programme) -> list[Finding]:
    """The first session's own number is checked again here: a later change of the prescription must not lift it."""
    first, part = plan.first_session_mg, programme.number("prescribing.first_session_part_of_dose")
    setting = "prescribing.first_session_at_most_mg"
    if first is None or first <= min(plan.dose_mg * part, programme.number(setting)):
        return []
    sentence = f"The first session takes half of the dose and {programme.whole(setting)} mg at most."
    return [_stop("first_session_over_limit", sentence, setting, programme, first_session_mg=first)]


def _step_findings(plan: DosePlan, taken: Sequence[DoseTaken], new: DoseTaken, programme: Programme) -> list[Finding]:
    setting = "prescribing.step_at_most_mg"
    total = sum(dose.mg for dose in taken if not dose.is_booster) + new.mg
    if plan.last_session_mg is None or total - plan.last_session_mg <= programme.number(setting):
        return []
    sentence = f"From one session to the next the dose rises by {programme.whole(setting)} mg at most."
    return [_stop("dose_step_over_limit", sentence, setting, programme, total_mg=total, before_mg=plan.last_session_mg)]


def _stop(
    name: str, sentence: str, setting: str | None = None, programme: Programme | None = None, **inputs: Any
) -> Finding:
    value = programme.value(setting) if programme and setting else None
    return Finding(f"sessions.{name}", Severity.STOP, "DOMAIN 4", sentence, setting, value, inputs)
