"""What follows a dosing session: the call within a day, and integration after 24 to 48 hours (DOMAIN 1 and 4).

Integration that is due, overdue or escalated shows itself by timers; holding the integration session ends them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.tasks import settle_tasks
from services.messaging.timers import cancel_timers, set_timer
from services.people.access import Action
from services.people.models import Episode
from services.people.programmes import programme_of
from services.screening.written_texts import heed
from services.sessions.booking_rules import INTEGRATES_UNFINISHED, TALK_NOT_BEGUN
from services.sessions.lookups import locked_session, refuse, subject_of, take
from services.sessions.models import TherapySession
from services.sessions.noted import Noted, note
from services.sessions.rules import afterward_times
from services.sessions.states import OVER, SessionKind, SessionState, SessionStep

CHECK_IN: Final = EventKind.CHECK_IN_DUE
INTEGRATION: Final = (EventKind.INTEGRATION_DUE, EventKind.INTEGRATION_OVERDUE, EventKind.INTEGRATION_ESCALATED)


def await_check_in(session: Session, episode: Episode, row: TherapySession, after: datetime) -> None:
    """Let the therapist have the task to look after the patient early enough to be done within the day.

    It is set with the first dose already, so that a session that nobody brings to an end shows itself too.
    """
    programme = programme_of(session, episode)
    by = afterward_times(after, programme).check_in_by
    due_at = max(after, by - timedelta(hours=programme.number("sla.same_day_hours")))
    cancel_timers(session, subject_of(row), {CHECK_IN})
    set_timer(session, CHECK_IN, episode, subject_of(row), due_at)


def begin_afterwards(session: Session, episode: Episode, row: TherapySession, ended_at: datetime) -> None:
    """Start the timers of a dosing session that ended with something taken. Only ``HOLD`` ends those of integration."""
    times = afterward_times(ended_at, programme_of(session, episode))
    cancel_timers(session, subject_of(row), INTEGRATION)
    due = (times.integration_from, times.integration_overdue_at, times.integration_escalated_at)
    for kind, due_at in zip(INTEGRATION, due, strict=True):
        set_timer(session, kind, episode, subject_of(row), due_at)
    await_check_in(session, episode, row, ended_at)


def hold_session(session: Session, actor: Actor, session_id: UUID, *, version: int | None = None) -> TherapySession:
    """A preparation or integration session was held. Integration closes its dosing session and what was asked for it.

    Raises ``RuleRefused`` before its time, or while the dosing session is not over; ``IllegalTransition``,
    ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    take(row, SessionStep.HOLD, actor)
    now = clock.now()
    if now < row.starts_at:
        refuse(TALK_NOT_BEGUN.finding(starts_at=row.starts_at.isoformat(), now=now.isoformat()))
    row.ended_at, row.therapist_id = clock.now(), actor.id
    session.flush()
    cancel_timers(session, subject_of(row))
    settle_tasks(session, actor, subject_of(row), {TaskKind.RESCHEDULE_SESSION})
    record(session, actor, "session.hold", "session", row.id, episode_id=episode.id, kind=row.kind)
    if row.kind == SessionKind.INTEGRATION and row.integrates_id is not None:
        _integrate(session, actor, row.integrates_id)
    return row


def _integrate(session: Session, actor: Actor, dosing_id: UUID) -> None:
    dosing = session.get_one(TherapySession, dosing_id, with_for_update=True, populate_existing=True)
    if dosing.state in OVER:
        return  # a further talk about a session that was integrated before, or never took place
    if dosing.state not in (SessionState.INTEGRATION_DUE, SessionState.ABORTED):
        refuse(INTEGRATES_UNFINISHED.finding(state=dosing.state))
    take(dosing, SessionStep.INTEGRATE, actor)
    session.flush()
    cancel_timers(session, subject_of(dosing))
    asked = {TaskKind.RECORD_INTEGRATION, TaskKind.CHASE_OVERDUE_TASK, TaskKind.CHECK_IN}
    settle_tasks(session, actor, subject_of(dosing), asked)
    record(session, actor, "session.integrate", "session", dosing.id, episode_id=dosing.episode_id)


def integrate_elsewhere(session: Session, actor: Actor, episode: Episode, *, began_at: datetime) -> bool:
    """Close the latest dosing session that awaits its integration, which took place in another way, such as a circle.

    Only what was over when that began, at ``began_at``: nobody integrates what is yet to come, though it be recorded
    later. The caller has authorized the act. False when none awaits it.
    """
    query = select(TherapySession).where(
        TherapySession.episode_id == episode.id,
        TherapySession.state == SessionState.INTEGRATION_DUE,
        TherapySession.ended_at <= began_at,
    )
    waiting = session.scalar(query.order_by(TherapySession.starts_at.desc()).limit(1))
    if waiting is None:
        return False
    _integrate(session, actor, waiting.id)
    return True


def record_check_in(
    session: Session,
    actor: Actor,
    session_id: UUID,
    concern: bool,
    text: Personal[str] | None = None,
    *,
    version: int | None = None,
) -> TherapySession:
    """The therapist spoke with the patient after a dosing session; ``concern``: not all is well.

    What is not well is reported as an adverse event. Raises ``IllegalTransition`` while the patient has not left.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    take(row, SessionStep.CHECK_IN, actor)
    content = {"concern": concern, "note": None if text is None else text.reveal().strip()}
    note(session, actor, row, Noted.CHECK_IN, content)
    cancel_timers(session, subject_of(row), {CHECK_IN})
    settle_tasks(session, actor, subject_of(row), {TaskKind.CHECK_IN})
    record(session, actor, "session.check_in", "session", row.id, episode_id=episode.id)
    heed(session, actor, episode, text, subject=subject_of(row))
    return row
