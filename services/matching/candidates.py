"""Who could become a patient's therapist: the facts that the rules read, and the list they give."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.findings import Finding
from services.core.personal import Personal
from services.eligibility.referrals import diagnosis_of
from services.matching.models import MatchOption, TherapistProfile
from services.matching.rules import Candidate, CaseFacts, TherapistFacts, case_findings, ranked
from services.matching.states import OptionState
from services.people.access import Action, visible_episode
from services.people.accounts import person_of
from services.people.models import Account, Episode, Organisation, OrganisationKind
from services.people.paper_rules import valid_on
from services.people.patients import state_of
from services.people.practitioners import is_kap_trained, licence_facts
from services.people.programmes import programme_of
from services.people.states import EpisodeState

OVER = (EpisodeState.DECLINED, EpisodeState.CLOSED)
NOT_EVALUATED = (EpisodeState.REFERRED, EpisodeState.SCREENING, EpisodeState.IN_REVIEW)


@dataclass(frozen=True, slots=True, repr=False)
class ShownTherapist:
    """A therapist as a patient who chooses sees one: nothing of other patients."""

    account_id: UUID
    name: Personal[str]
    specialities: Sequence[str]
    practice: str
    practice_state: str


@dataclass(frozen=True, slots=True)
class CandidateList:
    """The list for the medical team; ``findings`` say why there is none to propose now."""

    findings: Sequence[Finding]
    candidates: Sequence[tuple[ShownTherapist, Sequence[Finding]]]


def list_candidates(session: Session, actor: Actor, episode_id: UUID) -> CandidateList:
    """The therapists who fit the patient of an episode, best first, with the reasons; an audited read."""
    episode = visible_episode(session, actor, Action.PROPOSE_MATCH, episode_id)
    programme, case = programme_of(session, episode), case_facts(session, episode)
    found = ranked(case, _of_partners(session, episode), programme)
    record(session, actor, "match.list_candidates", "episode", episode.id, episode_id=episode.id, count=len(found))
    return CandidateList(case_findings(case, programme), [_shown(session, each) for each in found])


def _shown(session: Session, candidate: Candidate) -> tuple[ShownTherapist, Sequence[Finding]]:
    return shown_therapist(session, candidate.facts.account_id), candidate.findings


def shown_therapist(session: Session, therapist_id: UUID) -> ShownTherapist:
    """A therapist with name, specialities and practice."""
    account = session.get_one(Account, therapist_id)
    practice = session.get_one(Organisation, account.organisation_id)
    profile = session.get(TherapistProfile, therapist_id)
    return ShownTherapist(
        account_id=therapist_id,
        name=person_of(session, therapist_id).full_name,
        specialities=[] if profile is None else profile.specialities,
        practice=practice.name,
        practice_state=practice.state,
    )


def case_facts(session: Session, episode: Episode) -> CaseFacts:
    """The patient's side, as the rules read it."""
    return CaseFacts(
        state=state_of(session, episode.patient_id),
        indication=diagnosis_of(session, episode.id),
        has_therapist=episode.therapist_id is not None,
        evaluated=episode.state not in NOT_EVALUATED,
        ended=episode.state in OVER,
    )


def therapist_facts(
    session: Session, episode: Episode, therapist_id: UUID, *, but: Collection[UUID] = ()
) -> TherapistFacts:
    """A therapist's side; ``but`` are options that are not counted as clients. Nobody's account gives facts too."""
    account = session.get(Account, therapist_id)
    if account is None or account.role != Role.THERAPIST:
        return _nobody(therapist_id)
    practice = session.get_one(Organisation, account.organisation_id)
    profile = session.get(TherapistProfile, therapist_id)
    today = clock.now().date()
    return TherapistFacts(
        account_id=therapist_id,
        active=account.disabled_at is None,
        partnered=practice.partner_medical_team_id == episode.medical_team_id,
        licensed_in=frozenset(paper.state for paper in licence_facts(session, therapist_id) if valid_on(paper, today)),
        kap_trained=is_kap_trained(session, therapist_id, today),
        taking_patients=profile is not None and profile.taking_patients,
        specialities=frozenset() if profile is None else frozenset(profile.specialities),
        capacity=0 if profile is None else profile.capacity,
        clients=_clients(session, therapist_id, but),
        practice_state=practice.state,
    )


def _nobody(therapist_id: UUID) -> TherapistFacts:
    return TherapistFacts(
        account_id=therapist_id,
        active=False,
        partnered=False,
        licensed_in=frozenset(),
        kap_trained=False,
        taking_patients=False,
        specialities=frozenset(),
        capacity=0,
        clients=0,
        practice_state="",
    )


def _clients(session: Session, therapist_id: UUID, but: Collection[UUID]) -> int:
    """How many the therapist has in care, and how many chose them and wait for the answer."""
    in_care = select(func.count()).where(Episode.therapist_id == therapist_id, Episode.state.not_in(OVER))
    waiting = select(func.count()).where(
        MatchOption.therapist_id == therapist_id, MatchOption.state == OptionState.ASKED, MatchOption.id.not_in(but)
    )
    return (session.scalar(in_care) or 0) + (session.scalar(waiting) or 0)


def _of_partners(session: Session, episode: Episode) -> list[TherapistFacts]:
    """Every active therapist with a profile in a practice that works with the episode's medical team."""
    query = (
        select(Account.id)
        .join(Organisation, Organisation.id == Account.organisation_id)
        .join(TherapistProfile, TherapistProfile.account_id == Account.id)
        .where(
            Organisation.kind == OrganisationKind.PRACTICE,
            Organisation.partner_medical_team_id == episode.medical_team_id,
            Account.role == Role.THERAPIST,
            Account.disabled_at.is_(None),
            TherapistProfile.taking_patients,
        )
    )
    return [therapist_facts(session, episode, therapist_id) for therapist_id in session.scalars(query)]
