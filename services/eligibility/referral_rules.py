"""Who may refer a patient (DOMAIN 1): facts and programme in, findings out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferrerFacts:
    """Who refers. ``has_partners``: the organisation names whoever is needed besides it to treat a patient."""

    kap_trained: bool
    has_partners: bool


def referrer_findings(facts: ReferrerFacts, programme: Programme) -> Sequence[Finding]:
    """What speaks against a referral by this person."""
    findings = []
    if not facts.kap_trained:
        findings.append(KAP_TRAINING.finding(programme))
    if not facts.has_partners:
        findings.append(PRACTICE_HAS_PARTNERS.finding(programme))
    return findings
