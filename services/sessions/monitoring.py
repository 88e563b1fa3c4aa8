"""Watching over a patient who took something: what was seen and measured when, and who hears when nobody looks.

Each look sets the timer anew that gives the therapist a task when the next one is missed (DOMAIN 4).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.tasks import settle_tasks
from services.messaging.timers import cancel_timers, set_timer
from services.people.models import Episode
from services.people.programmes import programme_of
from services.prescribing.routes import Route
from services.sessions.lookups import subject_of
from services.sessions.models import Check, Dose, TherapySession, VitalsReading
from services.sessions.noted import Noted
from services.sessions.states import SessionState
from services.sessions.watch_rules import Infusion, WatchFacts, next_due_at
from services.vault.boxes import box

MISSED: Final = EventKind.LOOK_MISSED
UNDER_WATCH: Final = frozenset({SessionState.DOSED, SessionState.MONITORING, SessionState.DISCHARGE_READY})


def watch_facts(session: Session, row: TherapySession, first_dose_at: datetime, at: datetime) -> WatchFacts:
    """What was seen and measured since the first dose of a session. The caller has settled who may know."""
    looks = select(Check.checked_at).where(Check.session_id == row.id, Check.kind == Noted.LOOK)
    readings = select(VitalsReading.taken_at).where(
        VitalsReading.session_id == row.id, VitalsReading.taken_at > first_dose_at
    )
    return WatchFacts(
        at=at,
        first_dose_at=first_dose_at,
        looks=tuple(session.scalars(looks)),
        readings=tuple(session.scalars(readings)),
        infusions=tuple(Infusion(started_at=dose.taken_at, ended_at=dose.ended_at) for dose in infusions(session, row)),
    )


def infusions(session: Session, row: TherapySession) -> list[Dose]:
    """The doses of a session that run into a vein over time, oldest first."""
    own = box(session, row.patient_id)
    doses = session.scalars(select(Dose).where(Dose.session_id == row.id).order_by(Dose.taken_at, Dose.id))
    return [dose for dose in doses if own.open(dose, "content").reveal().get("route") == Route.INTRAVENOUS]


def saw_patient(session: Session, actor: Actor, episode: Episode, row: TherapySession) -> None:
    """Somebody looked: what was asked for because nobody did is done, and the next look is awaited."""
    settle_tasks(session, actor, subject_of(row), {TaskKind.WATCH_PATIENT})
    await_look(session, episode, row)


def await_look(session: Session, episode: Episode, row: TherapySession) -> None:
    """Let the therapist have a task when the next look or reading is missed, as long as the patient is watched."""
    cancel_timers(session, subject_of(row), {MISSED})
    if row.state not in UNDER_WATCH or row.dosed_at is None:
        return
    now = clock.now()
    due_at = next_due_at(watch_facts(session, row, row.dosed_at, now), programme_of(session, episode))
    set_timer(session, MISSED, episode, subject_of(row), max(due_at, now))


def end_watch(session: Session, actor: Actor, row: TherapySession) -> None:
    """Nobody is watched any more, or help has come: no look is missed from now on."""
    cancel_timers(session, subject_of(row), {MISSED})
    settle_tasks(session, actor, subject_of(row), {TaskKind.WATCH_PATIENT})
