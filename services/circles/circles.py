"""Planning, holding and cancelling circles; what a host, another therapist and a patient see of one.

A patient sees the circle and the own place. A therapist sees the places of the own patients, and the host beside them
who is expected, by first name, to know whom to let in. No answer to anybody else tells that there are others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.circles.models import Circle, CirclePlace
from services.circles.rules import PlanFacts, plan_findings
from services.circles.states import AWAITED, CIRCLE_TRANSITIONS, CircleState, CircleStep, PlaceState
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import NotFound, RuleRefused, StaleVersion
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.vocabulary import EventKind, NoticeKind
from services.messaging.notices import withdraw_texts
from services.messaging.outbox import Subject, emit
from services.messaging.timers import cancel_timers
from services.people.access import Action, authorize
from services.people.accounts import person_of
from services.people.models import Episode, Organisation
from services.people.patients import details_of
from services.people.practitioners import is_kap_trained
from services.people.programmes import programme_for
from services.people.settings import settings
from services.vault.boxes import box

INVISIBLE: Final = "There is no such record, or it is not yours to see."
TEXTS: Final = frozenset({NoticeKind.CIRCLE_INVITED, NoticeKind.CIRCLE_REMINDER})
LET_IN: Final = frozenset({PlaceState.ACCEPTED, PlaceState.ATTENDED})
SEEN_BY_PATIENT: Final = tuple(sorted(set(PlaceState) - {PlaceState.WITHDRAWN}))


@dataclass(frozen=True, slots=True, kw_only=True)
class CircleDetails:
    """A circle to plan. ``address`` is where it meets online; ``title`` is read by everybody who is invited."""

    title: Personal[str]
    address: Personal[str]
    starts_at: datetime
    ends_at: datetime
    capacity: int


@dataclass(frozen=True, slots=True, repr=False)
class ShownPlace:
    """A place as a therapist sees it. ``first_name`` is for the host, ``episode_id`` for the own therapist alone."""

    place: CirclePlace
    episode_id: UUID | None
    first_name: Personal[str | None]


@dataclass(frozen=True, slots=True, repr=False)
class ReadCircle:
    """A circle as its reader may see it. ``address`` is for the host and for whoever accepted."""

    circle: Circle
    title: Personal[str]
    host: Personal[str]
    address: Personal[str | None]
    own: CirclePlace | None
    places: Sequence[ShownPlace]


def plan_circle(session: Session, actor: Actor, details: CircleDetails) -> Circle:
    """Plan a circle that the acting therapist hosts, for the patients of the medical team their practice works with.

    Raises ``RuleRefused`` with what speaks against it.
    """
    authorize(actor, Action.HOST_CIRCLE)
    practice = session.get_one(Organisation, actor.organisation_id)
    team_id = practice.partner_medical_team_id
    programme = settings() if team_id is None else programme_for(session, practice.id, team_id)
    facts = PlanFacts(
        kap_trained=is_kap_trained(session, actor.id, clock.now().date()),
        has_team=team_id is not None,
        capacity=details.capacity,
        starts_at=details.starts_at,
        ends_at=details.ends_at,
        now=clock.now(),
    )
    findings = plan_findings(facts, programme)
    if findings or team_id is None:
        raise RuleRefused("This circle cannot be planned.", findings)
    circle = Circle(
        id=new_id(),
        host_id=actor.id,
        medical_team_id=team_id,
        state=CircleState.PLANNED,
        starts_at=details.starts_at,
        ends_at=details.ends_at,
        capacity=details.capacity,
        created_at=clock.now(),
    )
    own = box(session, actor.id)
    own.seal(circle, "title", details.title)
    own.seal(circle, "address", details.address)
    session.add(circle)
    session.flush()
    record(session, actor, "circle.plan", "circle", circle.id, capacity=circle.capacity)
    return circle


def cancel_circle(session: Session, actor: Actor, circle_id: UUID, *, version: int | None = None) -> Circle:
    """Cancel a circle that has not been held; everybody who may come is told. Raises ``IllegalTransition``."""
    circle = hosted_circle(session, actor, circle_id, version)
    move_circle(circle, CircleStep.CANCEL, actor)
    circle.ended_at = clock.now()
    session.flush()
    record(session, actor, "circle.cancel", "circle", circle.id)
    at = circle.starts_at.isoformat()
    for place in places_of(session, circle.id):
        take_back_texts(session, place)
        if place.state in AWAITED and circle.starts_at > clock.now():
            emit(session, EventKind.CIRCLE_CANCELLED, subject=place_subject(place), episode_id=place.episode_id, at=at)
    return circle


def read_circle(session: Session, actor: Actor, circle_id: UUID) -> ReadCircle:
    """A circle, as far as it is the reader's to see; audited for each patient whose place is shown.

    Raises ``NotFound``.
    """
    authorize(actor, Action.READ_CIRCLE)
    circle = session.scalar(select(Circle).where(Circle.id == circle_id, _visible_to(session, actor)))
    if circle is None:
        raise NotFound(INVISIBLE)
    places = places_of(session, circle.id)
    own = next((place for place in places if actor.role is Role.PATIENT and place.patient_id == actor.id), None)
    shown = [] if actor.role is Role.PATIENT else list(_shown(session, actor, circle, places))
    for place in [own] if own is not None else [each.place for each in shown]:
        record(session, actor, "circle.read", "circle", circle.id, episode_id=place.episode_id)
    is_let_in = circle.host_id == actor.id or (own is not None and own.state in LET_IN)
    keys = box(session, circle.host_id)
    return ReadCircle(
        circle=circle,
        title=keys.open(circle, "title"),
        host=person_of(session, circle.host_id).full_name,
        address=keys.open(circle, "address") if is_let_in and is_open(circle) else Personal(None),
        own=own,
        places=shown,
    )


def _shown(session: Session, actor: Actor, circle: Circle, places: Sequence[CirclePlace]) -> list[ShownPlace]:
    found = []
    for place in places:
        is_own = session.get_one(Episode, place.episode_id).therapist_id == actor.id
        if circle.host_id == actor.id:
            name = details_of(session, place.patient_id).full_name.reveal().split()[0]
            found.append(ShownPlace(place, place.episode_id if is_own else None, Personal(name)))
        elif is_own:
            found.append(ShownPlace(place, place.episode_id, Personal(None)))
    return found


def list_circles(session: Session, actor: Actor, *, after: UUID | None = None, limit: int = 20) -> Sequence[Circle]:
    """The circles that the actor can see, newest first, from behind the id ``after``; content stays sealed."""
    authorize(actor, Action.READ_CIRCLE)
    query = select(Circle).where(_visible_to(session, actor))
    return session.scalars(page_of(query, Circle.id, after=after, limit=limit)).all()


def _visible_to(session: Session, actor: Actor) -> ColumnElement[bool]:
    """A patient sees circles with an own place; a therapist the own ones and those of the same medical team."""
    if actor.role is Role.PATIENT:
        own = select(CirclePlace.circle_id).where(
            CirclePlace.patient_id == actor.id, CirclePlace.state.in_(SEEN_BY_PATIENT)
        )
        if actor.episode_id is not None:
            own = own.where(CirclePlace.episode_id == actor.episode_id)
        return Circle.id.in_(own)
    practice = None if actor.organisation_id is None else session.get(Organisation, actor.organisation_id)
    team_id = None if practice is None else practice.partner_medical_team_id
    return or_(Circle.host_id == actor.id, Circle.medical_team_id == team_id)


def hosted_circle(session: Session, actor: Actor, circle_id: UUID, version: int | None) -> Circle:
    """A circle of the acting host's, held until the commit. Raises ``NotFound``, ``StaleVersion``."""
    authorize(actor, Action.HOST_CIRCLE)
    circle = locked_circle(session, circle_id)
    if circle is None or circle.host_id != actor.id:
        raise NotFound(INVISIBLE)
    if version is not None and circle.version != version:
        raise StaleVersion("This circle changed since you read it.", field="version")
    return circle


