"""Looks at the patient while the medicine works (DOMAIN 4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.personal import Personal
from services.core.vocabulary import EventKind
from services.messaging.outbox import emit
from services.people.access import Action
from services.people.programmes import programme_of
from services.screening.written_texts import heed
from services.sessions.dose_rules import CHECK_OUT_OF_TIME
from services.sessions.emergencies import begin_emergency, check_red_flags
from services.sessions.lookups import locked_session, refuse, subject_of, take
from services.sessions.models import TherapySession
from services.sessions.monitoring import now_off_video, saw_patient
from services.sessions.noted import Noted, note
from services.sessions.states import SessionState, SessionStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at the patient shows. ``concern``: something is not as it should be; ``ratings`` from 0 to 10 each.

    ``red_flags`` are names of ``vitals.emergency.symptoms``; any of them is an emergency. ``on_video``: whether the
    patient of a remote session was seen; what nobody said counts as not.
    """

    concern: bool
    ratings: Mapping[str, int] | None = None
    red_flags: Collection[str] = ()
    note: Personal[str] | None = None
    at: datetime | None = None
    on_video: bool | None = None


def record_check(
    session: Session, actor: Actor, session_id: UUID, look: Look, *, version: int | None = None
) -> TherapySession:
    """Record a look at the patient. A red flag is an emergency; a concern takes a passed discharge gate back.

    So does lost video in a remote session: the therapist is asked to act at once, and the medical team is told.
    Raises ``InvalidInput`` on ``red_flags``, ``RuleRefused`` on ``checked_at``, ``IllegalTransition``,
    ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    check_red_flags(look.red_flags, programme_of(session, episode))
    state_before = row.state
    take(row, SessionStep.MONITOR, actor)
    now = clock.now()
    at = look.at or now
    if at > now or at < (row.dosed_at or row.created_at):
        refuse(CHECK_OUT_OF_TIME.finding(checked_at=at.isoformat(), now=now.isoformat()), field="checked_at")
    was_off = now_off_video(session, row)
    content = {
        "concern": look.concern,
        "ratings": None if look.ratings is None else dict(look.ratings),
        "red_flags": sorted(look.red_flags),
        "note": None if look.note is None else look.note.reveal().strip(),
        "on_video": look.on_video,
    }
    note(session, actor, row, Noted.LOOK, content, at)
    record(session, actor, "session.check", "session", row.id, episode_id=episode.id)
    heed(session, actor, episode, look.note, subject=subject_of(row))
    if look.red_flags:
        begin_emergency(session, actor, row, episode, look.red_flags, None)
    elif now_off_video(session, row):
        if not was_off:
            emit(session, EventKind.VIDEO_LOST, subject=subject_of(row), episode_id=episode.id)
    elif state_before == SessionState.DISCHARGE_READY and not look.concern:
        row.state = state_before
    session.flush()
    saw_patient(session, actor, episode, row, on_video=look.on_video)
    return row
