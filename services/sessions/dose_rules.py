"""What may be taken in a dosing session: the prescription and nothing beyond it (DOMAIN 4).

Neither therapist nor patient changes a dose, so every finding here is a stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.core.clock import in_minutes
from services.core.errors import InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import Rule, declare
from services.prescribing.routes import Route, setting_of

_SOURCE: Final = "DOMAIN 4"


def _by_prescription(rule_id: str, sentence: str) -> Rule:
    return declare(rule_id, Severity.STOP, _SOURCE, sentence, fixed="the signed prescription says how much")


def _by_programme(rule_id: str, sentence: str, setting: str) -> Rule:
    return declare(rule_id, Severity.STOP, _SOURCE, sentence, setting=setting)


DOSE_OVER_CAP: Final = _by_prescription(
    "sessions.dose_over_cap", "With this the session would take more than is prescribed for one session."
)
DOSE_OVER_PRESCRIPTION: Final = _by_prescription(
    "sessions.dose_over_prescription", "This is more than the prescribed dose."
)
CLINIC_ORDER_USED_UP: Final = _by_prescription(
    "sessions.clinic_order_used_up",
    "As many sessions as this order covers were held on it: a prescriber signs a new one first.",
)
DOSE_AFTER_BOOSTER: Final = _by_prescription("sessions.dose_after_booster", "After the booster nothing more is taken.")
BOOSTER_NOT_PRESCRIBED: Final = _by_prescription("sessions.booster_not_prescribed", "The prescription has no booster.")
BOOSTER_OVER_PRESCRIPTION: Final = _by_prescription(
    "sessions.booster_over_prescription", "This is more than the prescribed booster."
)
PRESCRIPTION_CHANGED: Final = _by_prescription(
    "sessions.prescription_changed",
    "Another prescription came into force since this session began; take nothing more today.",
)
STOCK_SHORT: Final = declare(
    "sessions.stock_short",
    Severity.STOP,
    "DOMAIN 4, DOMAIN 8",
    "By the records so much is not at home; count what is there, and ask the pharmacy.",
    fixed="what was received and not used up",
)
DOSE_OUT_OF_ORDER: Final = declare(
    "sessions.dose_out_of_order",
    Severity.STOP,
    _SOURCE,
    "This lies before a dose already recorded.",
    fixed="the order of what happened",
)
CHECK_OUT_OF_TIME: Final = declare(
    "sessions.check_out_of_time",
    Severity.STOP,
    _SOURCE,
    "A check lies between the first dose and now.",
    fixed="the order of what happened",
)
INFUSION_NOT_RUNNING: Final = declare(
    "sessions.infusion_not_running",
    Severity.STOP,
    "DOMAIN 1",
    "There is no infusion that could end.",
    fixed="a state of the infusion",
)
INFUSION_OUT_OF_TIME: Final = declare(
    "sessions.infusion_out_of_time",
    Severity.STOP,
    "DOMAIN 1",
    "An infusion ends between its start and now.",
    fixed="the order of what happened",
)
INFUSION_OVER_DOSE: Final = _by_prescription(
    "sessions.infusion_over_dose", "More than was begun cannot have been given."
)
BOOSTER_TAKEN_ALREADY: Final = _by_programme(
    "sessions.booster_taken_already", "Boosters in a session: {value} at most.", "sessions.boosters_at_most"
)
BOOSTER_BEFORE_DOSE: Final = _by_programme(
    "sessions.booster_before_dose", "A booster follows a dose.", "sessions.booster_after_minutes"
)
BOOSTER_TOO_SOON: Final = _by_programme(
    "sessions.booster_too_soon",
    "A booster comes {value} minutes after the first dose at the earliest.",
    "sessions.booster_after_minutes",
)
FIRST_SESSION_OVER_LIMIT: Final = _by_programme(
    "sessions.first_session_over_limit",
    "The first session takes half of the dose and {value} mg at most.",
    "prescribing.first_session_at_most_mg",
)
DOSE_STEP_OVER_LIMIT: Final = _by_programme(
    "sessions.dose_step_over_limit",
    "From one session to the next the dose rises by {value} mg at most.",
    "prescribing.step_at_most_mg",
)


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
    included. ``last_session_mg`` is the dose of the session before, without its booster. Both count sessions by the
    same ``route`` only: what is usual under the tongue says nothing about a vein.
    """

    dose_mg: int
    booster_mg: int = 0
    first_session_mg: int | None = None
    last_session_mg: int | None = None
    route: Route = Route.SUBLINGUAL

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
        findings.append(DOSE_OVER_CAP.finding(total_mg=total, cap_mg=plan.cap_mg))
    if not new.is_booster:
        findings += _step_findings(plan, taken, new, programme)
    return findings


def _main_findings(plan: DosePlan, taken: Sequence[DoseTaken], new: DoseTaken) -> list[Finding]:
    total = sum(dose.mg for dose in taken if not dose.is_booster) + new.mg
    findings = []
    if total > plan.dose_mg:
        findings.append(DOSE_OVER_PRESCRIPTION.finding(total_mg=total, dose_mg=plan.dose_mg))
    if any(dose.is_booster for dose in taken):
        findings.append(DOSE_AFTER_BOOSTER.finding(boosters=sum(dose.is_booster for dose in taken)))
    return findings


def _booster_findings(
    plan: DosePlan, taken: Sequence[DoseTaken], new: DoseTaken, programme: Programme
) -> list[Finding]:
    findings = []
    if plan.booster_mg == 0:
        findings.append(BOOSTER_NOT_PRESCRIBED.finding(mg=new.mg, booster_mg=0))
    elif new.mg > plan.booster_mg:
        findings.append(BOOSTER_OVER_PRESCRIPTION.finding(mg=new.mg, booster_mg=plan.booster_mg))
    boosters = sum(dose.is_booster for dose in taken)
    if boosters >= programme.whole("sessions.boosters_at_most"):
        findings.append(BOOSTER_TAKEN_ALREADY.finding(programme, boosters=boosters))
    doses = [dose.at for dose in taken if not dose.is_booster]
    if not doses:
        findings.append(BOOSTER_BEFORE_DOSE.finding(programme, doses=0))
    elif new.at - min(doses) < timedelta(minutes=programme.number("sessions.booster_after_minutes")):
        findings.append(BOOSTER_TOO_SOON.finding(programme, minutes_after=in_minutes(new.at - min(doses))))
    return findings


def _first_session_findings(plan: DosePlan, programme: Programme) -> list[Finding]:
    """The first session's own number is checked again here: a later change of the prescription must not lift it."""
    first, part = plan.first_session_mg, programme.number("prescribing.first_session_part_of_dose")
    setting = setting_of(plan.route, "first_session_at_most_mg", programme)
    if first is None or first <= min(plan.dose_mg * part, programme.number(setting)):
        return []
    return [FIRST_SESSION_OVER_LIMIT.finding(programme, setting=setting, first_session_mg=first)]


def _step_findings(plan: DosePlan, taken: Sequence[DoseTaken], new: DoseTaken, programme: Programme) -> list[Finding]:
    total = sum(dose.mg for dose in taken if not dose.is_booster) + new.mg
    setting = setting_of(plan.route, "step_at_most_mg", programme)
    if plan.last_session_mg is None or total - plan.last_session_mg <= programme.number(setting):
        return []
    return [DOSE_STEP_OVER_LIMIT.finding(programme, setting=setting, total_mg=total, before_mg=plan.last_session_mg)]
