"""Rules at the moment of signing: what must be on record and on the paper before two factors count (DOMAIN 5).

The prescriber's licence and DEA registration are judged by ``services.people.identifiers.licence_findings``; the draft
itself by ``services.prescribing.rules.draft_findings``. Run all three again at signing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from services.core.errors import InvalidConfiguration
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.prescribing.law import REQUIRED_FIELDS, REQUIRED_FIELDS_SOURCE


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningFacts:
    """What is known on the day of signing. Days are calendar days where the prescriber is; states USPS codes.

    ``session_mg`` is dose and booster. ``pdmp_checked_on`` is the day of the latest check, ``pdmp_states`` where it
    asked. ``telemedicine_exception`` is one of the names under ``prescribing.telemedicine_exceptions``.
    ``risk_blocked`` is an open high suicide risk that no named prescriber has cleared.
    """

    signed_on: date
    issued_on: date
    patient_state: str
    session_mg: int
    second_prescriber_agreed: bool = False
    pdmp_checked_on: date | None = None
    pdmp_states: frozenset[str] = frozenset()
    in_person_evaluated_on: date | None = None
    telemedicine_exception: str | None = None
    risk_blocked: bool = False


def signing_findings(facts: SigningFacts, programme: Programme) -> list[Finding]:
    """What keeps a prescription from being signed on that day; empty when nothing does."""
    return [
        *issue_date_findings(facts),
        *pdmp_findings(facts.pdmp_checked_on, facts.pdmp_states, facts.patient_state, facts.signed_on, programme),
        *telemedicine_findings(facts, programme),
        *second_prescriber_findings(facts, programme),
        *risk_findings(facts),
    ]


def issue_date_findings(facts: SigningFacts) -> list[Finding]:
    """The date of issue is the date signed."""
    if facts.issued_on == facts.signed_on:
        return []
    sentence = "A prescription is dated on the day it is signed, not before and not after."
    return [Finding("prescribing.issue_date_not_signing_date", Severity.STOP, REQUIRED_FIELDS_SOURCE, sentence)]


def pdmp_findings(
    checked_on: date | None, states: frozenset[str], patient_state: str, on: date, programme: Programme
) -> list[Finding]:
    """Whether the prescription drug monitoring programme was asked recently enough, and in the patient's state."""
    setting = "prescribing.pdmp_valid_days"
    valid_days = programme.whole(setting)
    if checked_on is None:
        sentence = "No check of the prescription drug monitoring programme is on record."
        return [_stop("prescribing.pdmp_missing", sentence, setting, valid_days)]
    age_days = (on - checked_on).days
    if age_days < 0:
        sentence = "The check of the prescription drug monitoring programme is dated in the future."
        return [_stop("prescribing.pdmp_in_future", sentence, setting, valid_days, age_days=age_days)]
    if age_days > valid_days:
        sentence = f"The check of the prescription drug monitoring programme is older than {valid_days} days."
        return [_stop("prescribing.pdmp_too_old", sentence, setting, valid_days, age_days=age_days)]
    if patient_state not in states:
        sentence = "The prescription drug monitoring programme of the patient's own state was not asked."
        return [Finding("prescribing.pdmp_other_states", Severity.REVIEW, "DOMAIN 5", sentence)]
    return []


def telemedicine_findings(facts: SigningFacts, programme: Programme) -> list[Finding]:
    """After the flexibilities end, an in-person evaluation or a named exception must be on record."""
    setting = "prescribing.telemedicine_flexibility_end"
    try:
        last_day = date.fromisoformat(programme.text(setting))
    except ValueError:
        raise InvalidConfiguration(f"The setting '{setting}' must be a day such as 2026-12-31.") from None
    seen_in_person = facts.in_person_evaluated_on is not None and facts.in_person_evaluated_on <= facts.signed_on
    excepted = facts.telemedicine_exception in programme.choices("prescribing.telemedicine_exceptions")
    if facts.signed_on <= last_day or seen_in_person or excepted:
        return []
    return [
        Finding(
            rule="prescribing.no_in_person_evaluation",
            severity=Severity.STOP,
            source="21 USC 829(e), 90 FR 61301",
            sentence="The telemedicine flexibilities have ended: record an in-person evaluation or a named exception.",
            setting=setting,
            value=last_day.isoformat(),
        )
    ]


def second_prescriber_findings(facts: SigningFacts, programme: Programme) -> list[Finding]:
    """Very high doses need a second prescriber's agreement."""
    setting = "prescribing.second_prescriber_over_mg"
    if facts.session_mg <= programme.number(setting) or facts.second_prescriber_agreed:
        return []
    limit = programme.whole(setting)
    sentence = f"Above {limit} mg per session a second prescriber must agree."
    return [_stop("prescribing.second_prescriber_missing", sentence, setting, limit, session_mg=facts.session_mg)]


def risk_findings(facts: SigningFacts) -> list[Finding]:
    """An open high suicide risk blocks prescribing until a named prescriber clears it."""
    if not facts.risk_blocked:
        return []
    sentence = "A high suicide risk is open; a named prescriber must clear it before anything is prescribed."
    return [Finding("prescribing.suicide_risk_open", Severity.STOP, "DOMAIN 2.2", sentence)]


def required_field_findings(fields: Mapping[str, Any]) -> list[Finding]:
    """One stop for each field of ``law.REQUIRED_FIELDS`` that is absent, ``None`` or blank. Zero is a value."""
    return [
        Finding(
            rule=f"prescribing.required_{name}_missing",
            severity=Severity.STOP,
            source=REQUIRED_FIELDS_SOURCE,
            sentence=f"The prescription does not carry {words}.",
        )
        for name, words in REQUIRED_FIELDS.items()
        if fields.get(name) is None or not str(fields[name]).strip()
    ]


def _stop(rule: str, sentence: str, setting: str, value: int, **inputs: int) -> Finding:
    return Finding(rule, Severity.STOP, "DOMAIN 5" if "pdmp" in rule else "DOMAIN 4", sentence, setting, value, inputs)
