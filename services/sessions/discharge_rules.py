"""May a patient go home after a dosing session, and when to measure before that (DOMAIN 4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.prescribing.limits import PatientLimits
from services.sessions.vitals_rules import (
    SOURCE,
    Reading,
    StartLimits,
    emergency_findings,
    out_of_range_findings,
    start_limits,
)

_PRESSURES = frozenset({"vitals.start_systolic_below", "vitals.start_diastolic_below"})


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
    setting = "vitals.discharge.after_last_dose_minutes"
    if facts.last_dose_at is not None and facts.at < discharge_from(facts.last_dose_at, programme):
        sentence = f"Observe for {programme.whole(setting)} minutes after the last dose."
        findings.append(_finding("discharge_too_soon", sentence, programme, setting))
    findings += _last_reading_findings(facts, start_limits(limits, programme), programme)
    for rule, met, sentence in (
        ("discharge_not_oriented", facts.oriented, "The patient is not oriented."),
        ("discharge_not_walking", facts.walks_unaided, "The patient does not walk unaided."),
        ("discharge_vomiting", not facts.vomiting, "The patient is still vomiting."),
        ("discharge_no_escort", facts.escort_present, "The escort is not present."),
    ):
        if not met:
            findings.append(Finding(f"vitals.{rule}", Severity.STOP, SOURCE, sentence))
    return findings


def _last_reading_findings(facts: DischargeFacts, limits: StartLimits, programme: Programme) -> list[Finding]:
    setting = "vitals.discharge.reading_valid_minutes"
    reading = facts.reading
    if reading is None or (facts.last_dose_at is not None and reading.taken_at <= facts.last_dose_at):
        sentence = "Nothing was measured after the last dose."
        return [Finding("vitals.discharge_no_reading", Severity.STOP, SOURCE, sentence)]
    if facts.at - reading.taken_at > timedelta(minutes=programme.number(setting)):
        sentence = f"The last reading is older than {programme.whole(setting)} minutes; measure again."
        return [_finding("discharge_reading_old", sentence, programme, setting)]
    high = [finding for finding in out_of_range_findings(reading, limits, programme) if finding.rule in _PRESSURES]
    return [*emergency_findings(reading, programme), *high]


def blood_pressure_due_at(dose_at: datetime, programme: Programme) -> datetime:
    """When to measure the blood pressure during a session."""
    return dose_at + timedelta(minutes=programme.number("vitals.monitor.after_dose_minutes"))


def next_check_at(last_check_at: datetime, programme: Programme) -> datetime:
    """When to look at the patient next."""
    return last_check_at + timedelta(minutes=programme.number("vitals.monitor.check_every_minutes"))


def _finding(rule: str, sentence: str, programme: Programme, setting: str) -> Finding:
    return Finding(f"vitals.{rule}", Severity.STOP, SOURCE, sentence, setting, programme.value(setting))
