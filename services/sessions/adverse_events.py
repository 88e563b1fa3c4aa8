"""Adverse events, by grade: a serious one pages the medical team at once, a prescriber closes each (DOMAIN 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import NotFound, StaleVersion
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import settle_tasks
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.sessions.lookups import NOT_VISIBLE, refuse
from services.sessions.models import AdverseEvent, TherapySession
from services.sessions.rules import EVENT_OF_OTHER_EPISODE, EVENT_OUT_OF_TIME, HIGH_GRADES, PAGED_GRADES, Grade
from services.sessions.states import ADVERSE_EVENT_TRANSITIONS, AdverseEventState, AdverseEventStep
from services.vault.boxes import box

PAGE_LIMIT: Final = 101

# A mild one is kept and seen on the record; nobody is called to it.
EVENTS: Final[Mapping[Grade, EventKind]] = {
    Grade.MODERATE: EventKind.ADVERSE_EVENT_RECORDED,
    Grade.SEVERE: EventKind.ADVERSE_EVENT_RECORDED,
} | dict.fromkeys(PAGED_GRADES, EventKind.ADVERSE_EVENT_PAGED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What happened: how bad, what, when (aware), and in or after which session, if any."""

    grade: Grade
    description: Personal[str]
    occurred_at: datetime
    session_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class OpenedEvent:
    """An adverse event with its content."""

    event: AdverseEvent
    grade: Personal[Grade]
    description: Personal[str]
    resolution: Personal[str | None]


def record_adverse_event(session: Session, actor: Actor, episode_id: UUID, report: Report) -> OpenedEvent:
    """Put an adverse event on record. Moderate and severe ask the prescriber, serious pages the medical team now.

    Raises ``RuleRefused`` on ``occurred_at`` outside the episode, or on ``session_id`` of another one.
    """
    episode = visible_episode(session, actor, Action.RECORD_ADVERSE_EVENT, episode_id)
    now = clock.now()
    if not episode.opened_at <= report.occurred_at <= now:
        refuse(EVENT_OUT_OF_TIME.finding(), field="occurred_at")
    _check_session(session, episode, report.session_id)
    event = AdverseEvent(
        id=new_id(),
        episode_id=episode.id,
        patient_id=episode.patient_id,
        session_id=report.session_id,
        state=AdverseEventState.OPEN,
        occurred_at=report.occurred_at,
        recorded_by=actor.id,
        recorded_at=now,
    )
    content = {"grade": report.grade.value, "description": report.description.reveal().strip()}
    box(session, event.patient_id).seal(event, "content", content)
    session.add(event)
    session.flush()
    record(session, actor, "adverse_event.record", "adverse_event", event.id, episode_id=episode.id)
    if report.grade in EVENTS:
        emit(session, EVENTS[report.grade], subject=Subject("adverse_event", event.id), episode_id=episode.id)
    return _opened(session, event)


def _check_session(session: Session, episode: Episode, session_id: UUID | None) -> None:
    held = None if session_id is None else session.get(TherapySession, session_id)
    if session_id is not None and (held is None or held.episode_id != episode.id):
        refuse(EVENT_OF_OTHER_EPISODE.finding(), field="session_id")


def close_adverse_event(
    session: Session, actor: Actor, event_id: UUID, reason: Personal[str], *, version: int | None = None
) -> OpenedEvent:
    """A prescriber has dealt with it and says how. Raises ``IllegalTransition`` when it is closed, ``StaleVersion``."""
    event = session.get(AdverseEvent, event_id, with_for_update=True, populate_existing=True)
    if event is None:
        raise NotFound(NOT_VISIBLE)
    episode = visible_episode(session, actor, Action.CLOSE_ADVERSE_EVENT, event.episode_id)
    if version is not None and event.version != version:
        raise StaleVersion("Somebody else changed this adverse event since you read it.", field="version")
    step = AdverseEventStep.CLOSE
    event.state = ADVERSE_EVENT_TRANSITIONS.advance(AdverseEventState(event.state), step, actor.role)
    event.closed_at, event.closed_by = clock.now(), actor.id
    box(session, event.patient_id).seal(event, "resolution", reason.reveal().strip())
    session.flush()
    record(session, actor, "adverse_event.close", "adverse_event", event.id, episode_id=episode.id)
    settle_tasks(session, actor, Subject("adverse_event", event.id), {TaskKind.REVIEW_ADVERSE_EVENT})
    return _opened(session, event)


def list_adverse_events(
    session: Session, actor: Actor, episode_id: UUID, *, after: UUID | None = None, limit: int = 20
) -> list[OpenedEvent]:
    """The adverse events of an episode, newest first, from behind the id ``after``; an audited read."""
    episode = visible_episode(session, actor, Action.READ_ADVERSE_EVENT, episode_id)
    query = select(AdverseEvent).where(AdverseEvent.episode_id == episode.id)
    if after is not None:
        query = query.where(AdverseEvent.id < after)
    record(session, actor, "adverse_event.list", "episode", episode.id, episode_id=episode.id)
    rows = session.scalars(query.order_by(AdverseEvent.id.desc()).limit(min(limit, PAGE_LIMIT)))
    return [_opened(session, event) for event in rows]


def read_adverse_event(session: Session, actor: Actor, event_id: UUID) -> OpenedEvent:
    """One adverse event; an audited read."""
    event = session.get(AdverseEvent, event_id)
    if event is None:
        raise NotFound(NOT_VISIBLE)
    visible_episode(session, actor, Action.READ_ADVERSE_EVENT, event.episode_id)
    record(session, actor, "adverse_event.read", "adverse_event", event.id, episode_id=event.episode_id)
    return _opened(session, event)


def open_high_adverse_events(session: Session, episode_id: UUID) -> list[UUID]:
    """The open severe and serious ones, which hold up refills (DOMAIN 4). The caller has settled who may know."""
    query = select(AdverseEvent).where(
        AdverseEvent.episode_id == episode_id, AdverseEvent.state == AdverseEventState.OPEN
    )
    found = [_opened(session, event) for event in session.scalars(query.order_by(AdverseEvent.id))]
    return [each.event.id for each in found if each.grade.reveal() in HIGH_GRADES]


def _opened(session: Session, event: AdverseEvent) -> OpenedEvent:
    own = box(session, event.patient_id)
    content = own.open(event, "content").reveal()
    grade, description = Personal(Grade(content["grade"])), Personal(content["description"])
    return OpenedEvent(event, grade, description, own.open(event, "resolution"))
