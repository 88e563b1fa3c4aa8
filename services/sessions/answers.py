"""What a patient answers about a visit: it is fine, or it needs another time; by link, or by replying to the text."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.keywords import Reading
from services.messaging.outbox import emit
from services.messaging.states import TaskStep
from services.messaging.tasks import settle_tasks
from services.people.access import Action
from services.people.models import Episode
from services.sessions.booking_rules import IN_THE_PAST
from services.sessions.lookups import locked_session, refuse, subject_of, take
from services.sessions.models import TherapySession
from services.sessions.states import SessionState, SessionStep


def confirm_session(session: Session, actor: Actor, session_id: UUID, *, version: int | None = None) -> TherapySession:
    """The patient will come. Saying so twice is once; having asked for another time before falls away.

    Raises ``RuleRefused`` once the time has passed, ``IllegalTransition``, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.ANSWER_SESSION, session_id, version)
    take(row, SessionStep.CONFIRM, actor)
    _check_ahead(row)
    if row.confirmed_at is not None:
        return row
    row.confirmed_at, row.reschedule_asked_at = clock.now(), None
    session.flush()
    record(session, actor, "session.confirm", "session", row.id, episode_id=episode.id)
    settle_tasks(session, actor, subject_of(row), {TaskKind.RESCHEDULE_SESSION}, TaskStep.CANCEL)
    emit(session, EventKind.SESSION_CONFIRMED, subject=subject_of(row), episode_id=episode.id)
    return row


def ask_to_reschedule(
    session: Session, actor: Actor, session_id: UUID, *, version: int | None = None
) -> TherapySession:
    """The patient needs another time; the therapist gets one task, however often it is asked.

    The session stands until the therapist moves or cancels it. Raises as ``confirm_session`` does.
    """
    row, episode = locked_session(session, actor, Action.ANSWER_SESSION, session_id, version)
    take(row, SessionStep.ASK_TO_RESCHEDULE, actor)
    _check_ahead(row)
    if row.reschedule_asked_at is not None:
        return row
    row.reschedule_asked_at, row.confirmed_at = clock.now(), None
    session.flush()
    record(session, actor, "session.ask_to_reschedule", "session", row.id, episode_id=episode.id)
    emit(session, EventKind.SESSION_RESCHEDULE_ASKED, subject=subject_of(row), episode_id=episode.id)
    return row


def _check_ahead(row: TherapySession) -> None:
    now = clock.now()
    if row.starts_at <= now:
        refuse(IN_THE_PAST.finding(starts_at=row.starts_at.isoformat(), now=now.isoformat()))


def confirm_by_sms(session: Session, actor: Actor, episode: Episode, reading: Reading) -> bool:
    """CONFIRM: the patient will come to the next session. False when none is planned."""
    next_id = _next_session(session, episode.id)
    if next_id is None:
        return False
    confirm_session(session, actor, next_id)
    return True


def reschedule_by_sms(session: Session, actor: Actor, episode: Episode, reading: Reading) -> bool:
    """RESCHED: the next session needs another time. False when none is planned."""
    next_id = _next_session(session, episode.id)
    if next_id is None:
        return False
    ask_to_reschedule(session, actor, next_id)
    return True


def _next_session(session: Session, episode_id: UUID) -> UUID | None:
    query = select(TherapySession.id).where(
        TherapySession.episode_id == episode_id,
        TherapySession.state == SessionState.SCHEDULED,
        TherapySession.starts_at > clock.now(),
    )
    return session.scalar(query.order_by(TherapySession.starts_at).limit(1))
