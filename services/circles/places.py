"""A patient's place in a circle: invited by the own therapist, answered by the patient, recorded by the host.

Attendance and note belong to this patient's record alone. The note is ordinary record, for the own therapist and
medical team; what a host thinks about a session stays in psychotherapy notes, which are their author's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.circles.circles import (
    INVISIBLE,
    hosted_circle,
    is_open,
    locked_circle,
    move_circle,
    place_subject,
    take_back_texts,
)
from services.circles.models import Circle, CirclePlace
from services.circles.rules import INVITED_ALREADY, NOT_BEGUN, NOT_PLANNED, InvitationFacts, invitation_findings
from services.circles.states import PLACE_TRANSITIONS, TAKEN, CircleState, CircleStep, PlaceState, PlaceStep
from services.core import clock
from services.core.actors import SYSTEM, Actor
from services.core.errors import NotFound, RuleRefused
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.programme import Programme
from services.core.vocabulary import EventKind, NoticeKind
from services.messaging.notices import text_patient
from services.messaging.outbox import emit
from services.messaging.timers import set_timer
from services.people.access import Action, authorize, visible_episode
from services.people.consents import may_be_texted
from services.people.links import LinkKind, issue_link, path_of
from services.people.models import Episode, Organisation
from services.people.paper_rules import valid_on
from services.people.patients import state_of
from services.people.practitioners import licence_facts
from services.people.programmes import programme_of
from services.people.states import EpisodeState
from services.screening.written_texts import heed
from services.sessions.afterwards import integrate_elsewhere
from services.vault.boxes import box

IN_TREATMENT = (EpisodeState.IN_TREATMENT, EpisodeState.IN_MAINTENANCE)


@dataclass(frozen=True, slots=True, repr=False)
class ReadPlace:
    """A place in a patient's own record, with the host's note."""

    place: CirclePlace
    circle: Circle
    note: Personal[str | None]


def invite(session: Session, actor: Actor, circle_id: UUID, episode_id: UUID) -> CirclePlace:
    """Invite a patient of the actor's to a circle of the same medical team; a withdrawn invitation may be repeated.

    Raises ``NotFound``, ``Conflict`` when the patient has a place, ``RuleRefused`` with what speaks against it.
    """
    episode = visible_episode(session, actor, Action.INVITE_TO_CIRCLE, episode_id)
    circle = locked_circle(session, circle_id)
    if circle is None or not _knows(session, actor, circle):
        raise NotFound(INVISIBLE)
    if circle.state != CircleState.PLANNED:
        raise NOT_PLANNED.conflict(state=circle.state)
    place = session.scalar(
        select(CirclePlace).where(CirclePlace.circle_id == circle.id, CirclePlace.patient_id == episode.patient_id)
    )
    if place is not None and place.state in TAKEN:
        raise INVITED_ALREADY.conflict(state=place.state)
    findings = invitation_findings(_facts(session, circle, episode), programme_of(session, episode))
    if findings:
        raise RuleRefused("This patient cannot be invited.", findings)
    place = _give(session, actor, circle, episode, place)
    record(session, actor, "circle.invite", "circle", circle.id, episode_id=episode.id)
    _tell(session, circle, place)
    return place


def _knows(session: Session, actor: Actor, circle: Circle) -> bool:
    practice = session.get_one(Organisation, actor.organisation_id)
    return circle.host_id == actor.id or practice.partner_medical_team_id == circle.medical_team_id


def _facts(session: Session, circle: Circle, episode: Episode) -> InvitationFacts:
    today = clock.now().date()
    taken = select(func.count()).where(CirclePlace.circle_id == circle.id, CirclePlace.state.in_(sorted(TAKEN)))
    papers = licence_facts(session, circle.host_id)
    return InvitationFacts(
        same_team=episode.medical_team_id == circle.medical_team_id,
        in_treatment=episode.state in IN_TREATMENT,
        state=state_of(session, episode.patient_id),
        host_licensed_in=frozenset(paper.state for paper in papers if valid_on(paper, today)),
        taken=session.scalar(taken) or 0,
        capacity=circle.capacity,
        begun=circle.starts_at <= clock.now(),
    )


def _give(session: Session, actor: Actor, circle: Circle, episode: Episode, before: CirclePlace | None) -> CirclePlace:
    if before is None:
        place = CirclePlace(
            id=new_id(),
            circle_id=circle.id,
            patient_id=episode.patient_id,
            episode_id=episode.id,
            state=PlaceState.INVITED,
            invited_by=actor.id,
            invited_at=clock.now(),
        )
        session.add(place)
    else:
        place = before
        _move(place, PlaceStep.INVITE, actor)
        place.episode_id, place.answered_at = episode.id, None
        place.invited_by, place.invited_at = actor.id, clock.now()
    session.flush()
    return place


def _tell(session: Session, circle: Circle, place: CirclePlace) -> None:
    """The invitation by text, with a link of the patient's own; whoever is not texted hears it from the therapist."""
    episode = session.get_one(Episode, place.episode_id)
    data: dict[str, Any] = {"expires_at": circle.starts_at.isoformat()}
    if may_be_texted(session, place.patient_id):
        data["link"] = path_of(issue_link(session, SYSTEM, episode, LinkKind.SIGN_IN))
    emit(session, EventKind.CIRCLE_INVITED, subject=place_subject(place), episode_id=place.episode_id, **data)


