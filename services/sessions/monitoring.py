"""Watching over a patient who took something: what was seen and measured when, and who hears when nobody looks.

Each look sets the timer anew that gives the therapist a task when the next one is missed. In a remote session the
therapist is on video throughout: a look without it is none (DOMAIN 4).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor
from services.core.findings import Finding
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.tasks import settle_tasks
from services.messaging.timers import cancel_timers, set_timer
from services.people.models import Episode
from services.people.programmes import programme_of
from services.prescribing.routes import Route
from services.sessions.lookups import subject_of
from services.sessions.models import Dose, TherapySession, VitalsReading
from services.sessions.noted import Noted, notes
from services.sessions.places import Place
from services.sessions.states import SessionState
from services.sessions.watch_rules import Infusion, WatchFacts, next_due_at, video_findings
from services.vault.boxes import box

MISSED: Final = EventKind.LOOK_MISSED
UNDER_WATCH: Final = frozenset({SessionState.DOSED, SessionState.MONITORING, SessionState.DISCHARGE_READY})


def watch_facts(session: Session, row: TherapySession, first_dose_at: datetime, at: datetime) -> WatchFacts:
    """What was seen and measured since the first dose of a session. The caller has settled who may know."""
    remote, looks = is_remote(session, row), notes(session, row, Noted.LOOK)
    readings = select(VitalsReading.taken_at).where(
        VitalsReading.session_id == row.id, VitalsReading.taken_at > first_dose_at
    )
    return WatchFacts(
        at=at,
        first_dose_at=first_dose_at,
        looks=tuple(each.at for each in looks if not remote or each.content.get("on_video")),
        readings=tuple(session.scalars(readings)),
        infusions=tuple(Infusion(started_at=dose.taken_at, ended_at=dose.ended_at) for dose in infusions(session, row)),
        remote=remote,
        off_video=tuple(each.at for each in looks if remote and not each.content.get("on_video")),
    )


def is_remote(session: Session, row: TherapySession) -> bool:
    """Whether the therapist is not in the room: so it was booked, or found before the start."""
    own = box(session, row.patient_id)
    found = own.open(row, "readiness").reveal() or {}
    return Place.from_dict(own.open(row, "place").reveal()).remote or found.get("remote") is not None


def now_off_video(session: Session, row: TherapySession) -> list[Finding]:
    """What to do now when a watched patient of a remote session is out of sight; else empty."""
    if row.state not in UNDER_WATCH or row.dosed_at is None or not is_remote(session, row):
        return []
    return video_findings(watch_facts(session, row, row.dosed_at, clock.now()))


def infusions(session: Session, row: TherapySession) -> list[Dose]:
    """The doses of a session that run into a vein over time, oldest first."""
    own = box(session, row.patient_id)
    doses = session.scalars(select(Dose).where(Dose.session_id == row.id).order_by(Dose.taken_at, Dose.id))
    return [dose for dose in doses if own.open(dose, "content").reveal().get("route") == Route.INTRAVENOUS]


def saw_patient(
    session: Session, actor: Actor, episode: Episode, row: TherapySession, *, on_video: bool | None = None
) -> None:
    """Somebody looked: what was asked for because nobody did is done, and the next look is awaited.

    In a remote session that takes ``on_video``; whatever else was done there asks for nothing twice.
    """
    if on_video or not is_remote(session, row):
        settle_tasks(session, actor, subject_of(row), {TaskKind.WATCH_PATIENT})
        await_look(session, episode, row)
    elif row.dosed_at is None or _next_due_at(session, episode, row, row.dosed_at) > clock.now():
        await_look(session, episode, row)


def await_look(session: Session, episode: Episode, row: TherapySession) -> None:
    """Let the therapist have a task when the next look or reading is missed, as long as the patient is watched."""
    cancel_timers(session, subject_of(row), {MISSED})
    if row.state not in UNDER_WATCH or row.dosed_at is None:
        return
    due_at = _next_due_at(session, episode, row, row.dosed_at)
    set_timer(session, MISSED, episode, subject_of(row), max(due_at, clock.now()))


def _next_due_at(session: Session, episode: Episode, row: TherapySession, dosed_at: datetime) -> datetime:
    return next_due_at(watch_facts(session, row, dosed_at, clock.now()), programme_of(session, episode))


def end_watch(session: Session, actor: Actor, row: TherapySession) -> None:
    """Nobody is watched any more, or help has come: no look is missed from now on."""
    cancel_timers(session, subject_of(row), {MISSED})
    settle_tasks(session, actor, subject_of(row), {TaskKind.WATCH_PATIENT})
