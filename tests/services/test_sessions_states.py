"""The walk over both transition tables, by the use cases: what a table has can be done, all else is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Role
from services.core.errors import IllegalTransition, NotAllowed
from services.core.personal import Personal
from services.sessions import (
    afterwards,
    answers,
    bookings,
    departures,
    dosing,
    emergencies,
    looks,
    medicine_checks,
    physician_checks,
    ratings,
    readiness,
    transports,
    vitals,
)
from services.sessions.bookings import Move
from services.sessions.looks import Look
from services.sessions.medicine_checks import Decision
from services.sessions.models import TherapySession
from services.sessions.states import (
    DOSING_TRANSITIONS,
    TALKING_TRANSITIONS,
    SessionKind,
    SessionState,
    SessionStep,
    TalkState,
)
from services.sessions.transports import Transport
from services.sessions.vitals import Phase
from tests.factories_prescribing import Case
from tests.factories_sessions import a_reading, book, drive, found, make_supplied, stopped_clock, therapist, well

S, T = SessionState, SessionStep
Act = Callable[[Session, Case, TherapySession], object]
WHY = Personal("A reason.")

# How each step is asked for from outside. PASS_VITALS and INTEGRATE follow from others, which their own tests show;
# END_INFUSION needs an infusion (tests/services/test_sessions_infusions.py).
ACTS: Mapping[SessionStep, Act] = {
    T.MOVE: lambda db, case, row: bookings.move_session(
        db, therapist(case), row.id, Move(starts_at=clock.now() + timedelta(days=9))
    ),
    T.CONFIRM: lambda db, case, row: answers.confirm_session(db, case.patient, row.id),
    T.ASK_TO_RESCHEDULE: lambda db, case, row: answers.ask_to_reschedule(db, case.patient, row.id),
    T.READY: lambda db, case, row: readiness.record_readiness(db, therapist(case), row.id, found()),
    T.TAKE_VITALS: lambda db, case, row: vitals.record_vitals(
        db, therapist(case), row.id, Phase.BEFORE, a_reading(systolic=150)
    ),
    T.TRANSPORT: lambda db, case, row: transports.record_transport(
        db, case.patient, row.id, Transport(carried_by=WHY, sealed=True, units=2, left_at_home=0)
    ),
    T.COUNT_ARRIVAL: lambda db, case, row: transports.count_arrival(db, therapist(case), row.id, 2),
    T.RECONCILE: lambda db, case, row: medicine_checks.reconcile_medicines(db, therapist(case), row.id, None),
    T.DECIDE_MEDICINES: lambda db, case, row: (
        medicine_checks.reconcile_medicines(db, therapist(case), row.id, Personal(("Obscurol",))),
        medicine_checks.decide_medicines(db, case.prescriber, row.id, Decision(True, WHY)),
    ),
    T.RATE: lambda db, case, row: ratings.rate_session(
        db,
        case.patient,
        row.id,
        {"session_ratings": dict.fromkeys(("dissociation", "distress", "nausea", "sedation"), 3)},
    ),
    T.ATTEND_START: lambda db, case, row: physician_checks.check_in_at_start(db, case.prescriber, row.id),
    T.DOSE: lambda db, case, row: dosing.record_dose(db, therapist(case), row.id, 25, is_booster=False),
    T.MONITOR: lambda db, case, row: looks.record_check(db, therapist(case), row.id, Look(concern=True)),
    T.PASS_DISCHARGE: lambda db, case, row: departures.pass_discharge(db, therapist(case), row.id, well()),
    T.DISCHARGE: lambda db, case, row: departures.discharge(db, therapist(case), row.id),
    T.CHECK_IN: lambda db, case, row: afterwards.record_check_in(db, therapist(case), row.id, False),
    T.HOLD: lambda db, case, row: afterwards.hold_session(db, therapist(case), row.id),
    T.CANCEL: lambda db, case, row: bookings.cancel_session(db, therapist(case), row.id, WHY),
    T.ABORT: lambda db, case, row: departures.abort(db, therapist(case), row.id, WHY),
    T.DECLARE_EMERGENCY: lambda db, case, row: emergencies.declare_emergency(
        db, therapist(case), row.id, {"seizure"}, WHY
    ),
    T.CLOSE_EMERGENCY: lambda db, case, row: emergencies.close_emergency(db, case.prescriber, row.id, WHY),
}


@pytest.fixture
def moment(session: Session) -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


def test_only_two_steps_follow_from_others_and_one_needs_an_infusion() -> None:
    assert set(T) - set(ACTS) == {T.PASS_VITALS, T.INTEGRATE, T.END_INFUSION}


@pytest.mark.parametrize("state", SessionState)
def test_a_dosing_session_takes_exactly_the_steps_of_its_table(
    session: Session, moment: time_machine.Traveller, state: SessionState
) -> None:
    case = make_supplied(session, dose_mg=100, quantity_units=2, first_session_dose_mg=50)
    row = drive(session, case, state, moment, mg=25)
    if state is S.MONITORING:  # so that the discharge gate can be passed from here
        moment.shift(timedelta(minutes=121))
        vitals.record_vitals(session, therapist(case), row.id, Phase.AFTER, a_reading())
    assert row.state == state
    for step, act in ACTS.items():
        _walk(session, case, row, step, act, DOSING_TRANSITIONS.table.get((state, step)))


@pytest.mark.parametrize("state", TalkState)
@pytest.mark.parametrize("kind", [SessionKind.PREPARATION, SessionKind.INTEGRATION])
def test_a_talking_session_takes_exactly_the_steps_of_its_table(
    session: Session, moment: time_machine.Traveller, kind: SessionKind, state: TalkState
) -> None:
    case = make_supplied(session)
    dosing_row = drive(session, case, S.INTEGRATION_DUE, moment)
    integrates = dosing_row.id if kind is SessionKind.INTEGRATION else None
    row = book(session, case, kind=kind, integrates_id=integrates)
    if state is TalkState.CANCELLED:
        bookings.cancel_session(session, therapist(case), row.id, WHY)
    if state is TalkState.CLOSED:
        moment.move_to(row.starts_at)
        afterwards.hold_session(session, therapist(case), row.id)
    for step, act in ACTS.items():
        if step is T.HOLD and state is TalkState.SCHEDULED:
            with time_machine.travel(row.starts_at, tick=False):
                _walk(session, case, row, step, act, TALKING_TRANSITIONS.table.get((state, step)))
        else:
            _walk(session, case, row, step, act, TALKING_TRANSITIONS.table.get((state, step)))


def _walk(
    session: Session,
    case: Case,
    row: TherapySession,
    step: SessionStep,
    act: Act,
    move: tuple[StrEnum, frozenset[Role]] | None,
) -> None:
    """Ask for one step, see what the table says, and take it back."""
    attempt = session.begin_nested()
    try:
        if move is None:
            with pytest.raises(IllegalTransition):
                act(session, case, row)
        elif step is T.CANCEL and Role.THERAPIST not in move[1]:
            with pytest.raises(NotAllowed):
                act(session, case, row)
        else:
            act(session, case, row)
            assert row.state == move[0].value, step
    finally:
        attempt.rollback()
        session.expire_all()
