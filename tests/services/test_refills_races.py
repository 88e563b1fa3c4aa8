"""Several at the same instant, on committed data: a request is made once and decided once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from services.core.actors import Actor
from services.core.errors import Conflict
from services.core.personal import Personal
from services.core.vocabulary import EventKind
from services.messaging.models import Event
from services.people.attempts import Refused
from services.prescribing.models import FillAuthorization
from services.refills import decisions
from services.refills.models import RefillAct, RefillRequest
from services.refills.states import RefillState
from tests.factories import make_actor
from tests.factories_refills import Supplied, ask, colleague, make_supplied

AT_ONCE = 4


@pytest.fixture
def sessions(environment: Mapping[str, str], own_postgres_url: str) -> Iterator[sessionmaker[Session]]:
    engine = create_engine(own_postgres_url, pool_size=AT_ONCE + 1)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


def at_once(sessions: sessionmaker[Session], acts: list[Callable[[Session], object]]) -> list[bool]:
    """Which of several transactions that begin together went through."""
    barrier = Barrier(len(acts), timeout=30)

    def one(act: Callable[[Session], object]) -> bool:
        try:
            with sessions.begin() as session:
                session.connection()
                barrier.wait()
                return not isinstance(act(session), Refused)
        except (Conflict, IntegrityError):
            return False

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(one, acts))


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
