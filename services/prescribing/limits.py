"""Limits that a prescriber sets for one patient along with a prescription, and how far they may go (DOMAIN 4).

They stand here and not under sessions because the prescriber sets them with the prescription; the session gates read
them.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.core.findings import Finding, Severity
from services.core.programme import Programme


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientLimits:
    """One patient's own limits; ``None`` leaves the programme's default.

    Pressures in mmHg, a reading must be *below* them; heart rates in beats per minute and oxygen in per cent, a reading
    may equal them; ``interval_days`` between two dosing sessions.
    """

    systolic_below: int | None = None
    diastolic_below: int | None = None
    heart_rate_least: int | None = None
    heart_rate_most: int | None = None
    oxygen_least_percent: int | None = None
    interval_days: int | None = None


NO_LIMITS = PatientLimits()
"""A patient for whom every default holds."""


def limit_findings(limits: PatientLimits, programme: Programme) -> list[Finding]:
    """Which of a patient's limits go further than any prescriber may allow."""
    findings = []
    for name, given in (("systolic", limits.systolic_below), ("diastolic", limits.diastolic_below)):
        setting = f"vitals.start.{name}_prescriber_up_to"
        if given is not None and given > programme.number(setting):
            sentence = f"A prescriber may raise the {name} limit to {programme.whole(setting)} mmHg at most."
            findings.append(_stop(f"prescribing.{name}_limit_too_high", sentence, setting, programme, given))
    setting = "sessions.interval_least_days"
    if limits.interval_days is not None and limits.interval_days < programme.whole(setting):
        sentence = f"A prescriber may lower the interval between dosing sessions to {programme.whole(setting)} days."
        findings.append(_stop("prescribing.interval_too_short", sentence, setting, programme, limits.interval_days))
    return findings


def _stop(rule: str, sentence: str, setting: str, programme: Programme, given: int) -> Finding:
    return Finding(
        rule=rule,
        severity=Severity.STOP,
        source="DOMAIN 4",
        sentence=sentence,
        setting=setting,
        value=programme.value(setting),
        inputs={"given": given},
    )
