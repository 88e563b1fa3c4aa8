"""Adverse events, by grade: a serious one pages the medical team at once, a prescriber closes each (DOMAIN 4)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Exists, SQLColumnExpression, exists, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import NotFound, StaleVersion
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.programme import Programme
from services.core.vocabulary import TaskKind
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import settle_tasks
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.people.programmes import programme_of
from services.screening.written_texts import heed
from services.sessions.adverse_event_rules import (
    EVENT_OF_OTHER_EPISODE,
    EVENT_OUT_OF_TIME,
    HIGH_GRADES,
    Effect,
    Grade,
    event_of,
    is_expected,
)
from services.sessions.lookups import NOT_VISIBLE, refuse
from services.sessions.models import AdverseEvent, TherapySession
from services.sessions.states import ADVERSE_EVENT_TRANSITIONS, AdverseEventState, AdverseEventStep
from services.vault.boxes import box


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What happened: how bad, what (one coded word, and in words), when (aware), in or after which session, if any."""

    grade: Grade
    description: Personal[str]
    occurred_at: datetime
    session_id: UUID | None = None
    effect: Effect = Effect.OTHER


@dataclass(frozen=True, slots=True)
class OpenedEvent:
    """An adverse event with its content. ``expected``: its effect is one that the programme tells patients of."""

    event: AdverseEvent
    grade: Personal[Grade]
    effect: Personal[Effect]
    expected: bool
    description: Personal[str]
    resolution: Personal[str | None]


def record_adverse_event(session: Session, actor: Actor, episode_id: UUID, report: Report) -> OpenedEvent:
    """Put an adverse event on record. The prescriber is asked to look at it unless it is mild and expected.

    A serious one pages the medical team now.

    Raises ``RuleRefused`` on ``occurred_at`` outside the episode, or on ``session_id`` of another one.
    """
    episode = visible_episode(session, actor, Action.RECORD_ADVERSE_EVENT, episode_id)
    now = clock.now()
    if not episode.opened_at <= report.occurred_at <= now:
        refuse(
            EVENT_OUT_OF_TIME.finding(occurred_at=report.occurred_at.isoformat(), now=now.isoformat()),
            field="occurred_at",
        )
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
    content = {
        "grade": report.grade.value,
        "effect": report.effect.value,
        "description": report.description.reveal().strip(),
    }
    box(session, event.patient_id).seal(event, "content", content)
    session.add(event)
    session.flush()
    record(session, actor, "adverse_event.record", "adverse_event", event.id, episode_id=episode.id)
    heed(session, actor, episode, report.description, subject=Subject("adverse_event", event.id))
    programme = programme_of(session, episode)
    kind = event_of(report.grade, report.effect, programme)
    if kind is not None:
        emit(session, kind, subject=Subject("adverse_event", event.id), episode_id=episode.id)
    return _opened(session, event, programme)


def _check_session(session: Session, episode: Episode, session_id: UUID | None) -> None:
    held = None if session_id is None else session.get(TherapySession, session_id)
    if session_id is not None and (held is None or held.episode_id != episode.id):
        refuse(EVENT_OF_OTHER_EPISODE.finding(session_id=str(session_id)), field="session_id")


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
    heed(session, actor, episode, reason, subject=Subject("adverse_event", event.id))
    settle_tasks(session, actor, Subject("adverse_event", event.id), {TaskKind.REVIEW_ADVERSE_EVENT})
    return _opened(session, event, programme_of(session, episode))


def list_adverse_events(
    session: Session, actor: Actor, episode_id: UUID, *, after: UUID | None = None, limit: int = 20
) -> list[OpenedEvent]:
    """The adverse events of an episode, newest first, from behind the id ``after``; an audited read."""
    episode = visible_episode(session, actor, Action.READ_ADVERSE_EVENT, episode_id)
    query = select(AdverseEvent).where(AdverseEvent.episode_id == episode.id)
    record(session, actor, "adverse_event.list", "episode", episode.id, episode_id=episode.id)
    rows = session.scalars(page_of(query, AdverseEvent.id, after=after, limit=limit))
    programme = programme_of(session, episode)
    return [_opened(session, event, programme) for event in rows]


def read_adverse_event(session: Session, actor: Actor, event_id: UUID) -> OpenedEvent:
    """One adverse event; an audited read."""
    event = session.get(AdverseEvent, event_id)
    if event is None:
        raise NotFound(NOT_VISIBLE)
    episode = visible_episode(session, actor, Action.READ_ADVERSE_EVENT, event.episode_id)
    record(session, actor, "adverse_event.read", "adverse_event", event.id, episode_id=event.episode_id)
    return _opened(session, event, programme_of(session, episode))


def open_high_adverse_events(session: Session, episode_id: UUID) -> list[UUID]:
    """The open severe and serious ones, which hold up refills (DOMAIN 4). The caller has settled who may know."""
    query = select(AdverseEvent).where(
        AdverseEvent.episode_id == episode_id, AdverseEvent.state == AdverseEventState.OPEN
    )
    return [
        event.id for event in session.scalars(query.order_by(AdverseEvent.id)) if _grade(session, event) in HIGH_GRADES
    ]


def has_open_adverse_events(episode_id: SQLColumnExpression[UUID]) -> Exists:
    """Whether there is any open one, of whatever grade, for a query that reads episodes anyway."""
    return exists().where(AdverseEvent.episode_id == episode_id, AdverseEvent.state == AdverseEventState.OPEN.value)


@dataclass(frozen=True, slots=True)
class Graded:
    """An adverse event as it is counted: which effect, how bad, when, in whose episode."""

    episode_id: UUID
    effect: Effect
    grade: Grade
    occurred_at: datetime

    def __repr__(self) -> str:
        return "<graded adverse event>"


def graded_events(session: Session, episode_ids: Collection[UUID]) -> list[Graded]:
    """All adverse events of some episodes by effect and grade, oldest first. The caller has settled who may know."""
    query = select(AdverseEvent).where(AdverseEvent.episode_id.in_(episode_ids))
    rows = session.scalars(query.order_by(AdverseEvent.occurred_at, AdverseEvent.id))
    return [Graded(row.episode_id, _effect(session, row), _grade(session, row), row.occurred_at) for row in rows]


def _grade(session: Session, event: AdverseEvent) -> Grade:
    return Grade(box(session, event.patient_id).open(event, "content").reveal()["grade"])


def _effect(session: Session, event: AdverseEvent) -> Effect:
    # Those recorded before effects had names of their own have only a description.
    return Effect(box(session, event.patient_id).open(event, "content").reveal().get("effect", Effect.OTHER))


def _opened(session: Session, event: AdverseEvent, programme: Programme) -> OpenedEvent:
    own, effect = box(session, event.patient_id), _effect(session, event)
    return OpenedEvent(
        event,
        Personal(_grade(session, event)),
        Personal(effect),
        is_expected(effect, programme),
        Personal(own.open(event, "content").reveal()["description"]),
        own.open(event, "resolution"),
    )
