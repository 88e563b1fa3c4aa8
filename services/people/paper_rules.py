"""Rules on a practitioner's papers: DEA numbers, licences and DEA registrations (DOMAIN 5).

Pure functions. An identifier never enters a sentence or a finding's inputs.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from services.core.findings import Finding, Severity, of_severity
from services.core.programme import Programme
from services.core.rules import Rule, declare
from services.people.identifiers import DEA_MID_LEVEL, DEA_PRACTITIONERS, dea_number_is_valid

_OF_THE_NUMBER: Final = "How a DEA number is made is not a clinic's choice."
_OF_THE_LAW: Final = "The law asks for it in the patient's state on the day."
DEA_NUMBER_NOT_VALID: Final = declare(
    "people.dea_number_not_valid",
    Severity.STOP,
    "DOMAIN 5",
    "This is not a DEA number: it needs two letters (or a letter and 9), six digits and a check digit.",
    fixed=_OF_THE_NUMBER,
)
DEA_NUMBER_NOT_A_PRACTITIONER: Final = declare(
    "people.dea_number_not_a_practitioner",
    Severity.REVIEW,
    "DOMAIN 5",
    "The first letter of this DEA number is not one of a practitioner (A, B, F, G) or mid-level (M).",
    fixed=_OF_THE_NUMBER,
)
DEA_NUMBER_OTHER_INITIAL: Final = declare(
    "people.dea_number_other_initial",
    Severity.INFORM,
    "DOMAIN 5",
    "The second letter of this DEA number is not the initial of the surname.",
    fixed=_OF_THE_NUMBER,
)
LICENCE_NOT_IN_PATIENT_STATE: Final = declare(
    "people.licence_not_in_patient_state",
    Severity.STOP,
    "DOMAIN 5",
    "The prescriber has no licence in the patient's state.",
    fixed=_OF_THE_LAW,
)
LICENCE_NOT_VALID_ON_DAY: Final = declare(
    "people.licence_not_valid_on_day",
    Severity.STOP,
    "DOMAIN 5",
    "The prescriber's licence in the patient's state is expired or revoked on that day.",
    fixed=_OF_THE_LAW,
)
LICENCE_EXPIRES_SOON: Final = declare(
    "people.licence_expires_soon",
    Severity.INFORM,
    "DOMAIN 5",
    "The prescriber's licence in the patient's state runs out in {days} days.",
    setting="prescribing.credential_expiry_notice_days",
)
DEA_NOT_IN_PATIENT_STATE: Final = declare(
    "people.dea_not_in_patient_state",
    Severity.STOP,
    "DOMAIN 5",
    "The prescriber has no DEA registration in the patient's state.",
    fixed=_OF_THE_LAW,
)
DEA_NOT_VALID_ON_DAY: Final = declare(
    "people.dea_not_valid_on_day",
    Severity.STOP,
    "DOMAIN 5",
    "The prescriber's DEA registration in the patient's state is expired or revoked on that day.",
    fixed=_OF_THE_LAW,
)
DEA_EXPIRES_SOON: Final = declare(
    "people.dea_expires_soon",
    Severity.INFORM,
    "DOMAIN 5",
    "The prescriber's DEA registration in the patient's state runs out in {days} days.",
    setting="prescribing.credential_expiry_notice_days",
)


def dea_number_check(number: str, surname: str) -> list[Finding]:
    """What is wrong with a DEA number: a stop when it cannot exist, less when only its letters surprise.

    The second letter is the surname's initial or 9 and only warns: names change, registrations keep their number.
    """
    if not dea_number_is_valid(number):
        return [DEA_NUMBER_NOT_VALID.finding(valid=False)]
    findings = []
    if number[0] not in DEA_PRACTITIONERS | DEA_MID_LEVEL:
        findings.append(DEA_NUMBER_NOT_A_PRACTITIONER.finding(is_a_practitioners=False))
    if number[1] not in ("9", _initial(surname)):
        findings.append(DEA_NUMBER_OTHER_INITIAL.finding(is_the_initial=False))
    return findings


def _initial(surname: str) -> str:
    """The first letter of a surname without its accent (Ångström is registered under A)."""
    letters = [letter for letter in unicodedata.normalize("NFKD", surname) if letter.isalpha()]
    return letters[0].upper() if letters else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceFacts:
    """A licence to practise in one state. ``expires_on`` is its last valid day, ``revoked_on`` the first invalid."""

    state: str
    expires_on: date
    revoked_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeaFacts:
    """A DEA registration in one state, without its number. Days as in ``LicenceFacts``."""

    state: str
    expires_on: date
    revoked_on: date | None = None


def valid_on(paper: LicenceFacts | DeaFacts, on: date) -> bool:
    """Whether a licence or registration counts on a day. Loss, expiry and suspension bite the same day (1311.125)."""
    return on <= paper.expires_on and (paper.revoked_on is None or on < paper.revoked_on)


def licence_findings(
    patient_state: str,
    on: date,
    licences: Iterable[LicenceFacts],
    dea_registrations: Iterable[DeaFacts],
    programme: Programme,
) -> list[Finding]:
    """Whether a prescriber may prescribe for a patient in ``patient_state`` on ``on``; empty when nothing stands out.

    Both papers must be for the *patient's* state (USPS code) and valid that day. Check again at signing.
    """
    licences_here = [licence for licence in licences if licence.state == patient_state]
    registrations_here = [registration for registration in dea_registrations if registration.state == patient_state]
    return [
        *_paper_findings(_LICENCE, licences_here, patient_state, on, programme),
        *_paper_findings(_DEA, registrations_here, patient_state, on, programme),
    ]


def may_prescribe_on(findings: Iterable[Finding]) -> bool:
    """Whether ``licence_findings`` leave the way open: notices do not stop, everything else does."""
    return not of_severity(findings, Severity.STOP)


_Rules = tuple[Rule, Rule, Rule]
_LICENCE: Final[_Rules] = (LICENCE_NOT_IN_PATIENT_STATE, LICENCE_NOT_VALID_ON_DAY, LICENCE_EXPIRES_SOON)
_DEA: Final[_Rules] = (DEA_NOT_IN_PATIENT_STATE, DEA_NOT_VALID_ON_DAY, DEA_EXPIRES_SOON)


def _paper_findings(
    rules: _Rules, papers: Sequence[LicenceFacts | DeaFacts], state: str, on: date, programme: Programme
) -> list[Finding]:
    """One kind of paper, already limited to the patient's state."""
    absent, not_valid, expires_soon = rules
    if not papers:
        return [absent.finding(patient_state=state)]
    valid = [paper for paper in papers if valid_on(paper, on)]
    if not valid:
        return [not_valid.finding(patient_state=state, on=on.isoformat())]
    days_left = (max(paper.expires_on for paper in valid) - on).days
    if days_left >= programme.whole("prescribing.credential_expiry_notice_days"):
        return []
    return [expires_soon.finding(programme, says={"days": days_left}, days_left=days_left)]
