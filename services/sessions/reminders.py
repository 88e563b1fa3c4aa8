"""Reminders of sessions. Whether one is still right is looked at when its time has come, not when it was set."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM
from services.core.programme import Programme
from services.core.vocabulary import EventKind, NoticeKind
from services.messaging.notices import text_patient
from services.messaging.timers import cancel_timers, set_timer
from services.people.models import Episode
from services.people.programmes import programme_of
from services.sessions.lookups import subject_of
from services.sessions.models import TherapySession
from services.sessions.states import SessionState

REMINDER = EventKind.SESSION_REMINDER_DUE


def reset_reminder(session: Session, episode: Episode, row: TherapySession) -> None:
    """Remind the patient once, before the session's present time; an earlier reminder of it falls away.

    A session booked at shorter notice has none: the text about the booking itself is recent enough.
    """
    cancel_timers(session, subject_of(row), {REMINDER})
    due_at = row.starts_at - _ahead(programme_of(session, episode))
    if due_at > clock.now():
        set_timer(session, REMINDER, episode, subject_of(row), due_at)


def stop_reminder(session: Session, row: TherapySession) -> None:
    """No reminder any more."""
    cancel_timers(session, subject_of(row), {REMINDER})


def remind_of_session(session: Session, session_id: UUID, programme: Programme) -> None:
    """Text the patient the reminder of a session that still stands; the patient party's worker runs this by timer.

    A session that was cancelled, has begun, or was moved after the timer fired gets none: a later time has a timer of
    its own. The row is held, so that moving and reminding happen one after the other.
    """
    row = session.get(TherapySession, session_id, with_for_update=True, populate_existing=True)
    if row is None or row.state != SessionState.SCHEDULED:
        return
    now = clock.now()
    if not now < row.starts_at <= now + _ahead(programme):
        return
    episode = session.get(Episode, row.episode_id)
    data = {"at": row.starts_at.isoformat()}
    text_patient(session, NoticeKind.SESSION_REMINDER, subject_of(row), episode, None, data, programme)
    record(session, SYSTEM, "session.remind", "session", row.id, episode_id=row.episode_id)


def _ahead(programme: Programme) -> timedelta:
    return timedelta(hours=programme.number("sessions.reminder_hours"))
