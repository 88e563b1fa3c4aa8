"""Booking, moving and cancelling sessions. The patient hears of each, and is reminded of what still stands.

A dosing session may be booked before its parcel has come; it cannot begin before (``readiness.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Actor
from services.core.findings import Finding, Severity, of_severity
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.programme import Programme
from services.core.vocabulary import EventKind, TaskKind
from services.eligibility.decisions import eligibility_current
from services.messaging.outbox import emit
from services.messaging.tasks import settle_tasks
from services.messaging.timers import cancel_timers
from services.people.access import Action, visible_episode
from services.people.locations import locations_of
from services.people.models import Account, Episode
from services.people.programmes import programme_of
from services.people.states import EpisodeState
from services.prescribing.cases import case_of
from services.prescribing.routes import Route
from services.screening.screenings import has_completed
from services.screening.written_texts import heed
from services.sessions.booking_rules import (
    ABOUT_TIME,
    EPISODE_CLOSED,
    INTEGRATES_CANCELLED,
    INTEGRATES_MISSING,
    INTEGRATES_NOTHING,
    LOCATION_MISSING,
    LOCATION_UNKNOWN,
    REMOTE_FROM_HOME,
    THERAPIST_OVERLAP,
    length_findings,
    paperwork_findings,
    preparation_findings,
    route_findings,
    site_findings,
    start_findings,
)
from services.sessions.lookups import locked_session, refuse, refuse_stops, subject_of, take
from services.sessions.models import TherapySession
from services.sessions.orders import plan_in_force, route_of
from services.sessions.physician_checks import ask_physician_ahead
from services.sessions.physician_rules import is_physician_needed
from services.sessions.places import Place, Site
from services.sessions.readiness_rules import ELIGIBILITY_NOT_CURRENT, PRESCRIPTION_MISSING
from services.sessions.reminders import reset_reminder
from services.sessions.rounds import booking_cadence, preparation_done
from services.sessions.rules import integration_booking_findings
from services.sessions.states import SessionKind, SessionState, SessionStep
from services.vault.boxes import box

SHORTEST_MINUTES: Final = 15
LONGEST_MINUTES: Final = 480

# In these the therapist is, or will be, with the patient.
BUSY: Final = frozenset(SessionState) - {
    SessionState.CLOSED,
    SessionState.CANCELLED,
    SessionState.ABORTED,
    SessionState.INTEGRATION_DUE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """What is booked. Without ``minutes`` it is as long as the programme says for the kind and the site.

    Place as in ``Place``. An integration session names the dosing session it follows.
    """

    kind: SessionKind
    starts_at: datetime
    site: Site
    remote: bool = False
    address: Personal[str] | None = None
    location_id: UUID | None = None
    route: Route | None = None
    minutes: int | None = None
    integrates_id: UUID | None = None

    @property
    def place(self) -> Place:
        """Where it is held."""
        return Place(
            site=self.site,
            remote=self.remote,
            address=self.address,
            location_id=self.location_id,
            route=self.route,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What changes of a planned session; None leaves it as it is."""

    starts_at: datetime | None = None
    minutes: int | None = None
    site: Site | None = None
    remote: bool | None = None
    address: Personal[str] | None = None
    location_id: UUID | None = None

    def place_after(self, before: Place) -> Place:
        """Where it is held from now on."""
        return Place(
            site=before.site if self.site is None else self.site,
            remote=before.remote if self.remote is None else self.remote,
            address=before.address if self.address is None else self.address,
            location_id=before.location_id if self.location_id is None else self.location_id,
            route=before.route,
        )


@dataclass(frozen=True, slots=True)
class Booked:
    """A planned session, and what is good to know about its time."""

    row: TherapySession
    findings: Sequence[Finding] = ()


def book_session(session: Session, actor: Actor, episode_id: UUID, booking: Booking) -> Booked:
    """Book a session in an episode, under the therapist who books.

    Raises ``RuleRefused`` with what stands in the way: a time that has passed or is taken, screening that is not done,
    and for a dosing session the place, the preparation, the cadence, no signed prescription, no current eligibility.
    """
    episode = visible_episode(session, actor, Action.BOOK_SESSION, episode_id)
    _check_open(episode, booking.kind)
    _check_place(session, episode, booking.place)
    dosing, programme = _integrated(session, episode, booking), programme_of(session, episode)
    _check_start(booking.starts_at, programme)
    row = TherapySession(
        id=new_id(),
        episode_id=episode.id,
        patient_id=episode.patient_id,
        therapist_id=actor.id,
        kind=booking.kind,
        state=SessionState.SCHEDULED,
        starts_at=booking.starts_at,
        ends_at=booking.starts_at + _length(booking, programme),
        integrates_id=None if dosing is None else dosing.id,
        created_at=clock.now(),
    )
    box(session, row.patient_id).seal(row, "place", booking.place.as_dict())
    findings = _time_findings(session, actor, episode, row, dosing)
    session.add(row)
    session.flush()
    record(session, actor, "session.book", "session", row.id, episode_id=episode.id, kind=row.kind)
    _tell_patient(session, EventKind.SESSION_BOOKED, row)
    reset_reminder(session, episode, row)
    _arrange_physician(session, actor, episode, row)
    return Booked(row, findings)


