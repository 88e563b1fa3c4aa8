"""Which therapist fits a patient, and in which order those who do are proposed (DOMAIN 1: isha_health).

Pure: facts and programme in, findings out. A stop keeps a therapist off the list; what informs says why one stands
where they stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.core.findings import Finding, Severity, of_severity
from services.core.programme import Programme
from services.core.rules import declare

SOURCE: Final = "DOMAIN 1"

NOT_OFFERED: Final = declare(
    "matching.not_offered",
    Severity.STOP,
    SOURCE,
    "This programme does not match patients with therapists; they come with one.",
    setting="matching.offered",
)
HAS_THERAPIST: Final = declare(
    "matching.has_therapist",
    Severity.STOP,
    SOURCE,
    "There is a therapist of record already.",
    fixed="an episode has one therapist of record",
)
NOT_EVALUATED: Final = declare(
    "matching.not_evaluated",
    Severity.STOP,
    SOURCE,
    "The physician evaluates first: no therapist is proposed before the patient was found eligible.",
    setting="matching.after_evaluation",
)
ENDED: Final = declare(
    "matching.episode_ended",
    Severity.STOP,
    SOURCE,
    "The episode was declined or has ended.",
    fixed="whoever is not treated needs no therapist",
)
TOO_MANY: Final = declare(
    "matching.too_many_options",
    Severity.STOP,
    SOURCE,
    "At most {value} therapists are proposed at once.",
    setting="matching.options_at_most",
)

NO_ACCOUNT: Final = declare(
    "matching.not_active",
    Severity.STOP,
    SOURCE,
    "This is no active account of a therapist.",
    fixed="nobody else can be a therapist of record",
)
NOT_PARTNERED: Final = declare(
    "matching.not_partnered",
    Severity.STOP,
    SOURCE,
    "The therapist's practice does not work with this medical team.",
    fixed="which practice works with which team is an agreement between them, on record with the operations desk",
)
NOT_LICENSED: Final = declare(
    "matching.not_licensed",
    Severity.STOP,
    SOURCE,
    "The therapist has no valid licence in {state}, where the patient lives.",
    fixed="the states license therapists",
)
NOT_TRAINED: Final = declare(
    "matching.not_trained",
    Severity.STOP,
    SOURCE,
    "The therapist has no KAP training on record.",
    fixed="a therapist must hold KAP training (DOMAIN 1)",
)
NOT_TAKING: Final = declare(
    "matching.not_taking",
    Severity.STOP,
    SOURCE,
    "The therapist takes no new patients now.",
    fixed="the therapist says so",
)
FULL: Final = declare(
    "matching.full",
    Severity.STOP,
    SOURCE,
    "The therapist has {clients} of at most {capacity} clients.",
    fixed="the number is each therapist's own, in the profile",
)
SPECIALITY_OTHER: Final = declare(
    "matching.speciality_other",
    Severity.STOP,
    SOURCE,
    "The therapist's specialities do not include what the patient was referred for.",
    setting="matching.speciality_required",
)

NOT_AVAILABLE: Final = declare(
    "matching.not_available",
    Severity.STOP,
    SOURCE,
    "This therapist cannot take you now. Please choose somebody else.",
    fixed="what stands in the way may tell of other patients, so that it is not said",
)

SPECIALITY_FITS: Final = declare(
    "matching.speciality_fits",
    Severity.INFORM,
    SOURCE,
    "The therapist's specialities include what the patient was referred for.",
    fixed="a reason for the order, not a limit",
)
SPECIALITY_DIFFERS: Final = declare(
    "matching.speciality_differs",
    Severity.INFORM,
    SOURCE,
    "The therapist's specialities are others than what the patient was referred for.",
    fixed="a reason for the order, not a limit",
)
SAME_STATE: Final = declare(
    "matching.same_state",
    Severity.INFORM,
    SOURCE,
    "The practice is in the patient's state.",
    fixed="a reason for the order, not a limit",
)
PLACES_FREE: Final = declare(
    "matching.places_free",
    Severity.INFORM,
    SOURCE,
    "The therapist has {places} free places.",
    fixed="a reason for the order, not a limit",
)
NOT_ON_THE_LIST: Final = declare(
    "matching.not_on_the_list",
    Severity.STOP,
    "DOMAIN 1",
    "Choose from the list that was given to you.",
    fixed="the list of this patient",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFacts:
    """The patient's side. ``indication`` is the diagnosis referred with, ``state`` a USPS code."""

    state: str
    indication: str | None
    has_therapist: bool
    evaluated: bool
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TherapistFacts:
    """The therapist's side. ``clients`` counts those in care and those who chose them and wait for the answer."""

    account_id: UUID
    active: bool
    partnered: bool
    licensed_in: frozenset[str]
    kap_trained: bool
    taking_patients: bool
    specialities: frozenset[str]
    capacity: int
    clients: int
    practice_state: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A therapist who fits, and why they stand where they stand."""

    facts: TherapistFacts
    findings: Sequence[Finding]


def case_findings(facts: CaseFacts, programme: Programme) -> list[Finding]:
    """What speaks against looking for a therapist for this patient now."""
    findings = []
    if not programme.value("matching.offered"):
        findings.append(NOT_OFFERED.finding(programme))
    if facts.has_therapist:
        findings.append(HAS_THERAPIST.finding(programme))
    if facts.ended:
        findings.append(ENDED.finding(programme))
    elif programme.value("matching.after_evaluation") and not facts.evaluated:
        findings.append(NOT_EVALUATED.finding(programme))
    return findings


def options_findings(count: int, programme: Programme) -> list[Finding]:
    """Whether a list of so many is one that a patient can choose from."""
    if count <= programme.whole("matching.options_at_most"):
        return []
    return [TOO_MANY.finding(programme, options=count)]


def fit_findings(case: CaseFacts, therapist: TherapistFacts, programme: Programme) -> list[Finding]:
    """What speaks against a therapist for this patient, or for their place on the list when nothing does."""
    if not therapist.active:
        return [NO_ACCOUNT.finding(programme)]
    stops = []
    if not therapist.partnered:
        stops.append(NOT_PARTNERED.finding(programme))
    if case.state not in therapist.licensed_in:
        stops.append(NOT_LICENSED.finding(programme, says={"state": case.state}))
    if not therapist.kap_trained:
        stops.append(NOT_TRAINED.finding(programme))
    if not therapist.taking_patients:
        stops.append(NOT_TAKING.finding(programme))
    stops += capacity_findings(therapist.clients, therapist.capacity, programme)
    fits = case.indication in therapist.specialities
    if not fits and programme.value("matching.speciality_required"):
        stops.append(SPECIALITY_OTHER.finding(programme))
    if stops:
        return stops
    findings = [(SPECIALITY_FITS if fits else SPECIALITY_DIFFERS).finding(programme)]
    if therapist.practice_state == case.state:
        findings.append(SAME_STATE.finding(programme))
    places = therapist.capacity - therapist.clients
    return [*findings, PLACES_FREE.finding(programme, says={"places": places}, places=places)]


def capacity_findings(clients: int, capacity: int, programme: Programme) -> list[Finding]:
    """Whether a therapist who has so many clients has a place for one more."""
    if clients < capacity:
        return []
    says = {"clients": clients, "capacity": capacity}
    return [FULL.finding(programme, says=says, clients=clients, capacity=capacity)]


def ranked(case: CaseFacts, therapists: Sequence[TherapistFacts], programme: Programme) -> list[Candidate]:
    """Those who fit, best first: the speciality, then a practice in the patient's state, then the most free places.

    Equal ones stand in the order of their ids, so that the same facts always give the same list.
    """
    fitting = []
    for therapist in therapists:
        findings = fit_findings(case, therapist, programme)
        if not of_severity(findings, Severity.STOP):
            fitting.append(Candidate(therapist, findings))
    return sorted(fitting, key=_place)


def _place(candidate: Candidate) -> tuple[bool, bool, int, UUID]:
    spoke, facts = {finding.rule for finding in candidate.findings}, candidate.facts
    return (
        SPECIALITY_FITS.id not in spoke,
        SAME_STATE.id not in spoke,
        facts.clients - facts.capacity,
        facts.account_id,
    )
