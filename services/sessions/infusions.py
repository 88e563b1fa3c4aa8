"""Infusions: one begins with its dose and ends later, perhaps with less than was ordered (DOMAIN 1)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.people.access import Action
from services.sessions.dose_rules import INFUSION_NOT_RUNNING, INFUSION_OUT_OF_TIME, INFUSION_OVER_DOSE
from services.sessions.ledgers import note_used
from services.sessions.lookups import locked_session, refuse, take
from services.sessions.models import TherapySession
from services.sessions.monitoring import infusions, saw_patient
from services.sessions.states import SessionStep
from services.vault.boxes import box


def end_infusion(
    session: Session,
    actor: Actor,
    session_id: UUID,
    mg: int | None = None,
    at: datetime | None = None,
    *,
    version: int | None = None,
) -> TherapySession:
    """The running infusion ended at ``at`` (aware, default now), with ``mg`` given in all (default: what was begun).

    The patient is observed from its end on. Raises ``RuleRefused`` when none runs or on ``ended_at`` or ``mg``,
    ``IllegalTransition``, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    take(row, SessionStep.END_INFUSION, actor)
    running = [dose for dose in infusions(session, row) if dose.ended_at is None]
    if not running:
        refuse(INFUSION_NOT_RUNNING.finding(running=0))
    dose, now = running[-1], clock.now()
    at = now if at is None else at
    if not dose.taken_at <= at <= now:
        refuse(
            INFUSION_OUT_OF_TIME.finding(started_at=dose.taken_at.isoformat(), ended_at=at.isoformat()),
            field="ended_at",
        )
    own = box(session, row.patient_id)
    content = own.open(dose, "content").reveal()
    if mg is not None and mg > content["mg"]:
        refuse(INFUSION_OVER_DOSE.finding(mg=mg, begun_mg=content["mg"]), field="mg")
    begun_mg = content["mg"]
    own.seal(dose, "content", {**content, "mg": begun_mg if mg is None else mg, "begun_mg": begun_mg})
    dose.ended_at = at
    row.last_dose_at = max(row.last_dose_at or at, at)
    session.flush()
    note_used(session, episode.id)
    record(session, actor, "dose.end_infusion", "dose", dose.id, episode_id=episode.id, therapy_session=row.id)
    saw_patient(session, actor, episode, row)
    return row
