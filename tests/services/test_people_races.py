"""Two at the same instant, on committed data: a code, a link and an address are taken once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pyotp
import pytest
import time_machine
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker

from services.core.actors import SYSTEM, Role
from services.core.errors import Conflict, NotSignedIn
from services.core.personal import Personal, Secret
from services.people.accounts import AccountDetails, add_account
from services.people.attempts import Refused
from services.people.links import LinkKind, exchange_link, issue_link
from services.people.models import Account
from services.people.sign_in import verify_second_factor
from tests.factories import code_of, make_account, make_episode

NOON = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
AT_ONCE = 4


@pytest.fixture
def sessions(environment: Mapping[str, str], own_postgres_url: str) -> Iterator[sessionmaker[Session]]:
    engine = create_engine(own_postgres_url, pool_size=AT_ONCE + 1)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


def at_once(sessions: sessionmaker[Session], act: Callable[[Session], bool]) -> list[bool]:
    """What ``act`` gives in each of several transactions that begin together."""
    barrier = Barrier(AT_ONCE, timeout=30)

    def one(_: int) -> bool:
        try:
            with sessions.begin() as session:
                session.connection()
                barrier.wait()
                return act(session)
        except (NotSignedIn, Conflict):
            return False

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(AT_ONCE)))


def test_a_code_used_several_times_at_once_works_once(sessions: sessionmaker[Session]) -> None:
    with time_machine.travel(NOON, tick=False):
        with sessions.begin() as session:
            account = make_account(session)
            code = code_of(session, account)

        def prove(session: Session) -> bool:
            return not isinstance(verify_second_factor(session, account.id, Secret(code)), Refused)

        assert sorted(at_once(sessions, prove)) == [False, False, False, True]
        with sessions() as session:
            assert session.get_one(Account, account.id).failed_attempts == AT_ONCE - 1


def test_a_link_exchanged_several_times_at_once_gives_one_token(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        link = issue_link(session, SYSTEM, make_episode(session), LinkKind.FORMS)

    def exchange(session: Session) -> bool:
        return bool(exchange_link(session, link).token)

    assert sorted(at_once(sessions, exchange)) == [False, False, False, True]


def test_an_address_taken_several_times_at_once_has_one_account(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        account = make_account(session)
        details = AccountDetails(
            role=Role.THERAPIST,
            organisation_id=account.organisation_id,
            email=Personal("one@example.com"),
            full_name=Personal("One Only"),
        )

    def create(session: Session) -> bool:
        return bool(add_account(session, details, "hash", Secret(pyotp.random_base32())))

    assert sorted(at_once(sessions, create)) == [False, False, False, True]
