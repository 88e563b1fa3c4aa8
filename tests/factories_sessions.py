"""Sessions, short to call, on top of ``tests/factories_prescribing.py``.

case = make_supplied(session)                    an approved patient with four confirmed units at home
row = book(session, case)                        a dosing session in an hour, in the office
row = drive(session, case, SessionState.DOSED)   a dosing session brought as far as a state, the clock moved along
measure(session, case, row, systolic=150)        a reading; before the start unless ``phase`` is given

``drive`` and whatever waits needs a frozen clock: give it the ``time_machine`` traveller.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor
from services.core.personal import Personal
from services.messaging.models import Task, Timer
from services.prescribing.models import Prescription
from services.sessions import afterwards, bookings, departures, dosing, emergencies, looks, readiness, vitals
from services.sessions.bookings import Booking
from services.sessions.departures import Departure
from services.sessions.looks import Look
from services.sessions.models import TherapySession
from services.sessions.places import Site
from services.sessions.readiness import Chaperone, Readiness
from services.sessions.readiness_rules import RemoteFacts
from services.sessions.states import SessionKind, SessionState
from services.sessions.vitals import Measured, Phase
from services.sessions.vitals_rules import Reading
from tests.factories import World
from tests.factories_prescribing import Case, answer, make_case, make_fill, make_shipment, make_signed, report

# A Monday, 10:00 in California.
MORNING: Final = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)


@contextmanager
def stopped_clock(at: datetime = MORNING) -> Iterator[time_machine.Traveller]:
    """The clock stands at ``at`` until somebody moves it."""
    with time_machine.travel(at, tick=False) as traveller:
        yield traveller


def make_prescribed(session: Session, *, world: World | None = None, **content: Any) -> tuple[Case, Prescription]:
    """An approved patient with a signed prescription."""
    case = make_case(session, world=world)
    return case, make_signed(session, case, **content)


def make_supplied(session: Session, *, confirmed: bool = True, **content: Any) -> Case:
    """An approved patient whose first parcel was delivered, and (``confirmed``) its receipt confirmed."""
    case, prescription = make_prescribed(session, **content)
    units = content.get("quantity_units", 4)
    supply(session, case, prescription, units, confirmed=confirmed)
    return case


def supply(session: Session, case: Case, prescription: Prescription, units: int, *, confirmed: bool = True) -> None:
    """A fill that was handed out and delivered, and (``confirmed``) whose receipt was confirmed."""
    parcel = make_shipment(session, case, make_fill(session, case, prescription, units))
    report(session, parcel, "delivered")
    if confirmed:
        answer(session, case, parcel, units)
    session.flush()


def therapist(case: Case) -> Actor:
    """The therapist of record."""
    return case.actor("therapist")


def booking(**changes: Any) -> Booking:
    """A dosing session in the office, an hour from now."""
    given: dict[str, Any] = {
        "kind": SessionKind.DOSING,
        "starts_at": clock.now() + timedelta(hours=1),
        "site": Site.OFFICE,
        **changes,
    }
    return Booking(**given)


def book(session: Session, case: Case, **changes: Any) -> TherapySession:
    """A booked session."""
    return bookings.book_session(session, therapist(case), case.episode.id, booking(**changes)).row


def chaperone(**changes: Any) -> Chaperone:
    """A sober adult who is there."""
    given: dict[str, Any] = {
        "name": Personal("Charlie Chaperone"),
        "age_years": 44,
        "phone": Personal("(415) 555-2671"),
        "present": True,
        "sober_attested": True,
        "arrived_at": clock.now() - timedelta(minutes=20),
        **changes,
    }
    return Chaperone(**given)


ALCOHOL_AND_THC: Final = "eligibility.medicine_alcohol_and_thc"
"""What everybody holds before a session."""


def found(**changes: Any) -> Readiness:
    """Everything as it must be; ``intakes`` beside that none of what everybody holds was taken."""
    given: dict[str, Any] = {
        "chaperone": chaperone(),
        "last_food_at": clock.now() - timedelta(hours=5),
        "last_water_at": clock.now() - timedelta(hours=2),
        "remote": None,
        **changes,
        "intakes": {ALCOHOL_AND_THC: None, **changes.get("intakes", {})},
    }
    return Readiness(**given)


def remote_facts(**changes: bool) -> RemoteFacts:
    """A remote session with all that it needs."""
    names = (
        "therapist_on_video",
        "blood_pressure_cuff",
        "emergency_address_confirmed",
        "emergency_phone_confirmed",
    )
    return RemoteFacts(**{name: changes.get(name, True) for name in names})


def make_ready(session: Session, case: Case, row: TherapySession, **changes: Any) -> TherapySession:
    """Readiness recorded."""
    return readiness.record_readiness(session, therapist(case), row.id, found(**changes))


def a_reading(**changes: Any) -> Reading:
    """A reading that passes."""
    given: dict[str, Any] = {"systolic": 122, "diastolic": 78, "heart_rate": 70, "taken_at": clock.now(), **changes}
    return Reading(**{**given, "red_flags": frozenset(given.get("red_flags", ()))})


def measure(session: Session, case: Case, row: TherapySession, phase: Phase = Phase.BEFORE, **changes: Any) -> Measured:
    """A recorded reading."""
    return vitals.record_vitals(session, therapist(case), row.id, phase, a_reading(**changes))


def give(
    session: Session,
    case: Case,
    row: TherapySession,
    mg: int = 100,
    *,
    booster: bool = False,
    at: datetime | None = None,
) -> TherapySession:
    """A recorded dose."""
    return dosing.record_dose(session, therapist(case), row.id, mg, is_booster=booster, at=at)


def look(session: Session, case: Case, row: TherapySession, **changes: Any) -> TherapySession:
    """A recorded look at the patient, all well."""
    return looks.record_check(session, therapist(case), row.id, Look(**{"concern": False, **changes}))


def well(**changes: Any) -> Departure:
    """A patient who may go; whatever was missed of the watching is explained."""
    given: dict[str, Any] = {
        "oriented": True,
        "walks_unaided": True,
        "vomiting": False,
        "escort_present": True,
        "missed_because": Personal("Looked in, and did not write it down."),
        **changes,
    }
    return Departure(**given)


def drive(
    session: Session,
    case: Case,
    to: SessionState,
    moment: time_machine.Traveller,
    row: TherapySession | None = None,
    mg: int = 100,
) -> TherapySession:
    """A dosing session brought to a state, through every step before it."""
    row, by = row or book(session, case), therapist(case)
    if to is SessionState.CANCELLED:
        return bookings.cancel_session(session, by, row.id, Personal("The patient is ill."))
    way = [
        SessionState.SCHEDULED,
        SessionState.READY,
        SessionState.VITALS_PASSED,
        SessionState.DOSED,
        SessionState.MONITORING,
        SessionState.DISCHARGE_READY,
        SessionState.INTEGRATION_DUE,
        SessionState.CLOSED,
    ]
    last = {SessionState.ABORTED: SessionState.DOSED, SessionState.EMERGENCY: SessionState.DOSED}.get(to, to)
    for state in way[1 : way.index(last) + 1]:
        _one_on(session, case, state, moment, row, mg)
    if to is SessionState.ABORTED:
        departures.abort(session, by, row.id, Personal("The patient left."))
    if to is SessionState.EMERGENCY:
        emergencies.declare_emergency(session, by, row.id, {"chest_pain"}, Personal("Pain in the chest."))
    session.flush()
    return row


def _one_on(
    session: Session, case: Case, state: SessionState, moment: time_machine.Traveller, row: TherapySession, mg: int
) -> None:
    by = therapist(case)
    match state:
        case SessionState.READY:
            if clock.now() < row.starts_at:
                moment.move_to(row.starts_at)
            make_ready(session, case, row)
        case SessionState.VITALS_PASSED:
            measure(session, case, row)
        case SessionState.DOSED:
            moment.shift(timedelta(minutes=5))
            give(session, case, row, mg)
        case SessionState.MONITORING:
            moment.shift(timedelta(minutes=15))
            look(session, case, row)
        case SessionState.DISCHARGE_READY:
            moment.shift(timedelta(minutes=120))
            measure(session, case, row, Phase.AFTER)
            departures.pass_discharge(session, by, row.id, well())
        case SessionState.INTEGRATION_DUE:
            departures.discharge(session, by, row.id)
        case SessionState.CLOSED:
            integrate(session, case, row, moment)


def integrate(
    session: Session, case: Case, dosing_row: TherapySession, moment: time_machine.Traveller
) -> TherapySession:
    """The integration session of a dosing session, held 26 hours from now."""
    starts_at = clock.now() + timedelta(hours=26)
    row = book(session, case, kind=SessionKind.INTEGRATION, starts_at=starts_at, integrates_id=dosing_row.id)
    moment.move_to(starts_at + timedelta(hours=1))
    return afterwards.hold_session(session, therapist(case), row.id)


def timers(session: Session, subject_id: UUID) -> dict[str, timedelta]:
    """The running timers of something by kind, and in how long each is due."""
    session.flush()
    running = select(Timer).where(Timer.subject_id == subject_id, Timer.ended_at.is_(None))
    return {timer.kind: timer.due_at - clock.now() for timer in session.scalars(running)}


def tasks_about(session: Session, subject_id: UUID) -> dict[str, str]:
    """Kind and state of the tasks about something."""
    session.flush()
    return {task.kind: task.state for task in session.scalars(select(Task).where(Task.subject_id == subject_id))}
