"""Episodes of care: one patient, one care team, from the referral to the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import Conflict, InvalidInput, NotFound, StaleVersion
from services.core.ids import new_id
from services.core.pages import page_of
from services.people.access import Action, authorize, visible_episode
from services.people.accounts import active_account
from services.people.episode_rules import BY_ORGANISATION, KAP_TRAINING, PRACTICE_HAS_PARTNERS, TEAM_HAS_PHARMACY
from services.people.models import Episode, Organisation, OrganisationKind
from services.people.organisations import organisation_of
from services.people.patients import patient_of
from services.people.practitioners import is_kap_trained
from services.people.programmes import programme_for
from services.people.states import EPISODE_TRANSITIONS, EpisodeState, EpisodeStep


@dataclass(frozen=True, slots=True)
class _CareTeam:
    """Who cares for a patient from the start."""

    practice_id: UUID | None
    therapist_id: UUID | None
    medical_team_id: UUID
    pharmacy_id: UUID


def open_episode(session: Session, actor: Actor, patient_id: UUID) -> Episode:
    """Open an episode for a patient.

    A therapist brings their practice, its medical team and its pharmacy. A medical team brings its pharmacy and no
    therapist yet. Raises ``Conflict`` when the therapist has no KAP training on record, or the partners are missing.
    """
    authorize(actor, Action.REFER_CLIENT)
    patient = patient_of(session, patient_id)
    team = _care_team_of(session, actor)
    episode = Episode(
        id=new_id(),
        patient_id=patient.id,
        practice_id=team.practice_id,
        therapist_id=team.therapist_id,
        medical_team_id=team.medical_team_id,
        pharmacy_id=team.pharmacy_id,
        state=EpisodeState.REFERRED,
        programme_version=programme_for(session, team.practice_id, team.medical_team_id).version,
        opened_at=clock.now(),
    )
    session.add(episode)
    session.flush()
    record(session, actor, "episode.open", "episode", episode.id, episode_id=episode.id, patient=patient.id)
    return episode


def _care_team_of(session: Session, actor: Actor) -> _CareTeam:
    if actor.organisation_id is None:
        raise BY_ORGANISATION.conflict(organisation_id=None)
    own = organisation_of(session, actor.organisation_id)
    if actor.role is not Role.THERAPIST:
        if own.partner_pharmacy_id is None:
            raise TEAM_HAS_PHARMACY.conflict(has_pharmacy=False)
        return _CareTeam(None, None, own.id, own.partner_pharmacy_id)
    if not is_kap_trained(session, actor.id, clock.now().date()):
        raise KAP_TRAINING.conflict(kap_trained=False)
    if own.partner_medical_team_id is None or own.partner_pharmacy_id is None:
        has_team, has_pharmacy = own.partner_medical_team_id is not None, own.partner_pharmacy_id is not None
        raise PRACTICE_HAS_PARTNERS.conflict(has_medical_team=has_team, has_pharmacy=has_pharmacy)
    return _CareTeam(own.id, actor.id, own.partner_medical_team_id, own.partner_pharmacy_id)


def episode_of(session: Session, actor: Actor, action: Action, episode_id: UUID) -> Episode:
    """The episode, if ``actor`` may do ``action`` on it; raises as ``authorize`` does."""
    return visible_episode(session, actor, action, episode_id)


def episode_of_patient(session: Session, actor: Actor, action: Action, patient_id: UUID) -> Episode:
    """The newest episode of a patient that the actor can see; raises as ``authorize`` does for ``action`` on it."""
    query = select(Episode).where(Episode.patient_id == patient_id, _visible_to(actor))
    episode = session.scalar(query.order_by(Episode.id.desc()).limit(1))
    if episode is None:
        raise NotFound("There is no such record, or it is not yours to see.")
    authorize(actor, action, episode)
    return episode


def list_episodes(
    session: Session,
    actor: Actor,
    *,
    state: EpisodeState | None = None,
    after: UUID | None = None,
    limit: int = 20,
) -> Sequence[Episode]:
    """The episodes that the actor can see, newest first, from behind the id ``after``; a page at a time."""
    authorize(actor, Action.READ_EPISODE)
    query = page_of(select(Episode).where(_visible_to(actor)), Episode.id, after=after, limit=limit)
    if state is not None:
        query = query.where(Episode.state == state)
    return session.scalars(query).all()


def _visible_to(actor: Actor) -> ColumnElement[bool]:
    """The condition that ``access.relationship`` tests, on columns. A role that is not here sees nothing."""
    match actor.role:
        case Role.THERAPIST:
            return Episode.therapist_id == actor.id
        case Role.PRESCRIBER | Role.MEDICAL_STAFF:
            return Episode.medical_team_id == actor.organisation_id
        case Role.PHARMACIST:
            return Episode.pharmacy_id == actor.organisation_id
        case Role.PATIENT if actor.episode_id is not None:
            return (Episode.patient_id == actor.id) & (Episode.id == actor.episode_id)
        case Role.PATIENT:
            return Episode.patient_id == actor.id
        case Role.SYSTEM:
            return true()
    raise NotFound("There is no such record, or it is not yours to see.")


def assign_prescriber(
    session: Session, actor: Actor, episode_id: UUID, prescriber_id: UUID, *, version: int | None = None
) -> Episode:
    """Name the prescriber of an episode, one of its medical team. Raises ``InvalidInput`` on ``prescriber_id``."""
    episode = _changeable(session, actor, episode_id, version)
    prescriber = active_account(session, prescriber_id, Role.PRESCRIBER, field="prescriber_id")
    if prescriber.organisation_id != episode.medical_team_id:
        raise InvalidInput("The prescriber must belong to the episode's medical team.", field="prescriber_id")
    episode.prescriber_id = prescriber.id
    record(session, actor, "episode.assign_prescriber", "episode", episode.id, episode_id=episode.id, to=prescriber.id)
    return episode


def change_therapist(
    session: Session, actor: Actor, episode_id: UUID, therapist_id: UUID | None, *, version: int | None = None
) -> Episode:
    """Hand an episode to another therapist, or note that there is none: then nothing ships (DOMAIN 3.1).

    The therapist's practice becomes the episode's; it must work with the same medical team. Raises ``InvalidInput`` on
    ``therapist_id``.
    """
    episode = _changeable(session, actor, episode_id, version)
    if therapist_id is not None:
        therapist = active_account(session, therapist_id, Role.THERAPIST, field="therapist_id")
        practice = session.get_one(Organisation, therapist.organisation_id)
        if practice.kind != OrganisationKind.PRACTICE or practice.partner_medical_team_id != episode.medical_team_id:
            raise InvalidInput("The therapist's practice must work with the same medical team.", field="therapist_id")
        if not is_kap_trained(session, therapist.id, clock.now().date()):
            raise InvalidInput("The therapist has no KAP training on record.", field="therapist_id")
        episode.practice_id = practice.id
    episode.therapist_id = therapist_id
    record(session, actor, "episode.change_therapist", "episode", episode.id, episode_id=episode.id, to=therapist_id)
    return episode


def take_on(session: Session, actor: Actor, episode: Episode) -> Episode:
    """The acting therapist becomes the therapist of record. The caller has settled that they were asked and may."""
    episode.therapist_id, episode.practice_id = actor.id, actor.organisation_id
    record(session, actor, "episode.change_therapist", "episode", episode.id, episode_id=episode.id, to=actor.id)
    return episode


def _changeable(session: Session, actor: Actor, episode_id: UUID, version: int | None) -> Episode:
    episode = visible_episode(session, actor, Action.CHANGE_EPISODE, episode_id)
    if version is not None and episode.version != version:
        raise StaleVersion("Somebody else changed this episode since you read it.", field="version")
    if episode.state == EpisodeState.CLOSED:
        raise Conflict("A closed episode keeps its care team.", rule="episode.states")
    return episode


def advance_episode(session: Session, actor: Actor, episode: Episode, step: EpisodeStep) -> Episode:
    """Move an episode. The caller has authorized the act that moves it.

    Raises ``IllegalTransition``, or ``NotAllowed`` when the actor's role may not take the step.
    """
    before = EpisodeState(episode.state)
    episode.state = EPISODE_TRANSITIONS.advance(before, step, actor.role)
    episode.closed_at = clock.now() if episode.state == EpisodeState.CLOSED else None
    record(session, actor, f"episode.{step}", "episode", episode.id, episode_id=episode.id, before=before.value)
    return episode
