"""May a patient go home after a dosing session, and when to measure before that (DOMAIN 4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from services.core.clock import in_minutes
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import Rule, declare
from services.prescribing.limits import PatientLimits
from services.sessions.vitals_rules import (
    SOURCE,
    START_DIASTOLIC_BELOW,
    START_SYSTOLIC_BELOW,
    Reading,
    StartLimits,
    emergency_findings,
    out_of_range_findings,
    start_limits,
)

_PRESSURES: Final = frozenset({START_SYSTOLIC_BELOW.id, START_DIASTOLIC_BELOW.id})


def _condition(rule_id: str, sentence: str) -> Rule:
    return declare(rule_id, Severity.STOP, SOURCE, sentence, fixed="a yes or no")


TOO_SOON: Final = declare(
    "vitals.discharge_too_soon",
    Severity.STOP,
    "DOMAIN 1, DOMAIN 4",
    "Observe for {value} minutes after the last dose.",
    setting="vitals.discharge.after_last_dose_minutes",
)
NO_READING: Final = _condition("vitals.discharge_no_reading", "Nothing was measured after the last dose.")
READING_OLD: Final = declare(
    "vitals.discharge_reading_old",
    Severity.STOP,
    SOURCE,
    "The last reading is older than {value} minutes; measure again.",
    setting="vitals.discharge.reading_valid_minutes",
)
NOT_ORIENTED: Final = _condition("vitals.discharge_not_oriented", "The patient is not oriented.")
NOT_WALKING: Final = _condition("vitals.discharge_not_walking", "The patient does not walk unaided.")
VOMITING: Final = _condition("vitals.discharge_vomiting", "The patient is still vomiting.")
NO_ESCORT: Final = _condition("vitals.discharge_no_escort", "The escort is not present.")
_CONDITIONS: Final = {
    NOT_ORIENTED: ("oriented", True),
    NOT_WALKING: ("walks_unaided", True),
    VOMITING: ("vomiting", False),
    NO_ESCORT: ("escort_present", True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DischargeFacts:
    """What is known when a patient wants to go home. ``last_dose_at`` is ``None`` when nothing was taken."""

    at: datetime
    last_dose_at: datetime | None
    reading: Reading | None
    oriented: bool
    walks_unaided: bool
    vomiting: bool
    escort_present: bool


def discharge_from(last_dose_at: datetime, programme: Programme) -> datetime:
    """The earliest moment to go home after the last dose."""
    return last_dose_at + timedelta(minutes=programme.number("vitals.discharge.after_last_dose_minutes"))


def discharge_gate(facts: DischargeFacts, limits: PatientLimits, programme: Programme) -> list[Finding]:
    """Each condition for going home that is not met, as a stop; empty when the patient may go."""
    findings = []
    if facts.last_dose_at is not None and facts.at < discharge_from(facts.last_dose_at, programme):
        findings.append(TOO_SOON.finding(programme, minutes_since=in_minutes(facts.at - facts.last_dose_at)))
    findings += _last_reading_findings(facts, start_limits(limits, programme), programme)
    for rule, (name, wanted) in _CONDITIONS.items():
        found: dict[str, Any] = {name: getattr(facts, name)}
        if found[name] is not wanted:
            findings.append(rule.finding(**found))
    return findings


def _last_reading_findings(facts: DischargeFacts, limits: StartLimits, programme: Programme) -> list[Finding]:
    reading = facts.reading
    if reading is None or (facts.last_dose_at is not None and reading.taken_at <= facts.last_dose_at):
        return [NO_READING.finding(last_reading_at=None if reading is None else reading.taken_at.isoformat())]
    age = facts.at - reading.taken_at
    if age > timedelta(minutes=programme.number("vitals.discharge.reading_valid_minutes")):
        return [READING_OLD.finding(programme, minutes_ago=in_minutes(age))]
    high = [finding for finding in out_of_range_findings(reading, limits, programme) if finding.rule in _PRESSURES]
    return [*emergency_findings(reading, programme), *high]


def blood_pressure_due_at(dose_at: datetime, programme: Programme) -> datetime:
    """When to measure the blood pressure during a session."""
    return dose_at + timedelta(minutes=programme.number("vitals.monitor.after_dose_minutes"))


def next_check_at(last_check_at: datetime, programme: Programme) -> datetime:
    """When to look at the patient next."""
    return last_check_at + timedelta(minutes=programme.number("vitals.monitor.check_every_minutes"))
