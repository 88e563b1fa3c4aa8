"""Two at the same instant, on committed data: a therapist is booked once, and nothing is taken or wasted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from services.core.personal import Personal
from services.sessions import bookings, dosing, ledgers, reconciliations
from services.sessions.models import TherapySession, Waste
from services.sessions.reconciliations import Outcome
from services.sessions.states import SessionKind, SessionState
from services.shipping import losses
from services.shipping.models import DiversionReview
from tests.at_once import at_once
from tests.factories import make_world
from tests.factories_prescribing import Case, make_case
from tests.factories_sessions import MORNING, booking, drive, make_supplied, stopped_clock, therapist

AT_ONCE = 4


@pytest.fixture(autouse=True)
def morning() -> Iterator[None]:
    with stopped_clock():
        yield


def numbered(act: Callable[[Session, int], object]) -> list[Callable[[Session], object]]:
    """The same act several times, told apart by a number."""
    return [partial(act, number=number) for number in range(AT_ONCE)]


def test_one_therapist_is_booked_once_for_one_hour(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        world = make_world(session)
        cases = [make_case(session, world=world, pdmp=False) for _ in range(AT_ONCE)]

    def book(session: Session, number: int) -> None:
        talk = booking(kind=SessionKind.PREPARATION)
        bookings.book_session(session, therapist(cases[number]), cases[number].episode.id, talk)

    assert sorted(at_once(sessions, numbered(book))) == [False, False, False, True]
    with sessions() as session:
        assert session.scalar(select(func.count(TherapySession.id))) == 1


def dosed_but_for_the_last(sessions: sessionmaker[Session]) -> tuple[Case, UUID]:
    with sessions.begin() as session, stopped_clock(MORNING) as moment:
        case = make_supplied(session, sessions_supply=1, quantity_units=2, first_session_dose_mg=100)
        row = drive(session, case, SessionState.VITALS_PASSED, moment)
        return case, row.id


def test_the_same_half_recorded_several_times_at_once_stays_within_the_prescription(
    sessions: sessionmaker[Session],
) -> None:
    case, session_id = dosed_but_for_the_last(sessions)

    def take(session: Session, number: int) -> None:
        dosing.record_dose(session, therapist(case), session_id, 50, is_booster=False)

    with sessions() as session:
        starts_at = session.get_one(TherapySession, session_id).starts_at
    with stopped_clock(starts_at):
        assert sorted(at_once(sessions, numbered(take))) == [False, False, True, True]
    with sessions() as session:
        assert ledgers.ledger(session, case.episode.id).balance.taken == 1


def test_the_last_units_are_wasted_once(sessions: sessionmaker[Session]) -> None:
    case, _ = dosed_but_for_the_last(sessions)

    def waste(session: Session, number: int) -> None:
        ledgers.record_waste(session, case.patient, case.episode.id, 2, Personal("Lost."))

    assert sorted(at_once(sessions, numbered(waste))) == [False, False, False, True]
    with sessions() as session:
        assert session.scalar(select(func.count(Waste.id))) == 1


def test_two_who_count_at_once_raise_one_review_and_it_is_ended_once(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        case = make_supplied(session)

    def count_at_once(session: Session, number: int) -> None:
        ledgers.record_count(session, case.patient, case.episode.id, number)

    assert all(at_once(sessions, numbered(count_at_once)))
    with sessions() as session:
        (review,) = session.scalars(select(DiversionReview))

    def resolve_at_once(session: Session, number: int) -> None:
        reconciliations.resolve_review(session, case.prescriber, review.id, Outcome.LOST, Personal("Stolen."))

    assert sorted(at_once(sessions, numbered(resolve_at_once))) == [False, False, False, True]
    with sessions() as session:
        assert len(losses.list_losses(session, case.prescriber, case.episode.id)) == 1
