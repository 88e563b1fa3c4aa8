"""The physician, who is a prescriber, checks in at the start of a session whose dose demands it (DOMAIN 1)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.outbox import emit
from services.messaging.tasks import settle_tasks
from services.messaging.timers import cancel_timers, set_timer
from services.people.access import Action
from services.people.models import Episode
from services.people.programmes import programme_of
from services.screening.written_texts import heed
from services.sessions.lookups import locked_session, subject_of, take
from services.sessions.models import TherapySession
from services.sessions.noted import Noted, latest_note, note
from services.sessions.states import SessionStep

AHEAD: Final = EventKind.PHYSICIAN_WANTED


def ask_physician_ahead(session: Session, episode: Episode, row: TherapySession) -> None:
    """Let the medical team have the task in time; asking again for the same session moves it."""
    hours = programme_of(session, episode).number("sessions.physician_notice_hours")
    cancel_timers(session, subject_of(row), {AHEAD})
    set_timer(session, AHEAD, episode, subject_of(row), max(clock.now(), row.starts_at - timedelta(hours=hours)))


def call_physician(session: Session, episode: Episode, row: TherapySession) -> None:
    """The session is about to begin and waits for the physician."""
    cancel_timers(session, subject_of(row), {AHEAD})
    emit(session, EventKind.PHYSICIAN_AWAITED, subject=subject_of(row), episode_id=episode.id)


def check_in_at_start(
    session: Session,
    actor: Actor,
    session_id: UUID,
    text: Personal[str] | None = None,
    *,
    version: int | None = None,
) -> TherapySession:
    """The physician saw or spoke with the patient at the start, and says so.

    Raises ``IllegalTransition`` before the session is ready and once the patient is discharged, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.ATTEND_START, session_id, version)
    take(row, SessionStep.ATTEND_START, actor)
    note(session, actor, row, Noted.PHYSICIAN, {"note": None if text is None else text.reveal().strip()})
    cancel_timers(session, subject_of(row), {AHEAD})
    settle_tasks(session, actor, subject_of(row), {TaskKind.ATTEND_START})
    record(session, actor, "session.attend_start", "session", row.id, episode_id=episode.id)
    heed(session, actor, episode, text, subject=subject_of(row))
    return row


def checked_in_at(session: Session, row: TherapySession) -> datetime | None:
    """When the physician last checked in at the start of a session."""
    found = latest_note(session, row, Noted.PHYSICIAN)
    return None if found is None else found.at