def move_session(session: Session, actor: Actor, session_id: UUID, move: Move, *, version: int | None = None) -> Booked:
    """Give a planned session another time or place; the patient hears of a new time and is asked anew.

    Raises as ``book_session`` does, ``IllegalTransition`` once it has begun or ended, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.CHANGE_SESSION, session_id, version)
    take(row, SessionStep.MOVE, actor)
    _check_open(episode, row.kind)
    own = box(session, row.patient_id)
    place = move.place_after(Place.from_dict(own.open(row, "place").reveal()))
    _check_place(session, episode, place)
    length = row.ends_at - row.starts_at if move.minutes is None else timedelta(minutes=move.minutes)
    starts_at = move.starts_at or row.starts_at
    has_moved = starts_at != row.starts_at
    _check_start(starts_at, programme_of(session, episode))
    # Whoever is the therapist of record now keeps the appointment.
    row.starts_at, row.ends_at, row.therapist_id = starts_at, starts_at + length, actor.id
    own.seal(row, "place", place.as_dict())
    dosing = None if row.integrates_id is None else session.get_one(TherapySession, row.integrates_id)
    findings = _time_findings(session, actor, episode, row, dosing)
    if has_moved:
        row.confirmed_at = row.reschedule_asked_at = None
        settle_tasks(session, actor, subject_of(row), {TaskKind.RESCHEDULE_SESSION})
        _tell_patient(session, EventKind.SESSION_MOVED, row)
        reset_reminder(session, episode, row)
        _arrange_physician(session, actor, episode, row)
    session.flush()
    record(session, actor, "session.move", "session", row.id, episode_id=episode.id, new_time=has_moved)
    return Booked(row, findings)


def cancel_session(
    session: Session, actor: Actor, session_id: UUID, reason: Personal[str], *, version: int | None = None
) -> TherapySession:
    """Cancel a session in which nothing was taken yet. Raises ``IllegalTransition``, ``StaleVersion``."""
    row, episode = locked_session(session, actor, Action.CHANGE_SESSION, session_id, version)
    is_awaited = row.state == SessionState.SCHEDULED and row.starts_at > clock.now()
    take(row, SessionStep.CANCEL, actor)
    end_planned(session, actor, row, reason.reveal().strip())
    record(session, actor, "session.cancel", "session", row.id, episode_id=episode.id)
    heed(session, actor, episode, reason, subject=subject_of(row))
    if is_awaited:
        _tell_patient(session, EventKind.SESSION_CANCELLED, row)
    return row


def end_planned(session: Session, actor: Actor, row: TherapySession, reason: str | None) -> None:
    """A session that will not take place: its timers stop and nobody needs to find another time for it."""
    row.ended_at = clock.now()
    if reason is not None:
        box(session, row.patient_id).seal(row, "reason", {"red_flags": [], "texts": [reason]})
    session.flush()
    cancel_timers(session, subject_of(row))
    asked = {TaskKind.RESCHEDULE_SESSION, TaskKind.ATTEND_START, TaskKind.REVIEW_MEDICINES}
    settle_tasks(session, actor, subject_of(row), asked)


def end_for_discontinuation(session: Session, episode: Episode, reason: str) -> None:
    """Cancel the dosing sessions to come of an episode that was discontinued; talks may still help the patient."""
    planned = select(TherapySession).where(
        TherapySession.episode_id == episode.id,
        TherapySession.kind == SessionKind.DOSING,
        TherapySession.state.in_([SessionState.SCHEDULED, SessionState.READY, SessionState.VITALS_PASSED]),
    )
    for row in session.scalars(planned.order_by(TherapySession.id).with_for_update()).all():
        is_awaited = row.state == SessionState.SCHEDULED and row.starts_at > clock.now()
        take(row, SessionStep.CANCEL, SYSTEM)
        end_planned(session, SYSTEM, row, reason)
        record(session, SYSTEM, "session.cancel", "session", row.id, episode_id=episode.id)
        if is_awaited:
            _tell_patient(session, EventKind.SESSION_CANCELLED, row)


def _check_open(episode: Episode, kind: str) -> None:
    """Talks may follow a treatment that was discontinued, dosing sessions not; after the discharge neither."""
    is_over = episode.state == EpisodeState.DISCONTINUED and kind == SessionKind.DOSING
    if episode.state == EpisodeState.CLOSED or is_over:
        refuse(EPISODE_CLOSED.finding(state=episode.state))


def _check_place(session: Session, episode: Episode, place: Place) -> None:
    if place.remote and place.site is not Site.HOME:
        refuse(REMOTE_FROM_HOME.finding(site=place.site.value), field="remote")
    known = {each.id for each in locations_of(session, episode.practice_id)} if _is_in_clinic(place) else set()
    if place.location_id is not None and place.location_id not in known:
        refuse(LOCATION_UNKNOWN.finding(location_id=str(place.location_id)), field="location_id")
    if place.location_id is None and len(known) > 1:
        refuse(LOCATION_MISSING.finding(locations=len(known)), field="location_id")


def _is_in_clinic(place: Place) -> bool:
    return place.site is Site.CLINIC or place.location_id is not None


def _check_start(starts_at: datetime, programme: Programme) -> None:
    for finding in start_findings(starts_at, clock.now(), programme):
        refuse(finding, field="starts_at")


def _length(booking: Booking, programme: Programme) -> timedelta:
    if booking.minutes is not None:
        return timedelta(minutes=booking.minutes)
    name = booking.site.value if booking.kind is SessionKind.DOSING else "talking"
    return timedelta(minutes=programme.number(f"sessions.book_{name}_minutes"))


def _integrated(session: Session, episode: Episode, booking: Booking) -> TherapySession | None:
    """The dosing session that an integration session follows. Others follow none."""
    if booking.kind is not SessionKind.INTEGRATION:
        if booking.integrates_id is not None:
            refuse(INTEGRATES_NOTHING.finding(kind=booking.kind.value), field="integrates_id")
        return None
    dosing = None if booking.integrates_id is None else session.get(TherapySession, booking.integrates_id)
    if dosing is None or dosing.episode_id != episode.id or dosing.kind != SessionKind.DOSING:
        refuse(
            INTEGRATES_MISSING.finding(integrates_id=booking.integrates_id and str(booking.integrates_id)),
            field="integrates_id",
        )
    if dosing.state == SessionState.CANCELLED:
        refuse(INTEGRATES_CANCELLED.finding(state=dosing.state), field="integrates_id")
    return dosing


def _time_findings(
    session: Session, actor: Actor, episode: Episode, row: TherapySession, dosing: TherapySession | None
) -> list[Finding]:
    """What is good to know about the time of a planned session. Raises ``RuleRefused`` with what stops it."""
    programme = programme_of(session, episode)
    findings = paperwork_findings(has_completed(session, episode.id), programme) + _overlap_findings(session, row)
    if row.kind == SessionKind.DOSING:
        findings += _dosing_findings(session, actor, episode, row)
    if dosing is not None:
        dosing_ended_at = dosing.ended_at or dosing.ends_at
        findings += integration_booking_findings(row.starts_at, dosing_ended_at, programme)
    stops = of_severity(findings, Severity.STOP)
    field = "starts_at" if stops and stops[0].rule in ABOUT_TIME else None
    refuse_stops(stops, "This session cannot be booked so.", field=field)
    return [replace(finding, inputs={}) for finding in findings]


def _overlap_findings(session: Session, row: TherapySession) -> list[Finding]:
    # Two bookings of one therapist at the same instant must see each other. This lock lets rows that merely point at
    # the account be written meanwhile.
    session.get(Account, row.therapist_id, with_for_update={"key_share": True}, populate_existing=True)
    taken = select(TherapySession.id).where(
        TherapySession.therapist_id == row.therapist_id,
        TherapySession.id != row.id,
        TherapySession.state.in_(sorted(BUSY)),
        TherapySession.starts_at < row.ends_at,
        TherapySession.ends_at > row.starts_at,
    )
    with session.no_autoflush:
        if session.scalar(taken.limit(1)) is None:
            return []
    return [THERAPIST_OVERLAP.finding(starts_at=row.starts_at.isoformat(), ends_at=row.ends_at.isoformat())]


def _dosing_findings(session: Session, actor: Actor, episode: Episode, row: TherapySession) -> list[Finding]:
    case, programme = case_of(session, episode), programme_of(session, episode)
    place = Place.from_dict(case.box.open(row, "place").reveal())
    findings = site_findings(place.site, programme)
    if not eligibility_current(session, episode.id, case.today):
        findings.append(ELIGIBILITY_NOT_CURRENT.finding(programme, on=case.today.isoformat(), approved=False))
    findings += preparation_findings(preparation_done(session, episode.id), programme)
    findings += length_findings(row.ends_at - row.starts_at, programme)
    plan = plan_in_force(session, actor, episode, place.route)
    if plan is None:
        return [*findings, PRESCRIPTION_MISSING.finding(in_force=0)]
    findings += route_findings(place.site, plan.is_shipped, programme)
    return findings + booking_cadence(session, case, row.starts_at, plan.limits, row.id)


def _arrange_physician(session: Session, actor: Actor, episode: Episode, row: TherapySession) -> None:
    programme = programme_of(session, episode)
    if row.kind != SessionKind.DOSING or not programme.flag("sessions.physician_check_in"):
        return
    plan = plan_in_force(session, actor, episode, route_of(session, row))
    if plan is not None and is_physician_needed(plan.session_mg, programme):
        ask_physician_ahead(session, episode, row)


def _tell_patient(session: Session, kind: EventKind, row: TherapySession) -> None:
    emit(session, kind, subject=subject_of(row), episode_id=row.episode_id, at=row.starts_at.isoformat())
