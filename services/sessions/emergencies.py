"""Emergencies: declared by the therapist or by a reading, shown with "call 911", closed by a prescriber (DOMAIN 4)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import InvalidInput
from services.core.personal import Personal
from services.core.programme import Programme
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.outbox import emit
from services.messaging.tasks import settle_tasks
from services.messaging.timers import cancel_timers
from services.people.access import Action
from services.people.models import Episode
from services.people.programmes import programme_of
from services.screening.written_texts import heed
from services.sessions.afterwards import begin_afterwards
from services.sessions.lookups import locked_session, subject_of, take
from services.sessions.models import TherapySession
from services.sessions.monitoring import end_watch
from services.sessions.reminders import stop_reminder
from services.sessions.states import SessionState, SessionStep
from services.vault.boxes import box


@dataclass(frozen=True, slots=True)
class Advice:
    """What to show at once and before everything else: the number to call, and a sentence."""

    call: str
    sentence: str


def emergency_advice(programme: Programme) -> Advice:
    """What to do now."""
    number = programme.text("triage.crisis.emergency.number")
    return Advice(number, f"Call {number} now and stay with the patient. The medical team is being paged.")


def declare_emergency(
    session: Session,
    actor: Actor,
    session_id: UUID,
    red_flags: Collection[str],
    description: Personal[str],
    *,
    version: int | None = None,
) -> TherapySession:
    """Somebody is in danger: the medical team is paged. Declaring it again only adds to what is known.

    ``red_flags`` are names of ``vitals.emergency.symptoms``, perhaps none. Raises ``InvalidInput`` on ``red_flags``,
    ``IllegalTransition`` for a session that is over, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    check_red_flags(red_flags, programme_of(session, episode))
    begin_emergency(session, actor, row, episode, red_flags, description.reveal().strip())
    return row


def check_red_flags(red_flags: Collection[str], programme: Programme) -> None:
    """Raise ``InvalidInput`` on ``red_flags`` for a name that the programme does not have."""
    known = programme.choices("vitals.emergency.symptoms")
    if not set(red_flags) <= known:
        raise InvalidInput(f"Known red flags: {', '.join(sorted(known))}.", field="red_flags")


def begin_emergency(
    session: Session,
    actor: Actor,
    row: TherapySession,
    episode: Episode,
    red_flags: Collection[str],
    description: str | None,
) -> None:
    """Make a locked session an emergency, or add to the one it is. The caller has authorized the act that showed it."""
    is_known = row.state == SessionState.EMERGENCY
    take(row, SessionStep.DECLARE_EMERGENCY, actor)
    own = box(session, row.patient_id)
    before = own.open(row, "reason").reveal() or {"red_flags": [], "texts": []}
    after = {
        "red_flags": sorted({*before["red_flags"], *red_flags}),
        "texts": [*before["texts"], *([description] if description else [])],
    }
    own.seal(row, "reason", after)
    session.flush()
    stop_reminder(session, row)
    end_watch(session, actor, row)
    record(session, actor, "session.declare_emergency", "session", row.id, episode_id=episode.id, again=is_known)
    heed(session, actor, episode, description, subject=subject_of(row))
    if not is_known:
        emit(session, EventKind.EMERGENCY_DECLARED, subject=subject_of(row), episode_id=episode.id)


def close_emergency(
    session: Session, actor: Actor, session_id: UUID, resolution: Personal[str], *, version: int | None = None
) -> TherapySession:
    """The prescriber has dealt with it and says how. What was taken is to be integrated; without a dose it is over.

    Raises ``IllegalTransition`` when there is no emergency, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.CLOSE_EMERGENCY, session_id, version)
    is_undosed = row.state == SessionState.EMERGENCY and row.dosed_at is None
    take(row, SessionStep.CANCEL if is_undosed else SessionStep.CLOSE_EMERGENCY, actor)
    own = box(session, row.patient_id)
    known = own.open(row, "reason").reveal()
    own.seal(row, "reason", {**known, "texts": [*known["texts"], resolution.reveal().strip()]})
    row.ended_at = row.ended_at or clock.now()
    session.flush()
    record(session, actor, "session.close_emergency", "session", row.id, episode_id=episode.id)
    heed(session, actor, episode, resolution, subject=subject_of(row))
    settle_tasks(session, actor, subject_of(row), {TaskKind.RESPOND_TO_EMERGENCY})
    if is_undosed:
        cancel_timers(session, subject_of(row))
    else:
        begin_afterwards(session, episode, row, clock.now())
    return row
