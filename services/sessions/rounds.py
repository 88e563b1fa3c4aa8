"""Rounds and cadence: how close dosing sessions may follow each other, and how many a round has (DOMAIN 4)."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.findings import Finding
from services.core.ids import new_id
from services.core.personal import Personal
from services.messaging.outbox import Subject
from services.people.access import Action, visible_episode
from services.people.programmes import programme_of
from services.people.states import EpisodeState
from services.people.zones import read_zone
from services.prescribing.cases import Case
from services.prescribing.limits import PatientLimits
from services.screening.written_texts import heed
from services.sessions.booking_rules import Preparation
from services.sessions.lookups import refuse
from services.sessions.models import CourseDecision, RoundExtension, TherapySession
from services.sessions.rules import (
    EXTENSION_NOT_YOURS,
    EXTENSION_TOO_SMALL,
    cadence_findings,
    plan_interval_findings,
    round_notes,
)
from services.sessions.states import SessionKind, SessionState
from services.vault.boxes import box

# Booked or about to begin. Of the others only those count in which something was taken.
PLANNED = (SessionState.SCHEDULED, SessionState.READY, SessionState.VITALS_PASSED)


def booking_cadence(
    session: Session, case: Case, starts_at: datetime, limits: PatientLimits, except_id: UUID | None = None
) -> list[Finding]:
    """Why a dosing session may not be booked for ``starts_at``, next to all others of the patient, held or booked."""
    others = _dosing_sessions(session, case, except_id)
    return _findings(session, case, others, starts_at, limits)


def starting_cadence(session: Session, case: Case, row: TherapySession, limits: PatientLimits) -> list[Finding]:
    """Why a dosing session may not begin today, next to those that were held."""
    held = [other for other in _dosing_sessions(session, case, row.id) if other.dosed_at is not None]
    return _findings(session, case, held, clock.now(), limits)


def _findings(
    session: Session, case: Case, others: list[TherapySession], at: datetime, limits: PatientLimits
) -> list[Finding]:
    days = [_day(other.dosed_at or other.starts_at, case.zone) for other in others]
    in_round = 0
    # In maintenance there are no rounds: single sessions, one or two months apart.
    if case.episode.state != EpisodeState.IN_MAINTENANCE:
        in_round = sum(other.episode_id == case.episode.id for other in others)
    extended_to = _extended_to(session, case)
    programme, on = programme_of(session, case.episode), _day(at, case.zone)
    findings = cadence_findings(on, days, limits, in_round + 1, extended_to, programme)
    # A plan that was agreed counts wherever the episode stands, such as after its approval was renewed.
    findings += plan_interval_findings(on, days, plan_interval_days(session, case))
    return [*findings, *round_notes(in_round + 1, programme)]


class CourseKind(StrEnum):
    """What was decided on the course of an episode."""

    MAINTENANCE_PLAN = "maintenance_plan"
    DISCONTINUATION = "discontinuation"
    DISCHARGE = "discharge"


def standing_plan(session: Session, episode_id: UUID) -> CourseDecision | None:
    """The maintenance plan that an episode goes by: its latest decision on the course, when that is one."""
    row = CourseDecision
    latest = session.scalar(select(row).where(row.episode_id == episode_id).order_by(row.id.desc()).limit(1))
    return latest if latest is not None and latest.kind == CourseKind.MAINTENANCE_PLAN else None


def plan_interval_days(session: Session, case: Case) -> int | None:
    """The days between two maintenance sessions by the plan that was agreed; None without one."""
    plan = standing_plan(session, case.episode.id)
    return None if plan is None else int(case.box.open(plan, "content").reveal()["interval_days"])


def _dosing_sessions(session: Session, case: Case, except_id: UUID | None) -> list[TherapySession]:
    query = select(TherapySession).where(
        TherapySession.patient_id == case.patient.id, TherapySession.kind == SessionKind.DOSING
    )
    rows = session.scalars(query.order_by(TherapySession.starts_at))
    return [row for row in rows if row.id != except_id and (row.dosed_at is not None or row.state in PLANNED)]


def is_round_full(session: Session, case: Case) -> bool:
    """Whether a round has had all its dosing sessions, extended ones too; in maintenance there are no rounds."""
    if case.episode.state == EpisodeState.IN_MAINTENANCE:
        return False
    held = select(func.count()).where(
        TherapySession.episode_id == case.episode.id, TherapySession.dosed_at.is_not(None)
    )
    most = max(programme_of(session, case.episode).whole("sessions.round_sessions"), _extended_to(session, case) or 0)
    return (session.scalar(held) or 0) >= most


def preparation_done(session: Session, episode_id: UUID) -> Preparation:
    """The preparation sessions held in an episode, and whether a dose followed; the caller settled who may know."""
    held = select(func.count()).where(
        TherapySession.episode_id == episode_id,
        TherapySession.kind == SessionKind.PREPARATION,
        TherapySession.state == SessionState.CLOSED,
    )
    dosed = select(TherapySession.id).where(
        TherapySession.episode_id == episode_id, TherapySession.dosed_at.is_not(None)
    )
    return Preparation(
        held=session.scalar(held) or 0,
        is_dosed=session.scalar(dosed.limit(1)) is not None,
    )


def _day(moment: datetime, zone: str) -> date:
    return moment.astimezone(read_zone(zone)).date()


def _extended_to(session: Session, case: Case) -> int | None:
    query = select(RoundExtension).where(RoundExtension.episode_id == case.episode.id)
    latest = session.scalar(query.order_by(RoundExtension.id.desc()).limit(1))
    return None if latest is None else int(case.box.open(latest, "content").reveal()["sessions"])


def extend_round(
    session: Session, actor: Actor, episode_id: UUID, sessions: int, reason: Personal[str]
) -> RoundExtension:
    """The medical team lets a round have ``sessions`` dosing sessions in all.

    Raises ``NotAllowed`` for a role that the programme does not let do this, ``RuleRefused`` on too few.
    """
    episode = visible_episode(session, actor, Action.EXTEND_ROUND, episode_id)
    programme = programme_of(session, episode)
    if actor.role.value not in programme.choices("sessions.round_extended_by"):
        raise EXTENSION_NOT_YOURS.forbidden(programme, role=actor.role.value)
    if sessions <= programme.whole("sessions.round_sessions"):
        refuse(EXTENSION_TOO_SMALL.finding(programme, sessions=sessions), field="sessions")
    row = RoundExtension(
        id=new_id(),
        episode_id=episode.id,
        patient_id=episode.patient_id,
        extended_by=actor.id,
        extended_at=clock.now(),
    )
    content: dict[str, Any] = {"sessions": sessions, "reason": reason.reveal().strip()}
    box(session, episode.patient_id).seal(row, "content", content)
    session.add(row)
    session.flush()
    record(session, actor, "round.extend", "round_extension", row.id, episode_id=episode.id)
    heed(session, actor, episode, reason, subject=Subject("round_extension", row.id))
    return row