def locked_circle(session: Session, circle_id: UUID) -> Circle | None:
    """A circle, held until the commit: whoever counts places waits for whoever is just giving one away."""
    return session.get(Circle, circle_id, with_for_update=True, populate_existing=True)


def is_open(circle: Circle) -> bool:
    """Whether one may still come: it is planned, or under way with somebody's attendance on record already."""
    if circle.state == CircleState.HELD:
        return clock.now() < circle.ends_at
    return circle.state == CircleState.PLANNED


def take_back_texts(session: Session, place: CirclePlace) -> None:
    """No reminder any more, and no text that has not gone yet: it would ask to something that the patient is not at."""
    cancel_timers(session, place_subject(place))
    withdraw_texts(session, place.patient_id, place_subject(place), TEXTS)


def move_circle(circle: Circle, step: CircleStep, actor: Actor) -> None:
    """Let a circle take a step. Raises ``IllegalTransition``."""
    circle.state = CIRCLE_TRANSITIONS.advance(CircleState(circle.state), step, actor.role)


def places_of(session: Session, circle_id: UUID) -> Sequence[CirclePlace]:
    """All places of a circle, in the order of invitation; for use cases."""
    return session.scalars(select(CirclePlace).where(CirclePlace.circle_id == circle_id).order_by(CirclePlace.id)).all()


def place_subject(place: CirclePlace) -> Subject:
    """What events and timers about a place are about."""
    return Subject("circle_place", place.id)
