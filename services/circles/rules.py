"""Who may host a circle, who may be invited to one, and when (DOMAIN 1: isha_health). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare

SOURCE: Final = "DOMAIN 1"

NOT_OFFERED: Final = declare(
    "circles.not_offered",
    Severity.STOP,
    SOURCE,
    "This programme has no circles.",
    setting="circles.offered",
)
HOST_NOT_TRAINED: Final = declare(
    "circles.host_not_trained",
    Severity.STOP,
    SOURCE,
    "Whoever hosts a circle holds KAP training.",
    fixed="as a therapist must (DOMAIN 1)",
)
HOST_WITHOUT_TEAM: Final = declare(
    "circles.host_without_team",
    Severity.STOP,
    SOURCE,
    "The host's practice works with no medical team.",
    fixed="a circle is for the patients of one medical team",
)
TOO_LARGE: Final = declare(
    "circles.too_large",
    Severity.STOP,
    SOURCE,
    "A circle has at most {value} places.",
    setting="circles.places_at_most",
)
WRONG_TIME: Final = declare(
    "circles.wrong_time",
    Severity.STOP,
    SOURCE,
    "A circle begins in the future, lasts at most {value} minutes and ends after it has begun.",
    setting="circles.minutes_at_most",
)
OTHER_TEAM: Final = declare(
    "circles.other_team",
    Severity.STOP,
    SOURCE,
    "The circle is for the patients of another medical team.",
    fixed="a circle is for the patients of one medical team",
)
NOT_IN_TREATMENT: Final = declare(
    "circles.not_in_treatment",
    Severity.STOP,
    SOURCE,
    "A circle integrates sessions: the patient has had none, or is not in care any more.",
    fixed="before the first session there is nothing to integrate",
)
HOST_NOT_LICENSED: Final = declare(
    "circles.host_not_licensed",
    Severity.STOP,
    "DOMAIN 1 and 5",
    "The host has no valid licence in {state}, where the patient lives.",
    fixed="the states license therapists, for groups as for one",
)
FULL: Final = declare(
    "circles.full",
    Severity.STOP,
    SOURCE,
    "All {capacity} places of the circle are taken.",
    fixed="the number is the host's, up to circles.places_at_most",
)
HAS_BEGUN: Final = declare(
    "circles.has_begun",
    Severity.STOP,
    SOURCE,
    "The circle has begun.",
    fixed="nobody is invited to what has begun",
)
NOT_BEGUN: Final = declare(
    "circles.not_begun",
    Severity.STOP,
    SOURCE,
    "The circle has not begun: who is there shows when it has.",
    fixed="nobody was there before it began",
)
NOT_PLANNED: Final = declare(
    "circles.not_planned",
    Severity.STOP,
    "DOMAIN 1",
    "This circle was held or cancelled.",
    fixed="a state of the circle",
)
INVITED_ALREADY: Final = declare(
    "circles.invited_already",
    Severity.STOP,
    "DOMAIN 1",
    "This patient has a place already.",
    fixed="nobody sits in two places",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFacts:
    """A circle about to be planned, and who would host it."""

    kap_trained: bool
    has_team: bool
    capacity: int
    starts_at: datetime
    ends_at: datetime
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationFacts:
    """A patient about to be invited. ``taken`` counts the places of others that are taken."""

    same_team: bool
    in_treatment: bool
    state: str
    host_licensed_in: frozenset[str]
    taken: int
    capacity: int
    begun: bool


def plan_findings(facts: PlanFacts, programme: Programme) -> list[Finding]:
    """What speaks against planning a circle; ``programme`` is that of the host's practice."""
    findings = []
    if not programme.value("circles.offered"):
        findings.append(NOT_OFFERED.finding(programme))
    if not facts.kap_trained:
        findings.append(HOST_NOT_TRAINED.finding(programme))
    if not facts.has_team:
        findings.append(HOST_WITHOUT_TEAM.finding(programme))
    if facts.capacity > programme.whole("circles.places_at_most"):
        findings.append(TOO_LARGE.finding(programme, places=facts.capacity))
    minutes = (facts.ends_at - facts.starts_at).total_seconds() / 60
    if facts.starts_at < facts.now or not 0 < minutes <= programme.number("circles.minutes_at_most"):
        findings.append(WRONG_TIME.finding(programme, minutes=minutes))
    return findings


def invitation_findings(facts: InvitationFacts, programme: Programme) -> list[Finding]:
    """What speaks against inviting a patient; ``programme`` is that of the patient's episode."""
    findings = []
    if not programme.value("circles.offered"):
        findings.append(NOT_OFFERED.finding(programme))
    if not facts.same_team:
        findings.append(OTHER_TEAM.finding(programme))
    if not facts.in_treatment:
        findings.append(NOT_IN_TREATMENT.finding(programme))
    if facts.state not in facts.host_licensed_in:
        findings.append(HOST_NOT_LICENSED.finding(programme, says={"state": facts.state}))
    if facts.begun:
        findings.append(HAS_BEGUN.finding(programme))
    if facts.taken >= facts.capacity:
        findings.append(FULL.finding(programme, says={"capacity": facts.capacity}))
    return findings
