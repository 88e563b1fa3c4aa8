"""Several at the same instant, on committed data: a request is made once and decided once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from services.core.actors import Actor
from services.core.personal import Personal
from services.core.vocabulary import EventKind
from services.messaging.models import Event
from services.prescribing.models import FillAuthorization, Prescription
from services.refills import courses, decisions
from services.refills.courses import Cause
from services.refills.models import RefillAct, RefillRequest
from services.refills.states import RefillState
from services.sessions.models import CourseDecision
from tests.at_once import at_once
from tests.factories import make_actor
from tests.factories_refills import Supplied, ask, colleague, make_supplied

AT_ONCE = 4


def count(session: Session, model: type) -> int:
    return session.scalar(select(func.count()).select_from(model)) or 0


@pytest.fixture
def supplied(sessions: sessionmaker[Session]) -> Iterator[Supplied]:
    with sessions() as session, make_supplied(session) as made:
        session.commit()
        yield made


def team(sessions: sessionmaker[Session], supplied: Supplied) -> list[Actor]:
    with sessions.begin() as session:
        return [supplied.prescriber, *(make_actor(colleague(session, supplied)) for _ in range(AT_ONCE - 1))]


def test_of_several_prescribers_at_once_exactly_one_decides(
    sessions: sessionmaker[Session], supplied: Supplied
) -> None:
    with sessions.begin() as session:
        request_id = ask(session, supplied).request.id

    def decide(number: int, actor: Actor) -> Callable[[Session], object]:
        if number % 2:
            return lambda session: decisions.decline(session, actor, request_id, Personal("Not now."))
        return lambda session: decisions.approve(session, actor, request_id, changed=False)

    went_through = at_once(sessions, [decide(*each) for each in enumerate(team(sessions, supplied))])
    assert sorted(went_through) == [False] * (AT_ONCE - 1) + [True]
    with sessions() as session:
        approved = session.get_one(RefillRequest, request_id).state == RefillState.APPROVED
        assert approved is (went_through.index(True) % 2 == 0)
        assert (count(session, RefillAct), count(session, FillAuthorization)) == (1, int(approved))
        kinds = (EventKind.REFILL_FILL_APPROVED, EventKind.REFILL_DECLINED)
        told = session.scalars(select(Event.kind).where(Event.kind.in_(kinds))).all()
        assert len(set(told)) == 1


def test_several_approvals_at_once_authorize_one_fill(sessions: sessionmaker[Session], supplied: Supplied) -> None:
    with sessions.begin() as session:
        request_id = ask(session, supplied).request.id

    def approve(actor: Actor) -> Callable[[Session], object]:
        return lambda session: decisions.approve(session, actor, request_id, changed=False)

    went_through = at_once(sessions, [approve(actor) for actor in team(sessions, supplied)])
    assert sorted(went_through) == [False] * (AT_ONCE - 1) + [True]
    with sessions() as session:
        assert count(session, FillAuthorization) == 1


def test_several_requests_at_once_make_one(sessions: sessionmaker[Session], supplied: Supplied) -> None:
    went_through = at_once(sessions, [lambda session: ask(session, supplied)] * AT_ONCE)
    assert sorted(went_through) == [False] * (AT_ONCE - 1) + [True]
    with sessions() as session:
        assert count(session, RefillRequest) == 1


def test_a_treatment_is_discontinued_once(sessions: sessionmaker[Session], supplied: Supplied) -> None:
    def discontinue(actor: Actor) -> Callable[[Session], object]:
        reason = Personal("It does not help.")
        return lambda session: courses.discontinue(session, actor, supplied.episode.id, Cause.NO_RESPONSE, reason)

    went_through = at_once(sessions, [discontinue(actor) for actor in team(sessions, supplied)])
    assert sorted(went_through) == [False] * (AT_ONCE - 1) + [True]
    with sessions() as session:
        assert count(session, CourseDecision) == 1


def test_whatever_is_approved_while_a_treatment_is_discontinued_nothing_stays_in_force(
    sessions: sessionmaker[Session], supplied: Supplied
) -> None:
    with sessions.begin() as session:
        request_id = ask(session, supplied).request.id
    one, other, *_ = team(sessions, supplied)
    reason = Personal("It does not help.")
    discontinued, _ = at_once(
        sessions,
        [
            lambda session: courses.discontinue(session, one, supplied.episode.id, Cause.NO_RESPONSE, reason),
            lambda session: decisions.approve(session, other, request_id, changed=False),
        ],
    )
    assert discontinued
    with sessions() as session:
        assert session.get_one(Prescription, supplied.prescription.id).state == "cancelled"
