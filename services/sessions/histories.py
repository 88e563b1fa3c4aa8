"""Sessions as people look back on them: one session as a role may see it, those of an episode, those that were held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.findings import Finding
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.programme import Programme
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.people.programmes import programme_of
from services.prescribing.routes import Route
from services.sessions.comfort import Comfort, preferred
from services.sessions.departures import drives_from
from services.sessions.discharge_rules import blood_pressure_due_at, discharge_from, next_check_at
from services.sessions.emergencies import Advice, emergency_advice
from services.sessions.ledgers import taken_in
from services.sessions.lookups import visible_session
from services.sessions.models import Check, Dose, TherapySession, VitalsReading
from services.sessions.monitoring import UNDER_WATCH, now_off_video, watch_facts
from services.sessions.places import Place
from services.sessions.readiness import Readiness
from services.sessions.rules import onset_window
from services.sessions.states import SessionKind, SessionState
from services.vault.boxes import Box, box


@dataclass(frozen=True, slots=True)
class Watch:
    """When to look at and to measure a patient who took something, and when the patient may go home.

    Between ``onset_from`` and ``onset_until`` the effect is expected to begin.
    """

    onset_from: datetime
    onset_until: datetime
    next_check_at: datetime
    blood_pressure_due_at: datetime
    discharge_from: datetime


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A recorded look at the patient, or a call the day after, with its content."""

    check: Check
    content: Personal[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Given:
    """A dose as it is looked back on. ``ended_at`` is when an infusion ended."""

    mg: int
    units: float
    is_booster: bool
    at: datetime
    route: Route
    ended_at: datetime | None

    def __repr__(self) -> str:
        return "<dose given>"


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as one role sees it. What the role may not see is ``None``; so is what does not apply.

    ``drives_from`` is in the patient's zone. ``reason`` holds ``red_flags`` and ``texts``. ``findings`` say what is not
    as it must be just now.
    """

    row: TherapySession
    place: Place
    drives_from: datetime | None = None
    watch: Watch | None = None
    advice: Advice | None = None
    readiness: Personal[Readiness] | None = None
    reason: Personal[Mapping[str, Any]] | None = None
    doses: Personal[Sequence[Given]] | None = None
    checks: Sequence[LookedAt] | None = None
    comfort: Personal[Comfort] | None = None
    findings: Sequence[Finding] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A dosing session in which something was taken. ``vitals_recorded``: both before and after it."""

    session_id: UUID
    held_at: datetime
    vitals_recorded: bool
    integration_done: bool


def read_session(session: Session, actor: Actor, session_id: UUID) -> SessionView:
    """One session as the actor's role sees it; an audited read."""
    row, episode = visible_session(session, actor, Action.READ_SESSION, session_id)
    record(session, actor, "session.read", "session", row.id, episode_id=episode.id)
    return view_of(session, actor, row, episode)


def view_of(session: Session, actor: Actor, row: TherapySession, episode: Episode | None = None) -> SessionView:
    """A session as the actor's role sees it. The caller has authorized and audits.

    The patient sees when and where, from when driving is allowed, and the own comfort preferences; what was found is
    for those who treat.
    """
    episode = episode or session.get_one(Episode, row.episode_id)
    own = box(session, row.patient_id)
    place = Place.from_dict(own.open(row, "place").reveal())
    driving = drives_from(session, row, episode)
    comfort = preferred(session, row.patient_id).comfort if actor.role in (Role.PATIENT, Role.THERAPIST) else None
    if actor.role is Role.PATIENT:
        return SessionView(row, place, driving, comfort=comfort)
    readiness: Personal[dict[str, Any] | None] = own.open(row, "readiness")
    reason: Personal[Mapping[str, Any] | None] = own.open(row, "reason")
    known, why = readiness.reveal(), reason.reveal()
    is_emergency = row.state == SessionState.EMERGENCY
    programme = programme_of(session, episode)
    return SessionView(
        row,
        place,
        driving,
        watch=_watch(session, row, programme),
        advice=emergency_advice(programme) if is_emergency else None,
        readiness=None if known is None else Personal(Readiness.from_dict(known)),
        reason=None if why is None else Personal(why),
        doses=Personal(_doses(session, own, row)),
        checks=_checks(session, own, row),
        comfort=comfort,
        findings=now_off_video(session, row),
    )


def _doses(session: Session, own: Box, row: TherapySession) -> list[Given]:
    query = select(Dose).where(Dose.session_id == row.id).order_by(Dose.taken_at, Dose.id)
    return [_given(own, dose) for dose in session.scalars(query)]


def _given(own: Box, dose: Dose) -> Given:
    taken, content = taken_in(own, dose), own.open(dose, "content").reveal()
    route = Route(content.get("route", Route.SUBLINGUAL))
    return Given(taken.mg, taken.units, taken.is_booster, taken.at, route, dose.ended_at)


def _checks(session: Session, own: Box, row: TherapySession) -> list[LookedAt]:
    query = select(Check).where(Check.session_id == row.id).order_by(Check.checked_at, Check.id)
    return [LookedAt(check, own.open(check, "content")) for check in session.scalars(query)]


def _watch(session: Session, row: TherapySession, programme: Programme) -> Watch | None:
    if row.state not in UNDER_WATCH or row.dosed_at is None or row.last_dose_at is None:
        return None
    last_look = max([row.dosed_at, *watch_facts(session, row, row.dosed_at, clock.now()).looks])
    onset_from, onset_until = onset_window(row.dosed_at, programme)
    return Watch(
        onset_from=onset_from,
        onset_until=onset_until,
        next_check_at=next_check_at(last_look, programme),
        blood_pressure_due_at=blood_pressure_due_at(row.dosed_at, programme),
        discharge_from=discharge_from(row.last_dose_at, programme),
    )


def list_sessions(
    session: Session,
    actor: Actor,
    episode_id: UUID,
    *,
    kind: SessionKind | None = None,
    state: SessionState | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 20,
) -> Sequence[TherapySession]:
    """The sessions of an episode by their time, from behind the position ``after``: kinds, states and times only."""
    episode = visible_episode(session, actor, Action.READ_SESSION, episode_id)
    query = select(TherapySession).where(TherapySession.episode_id == episode.id)
    if kind is not None:
        query = query.where(TherapySession.kind == kind)
    if state is not None:
        query = query.where(TherapySession.state == state)
    query = page_of(query, TherapySession.starts_at, TherapySession.id, after=after, limit=limit, newest_first=False)
    record(session, actor, "session.list", "episode", episode.id, episode_id=episode.id)
    return session.scalars(query).all()


def held_dosing_sessions(session: Session, episode_id: UUID) -> list[Held]:
    """The dosing sessions of an episode in which something was taken, oldest first. The caller settled who may know."""
    return [
        Held(
            row.id,
            row.dosed_at,
            vitals_recorded=row.first_at is not None
            and row.first_at <= row.dosed_at
            and row.last_at > (row.last_dose_at or row.dosed_at),
            integration_done=row.state == SessionState.CLOSED,
        )
        for row in session.execute(_HELD, {"episode": episode_id})
    ]


# Prepared once, and only what is asked for: the refill gate looks at years of sessions.
_HELD: Final = (
    select(
        TherapySession.id,
        TherapySession.dosed_at,
        TherapySession.last_dose_at,
        TherapySession.state,
        func.min(VitalsReading.taken_at).label("first_at"),
        func.max(VitalsReading.taken_at).label("last_at"),
    )
    .outerjoin(VitalsReading, VitalsReading.session_id == TherapySession.id)
    .where(TherapySession.episode_id == bindparam("episode"), TherapySession.dosed_at.is_not(None))
    .group_by(TherapySession.id)
    .order_by(TherapySession.dosed_at, TherapySession.id)
)
