"""Numbers and papers of a practitioner: NPI, DEA number, US states, licences and DEA registrations (DOMAIN 5).

Everything here is a pure function. An identifier never enters a sentence or a finding's inputs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

from services.core.errors import InvalidInput
from services.core.findings import Finding, Severity, of_severity
from services.core.programme import Programme

DEA_SHAPE = re.compile(r"[A-Z][A-Z9][0-9]{7}")
DEA_PRACTITIONERS = frozenset("ABFG")
DEA_MID_LEVEL = frozenset("M")

NPI_SHAPE = re.compile(r"[12][0-9]{9}")
NPI_PREFIX = "80840"

_STATES = """
AL Alabama|AK Alaska|AZ Arizona|AR Arkansas|CA California|CO Colorado|CT Connecticut|DE Delaware|
DC District of Columbia|FL Florida|GA Georgia|HI Hawaii|ID Idaho|IL Illinois|IN Indiana|IA Iowa|KS Kansas|KY Kentucky|
LA Louisiana|ME Maine|MD Maryland|MA Massachusetts|MI Michigan|MN Minnesota|MS Mississippi|MO Missouri|MT Montana|
NE Nebraska|NV Nevada|NH New Hampshire|NJ New Jersey|NM New Mexico|NY New York|NC North Carolina|ND North Dakota|
OH Ohio|OK Oklahoma|OR Oregon|PA Pennsylvania|RI Rhode Island|SC South Carolina|SD South Dakota|TN Tennessee|TX Texas|
UT Utah|VT Vermont|VA Virginia|WA Washington|WV West Virginia|WI Wisconsin|WY Wyoming|
AS American Samoa|GU Guam|MP Northern Mariana Islands|PR Puerto Rico|VI U.S. Virgin Islands
"""
STATES: Mapping[str, str] = MappingProxyType(
    {entry.strip()[:2]: entry.strip()[3:] for entry in _STATES.split("|") if entry.strip()}
)
"""USPS code → name: the 50 states, the District of Columbia and the five territories where DEA registers."""


def state_code(text: str, *, field: str = "state") -> str:
    """The USPS code that ``text`` means, upper case. Raises ``InvalidInput`` on ``field`` for anything else."""
    code = text.strip().upper()
    if code not in STATES:
        raise InvalidInput("Give the two-letter USPS code of a US state or territory, such as CA.", field=field)
    return code


def npi_is_valid(number: str) -> bool:
    """Whether ``number`` is a National Provider Identifier: ten digits from 1 or 2, Luhn over 80840 + NPI."""
    if NPI_SHAPE.fullmatch(number) is None:
        return False
    total = 0
    for place, digit in enumerate(reversed(NPI_PREFIX + number)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled // 10 + doubled % 10
    return total % 10 == 0


def dea_number_is_valid(number: str) -> bool:
    """Whether ``number`` has a DEA number's shape and check digit. Its letters are judged by ``dea_number_check``."""
    if DEA_SHAPE.fullmatch(number) is None:
        return False
    digits = [int(digit) for digit in number[2:]]
    return (sum(digits[0:6:2]) + 2 * sum(digits[1:6:2])) % 10 == digits[6]


def dea_number_check(number: str, surname: str) -> list[Finding]:
    """What is wrong with a DEA number: a stop when it cannot exist, less when only its letters surprise.

    The second letter is the surname's initial or 9 and only warns: names change, registrations keep their number.
    """
    if not dea_number_is_valid(number):
        sentence = "This is not a DEA number: it needs two letters (or a letter and 9), six digits and a check digit."
        return [_finding("people.dea_number_not_valid", Severity.STOP, sentence)]
    findings = []
    if number[0] not in DEA_PRACTITIONERS | DEA_MID_LEVEL:
        sentence = "The first letter of this DEA number is not one of a practitioner (A, B, F, G) or mid-level (M)."
        findings.append(_finding("people.dea_number_not_a_practitioner", Severity.REVIEW, sentence))
    if number[1] not in ("9", _initial(surname)):
        sentence = "The second letter of this DEA number is not the initial of the surname."
        findings.append(_finding("people.dea_number_other_initial", Severity.INFORM, sentence))
    return findings


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
        *_paper_findings("licence", "licence", licences_here, on, programme),
        *_paper_findings("dea", "DEA registration", registrations_here, on, programme),
    ]


def may_prescribe_on(findings: Iterable[Finding]) -> bool:
    """Whether ``licence_findings`` leave the way open: notices do not stop, everything else does."""
    return not of_severity(findings, Severity.STOP)


def _paper_findings(
    key: str, words: str, papers: Sequence[LicenceFacts | DeaFacts], on: date, programme: Programme
) -> list[Finding]:
    """One kind of paper, already limited to the patient's state."""
    if not papers:
        sentence = f"The prescriber has no {words} in the patient's state."
        return [_finding(f"people.{key}_not_in_patient_state", Severity.STOP, sentence)]
    valid = [paper for paper in papers if valid_on(paper, on)]
    if not valid:
        sentence = f"The prescriber's {words} in the patient's state is expired or revoked on that day."
        return [_finding(f"people.{key}_not_valid_on_day", Severity.STOP, sentence)]
    setting = "prescribing.credential_expiry_notice_days"
    days_left = (max(paper.expires_on for paper in valid) - on).days
    if days_left >= programme.whole(setting):
        return []
    return [
        Finding(
            rule=f"people.{key}_expires_soon",
            severity=Severity.INFORM,
            source="DOMAIN 5",
            sentence=f"The prescriber's {words} in the patient's state runs out in {days_left} days.",
            setting=setting,
            value=programme.whole(setting),
            inputs={"days_left": days_left},
        )
    ]


def _initial(surname: str) -> str:
    """The first letter of a surname without its accent (Ångström is registered under A)."""
    letters = [letter for letter in unicodedata.normalize("NFKD", surname) if letter.isalpha()]
    return letters[0].upper() if letters else ""


def _finding(rule: str, severity: Severity, sentence: str) -> Finding:
    return Finding(rule=rule, severity=severity, source="DOMAIN 5", sentence=sentence)