def answer_invitation(session: Session, actor: Actor, circle_id: UUID, *, accepts: bool) -> CirclePlace:
    """The patient accepts or declines; who accepted is reminded. Raises ``NotFound``, ``IllegalTransition``."""
    authorize(actor, Action.ANSWER_CIRCLE)
    circle = locked_circle(session, circle_id)
    place = _place_of_patient(session, actor, circle_id)
    if circle is None or place is None:
        raise NotFound(INVISIBLE)
    episode = visible_episode(session, actor, Action.ANSWER_CIRCLE, place.episode_id)
    if not is_open(circle):
        raise NOT_PLANNED.conflict(state=circle.state)
    _move(place, PlaceStep.ACCEPT if accepts else PlaceStep.DECLINE, actor)
    place.answered_at = clock.now()
    session.flush()
    take_back_texts(session, place)
    if accepts:
        _remind(session, circle, place, episode)
    emit(
        session,
        EventKind.CIRCLE_ANSWERED,
        subject=place_subject(place),
        episode_id=episode.id,
    )
    record(session, actor, "circle.answer", "circle", circle.id, episode_id=episode.id, accepts=accepts)
    return place


def _remind(session: Session, circle: Circle, place: CirclePlace, episode: Episode) -> None:
    hours = programme_of(session, episode).number("circles.reminder_hours")
    due_at = circle.starts_at - timedelta(hours=hours)
    if due_at > clock.now():
        set_timer(session, EventKind.CIRCLE_REMINDER_DUE, episode, place_subject(place), due_at)


def remind_of_circle(session: Session, place_id: UUID, programme: Programme) -> None:
    """Text a patient who accepted that it is soon, until it begins; the patient's worker runs this by timer."""
    place = session.get(CirclePlace, place_id)
    if place is None or place.state != PlaceState.ACCEPTED:
        return
    circle, episode = session.get_one(Circle, place.circle_id), session.get_one(Episode, place.episode_id)
    if circle.state != CircleState.PLANNED or circle.starts_at <= clock.now():
        return
    data = {"expires_at": circle.starts_at.isoformat()}
    text_patient(session, NoticeKind.CIRCLE_REMINDER, place_subject(place), episode, None, data, programme)


def _place_of_patient(session: Session, actor: Actor, circle_id: UUID) -> CirclePlace | None:
    query = select(CirclePlace).where(
        CirclePlace.circle_id == circle_id,
        CirclePlace.patient_id == actor.id,
        CirclePlace.state != PlaceState.WITHDRAWN,
    )
    return session.scalar(query.with_for_update(), execution_options={"populate_existing": True})


def withdraw_invitation(session: Session, actor: Actor, place_id: UUID) -> CirclePlace:
    """The patient's therapist takes an invitation back. Raises ``NotFound``, ``IllegalTransition``."""
    place = _locked_place(session, place_id)
    episode = visible_episode(session, actor, Action.INVITE_TO_CIRCLE, place.episode_id)
    _move(place, PlaceStep.WITHDRAW, actor)
    session.flush()
    take_back_texts(session, place)
    record(session, actor, "circle.withdraw", "circle", place.circle_id, episode_id=episode.id)
    return place


def record_attendance(
    session: Session, actor: Actor, place_id: UUID, *, attended: bool, note: Personal[str] | None = None
) -> CirclePlace:
    """The host records whether a patient was there, with a note for that patient's record.

    Being there counts as the integration of the patient's last session only where the patient's programme says so.
    Raises ``NotFound`` for anybody but the host, ``RuleRefused`` before the circle has begun, ``IllegalTransition``.
    """
    authorize(actor, Action.HOST_CIRCLE)
    place = _locked_place(session, place_id)
    circle = hosted_circle(session, actor, place.circle_id, None)
    episode = session.get_one(Episode, place.episode_id)
    if clock.now() < circle.starts_at:
        raise RuleRefused("The circle has not begun.", [NOT_BEGUN.finding(programme_of(session, episode))])
    move_circle(circle, CircleStep.HOLD, actor)
    _move(place, PlaceStep.ATTEND if attended else PlaceStep.MISS, actor)
    place.recorded_at = circle.ended_at = clock.now()
    if note is not None:
        box(session, place.patient_id).seal(place, "note", note)
    session.flush()
    heed(session, actor, episode, note, subject=place_subject(place))
    take_back_texts(session, place)
    record(session, actor, "circle.record", "circle", circle.id, episode_id=episode.id, attended=attended)
    if attended and programme_of(session, episode).value("circles.count_as_integration"):
        integrate_elsewhere(session, actor, episode, began_at=circle.starts_at)
    return place


def list_places(
    session: Session, actor: Actor, episode_id: UUID, *, after: UUID | None = None, limit: int = 20
) -> Sequence[ReadPlace]:
    """The circles in one patient's record, with the notes, newest first; an audited read."""
    episode = visible_episode(session, actor, Action.READ_CIRCLE_PLACE, episode_id)
    query = select(CirclePlace).where(CirclePlace.episode_id == episode.id)
    query = page_of(query, CirclePlace.id, after=after, limit=limit)
    record(session, actor, "circle.list_places", "episode", episode.id, episode_id=episode.id)
    own = box(session, episode.patient_id)
    return [
        ReadPlace(place, session.get_one(Circle, place.circle_id), own.open(place, "note"))
        for place in session.scalars(query)
    ]


def _locked_place(session: Session, place_id: UUID) -> CirclePlace:
    """A place, held after its circle as everywhere here, so that two never wait for each other."""
    found = session.get(CirclePlace, place_id)
    if found is None:
        raise NotFound(INVISIBLE)
    locked_circle(session, found.circle_id)
    return session.get_one(CirclePlace, place_id, with_for_update=True, populate_existing=True)


def _move(place: CirclePlace, step: PlaceStep, actor: Actor) -> None:
    place.state = PLACE_TRANSITIONS.advance(PlaceState(place.state), step, actor.role)
