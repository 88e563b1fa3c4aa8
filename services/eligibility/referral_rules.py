"""Who may refer a patient (DOMAIN 1): facts and programme in, findings out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare


class Referrer(StrEnum):
    """As what somebody refers: the words of the setting ``referrals.by``."""

    THERAPIST = "therapist"
    MEDICAL_TEAM = "medical_team"


class Source(StrEnum):
    """How a patient came."""

    THERAPIST = "therapist"
    MEDICAL_TEAM = "medical_team"
    ENQUIRY = "enquiry"


NOT_BY_THESE: Final = declare(
    "referral.not_by_these",
    Severity.STOP,
    "DOMAIN 1",
    "In this programme patients are referred by: {value}.",
    setting="referrals.by",
)
ENQUIRY_BY_TEAM: Final = declare(
    "referral.enquiry_by_medical_team",
    Severity.STOP,
    "DOMAIN 1",
    "Only a medical team takes down a patient's own enquiry; a therapist refers.",
    fixed="a therapist who has the patient is the therapist of record",
)
KAP_TRAINING: Final = declare(
    "referral.kap_training",
    Severity.STOP,
    "DOMAIN 1",
    "The therapist has no KAP training on record.",
    fixed="whoever refers is the therapist of record from then on, and one without the training treats nobody",
)
PRACTICE_HAS_PARTNERS: Final = declare(
    "referral.practice_has_partners",
    Severity.STOP,
    "DOMAIN 1",
    "The practice has no partner medical team and pharmacy yet.",
    fixed="without them there is nobody to refer to",
)
TEAM_HAS_PHARMACY: Final = declare(
    "referral.team_has_pharmacy",
    Severity.STOP,
    "DOMAIN 1",
    "The medical team has no partner pharmacy yet.",
    fixed="without one nobody could dispense what is prescribed",
)
AGREEMENT_BY_OTHERS: Final = declare(
    "referral.agreement_taken_by_practice",
    Severity.STOP,
    "DOMAIN 7",
    "The agreement to be texted must have been taken by somebody of your organisation.",
    fixed="whoever took it down answers for it",
)
AGREEMENT_OLD: Final = declare(
    "referral.agreement_recent",
    Severity.STOP,
    "DOMAIN 7",
    "The agreement to be texted must be of the last {value} days.",
    setting="screening.sms_agreement_valid_days",
)
NOT_TWICE: Final = declare(
    "referral.not_twice",
    Severity.STOP,
    "DOMAIN 1",
    "Your organisation already has an open episode for this person.",
    fixed="one treatment at a time",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferrerFacts:
    """Who refers, and whom their organisation names as partners. A medical team needs no medical team besides it."""

    by: Referrer
    is_enquiry: bool
    kap_trained: bool
    has_medical_team: bool
    has_pharmacy: bool


def referrer_findings(facts: ReferrerFacts, programme: Programme) -> Sequence[Finding]:
    """What speaks against a referral by this person."""
    findings = []
    if facts.by not in programme.choices("referrals.by"):
        findings.append(NOT_BY_THESE.finding(programme, by=facts.by.value))
    if facts.by is Referrer.MEDICAL_TEAM:
        return findings if facts.has_pharmacy else [*findings, TEAM_HAS_PHARMACY.finding(programme, has_pharmacy=False)]
    if facts.is_enquiry:
        findings.append(ENQUIRY_BY_TEAM.finding(programme, by=facts.by.value, is_enquiry=True))
    if not facts.kap_trained:
        findings.append(KAP_TRAINING.finding(programme, kap_trained=False))
    if not (facts.has_medical_team and facts.has_pharmacy):
        has: dict[str, Any] = {"has_medical_team": facts.has_medical_team, "has_pharmacy": facts.has_pharmacy}
        findings.append(PRACTICE_HAS_PARTNERS.finding(programme, **has))
    return findings
