"""Limits that a prescriber sets for one patient along with a prescription, and how far they may go (DOMAIN 4).

They stand here and not under sessions because the prescriber sets them with the prescription; the session gates read
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare

SYSTOLIC_LIMIT_TOO_HIGH: Final = declare(
    "prescribing.systolic_limit_too_high",
    Severity.STOP,
    "DOMAIN 4",
    "A prescriber may raise the systolic limit to {value} mmHg at most.",
    setting="vitals.start.systolic_prescriber_up_to",
)
DIASTOLIC_LIMIT_TOO_HIGH: Final = declare(
    "prescribing.diastolic_limit_too_high",
    Severity.STOP,
    "DOMAIN 4",
    "A prescriber may raise the diastolic limit to {value} mmHg at most.",
    setting="vitals.start.diastolic_prescriber_up_to",
)
INTERVAL_TOO_SHORT: Final = declare(
    "prescribing.interval_too_short",
    Severity.STOP,
    "DOMAIN 4",
    "A prescriber may lower the interval between dosing sessions to {value} days.",
    setting="sessions.interval_least_days",
)


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
    for rule, given in (
        (SYSTOLIC_LIMIT_TOO_HIGH, limits.systolic_below),
        (DIASTOLIC_LIMIT_TOO_HIGH, limits.diastolic_below),
    ):
        if given is not None and given > programme.number(str(rule.setting)):
            findings.append(rule.finding(programme, given=given))
    days = limits.interval_days
    if days is not None and days < programme.whole("sessions.interval_least_days"):
        findings.append(INTERVAL_TOO_SHORT.finding(programme, given=days))
    return findings
