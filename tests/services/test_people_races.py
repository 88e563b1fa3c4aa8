"""Two at the same instant, on committed data: a code, a link and an address are taken once."""

from __future__ import annotations

from datetime import UTC, datetime

import pyotp
import time_machine
from sqlalchemy.orm import Session, sessionmaker

from services.core.actors import SYSTEM, Role
from services.core.personal import Personal, Secret
from services.people.accounts import AccountDetails, add_account
from services.people.links import LinkKind, exchange_link, issue_link
from services.people.models import Account
from services.people.sign_in import verify_second_factor
from tests.at_once import at_once
from tests.factories import code_of, make_account, make_episode

NOON = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
AT_ONCE = 4


def test_a_code_used_several_times_at_once_works_once(sessions: sessionmaker[Session]) -> None:
    with time_machine.travel(NOON, tick=False):
        with sessions.begin() as session:
            account = make_account(session)
            code = code_of(session, account)

        def prove(session: Session) -> object:
            return verify_second_factor(session, account.id, Secret(code))

        assert sorted(at_once(sessions, [prove] * AT_ONCE)) == [False, False, False, True]
        with sessions() as session:
            assert session.get_one(Account, account.id).failed_attempts == AT_ONCE - 1


def test_a_link_exchanged_several_times_at_once_gives_one_token(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        link = issue_link(session, SYSTEM, make_episode(session), LinkKind.FORMS)

    def exchange(session: Session) -> object:
        return exchange_link(session, link)

    assert sorted(at_once(sessions, [exchange] * AT_ONCE)) == [False, False, False, True]


def test_an_address_taken_several_times_at_once_has_one_account(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        account = make_account(session)
        details = AccountDetails(
            role=Role.THERAPIST,
            organisation_id=account.organisation_id,
            email=Personal("one@example.com"),
            full_name=Personal("One Only"),
        )

    def create(session: Session) -> object:
        return add_account(session, details, "hash", Secret(pyotp.random_base32()))

    assert sorted(at_once(sessions, [create] * AT_ONCE)) == [False, False, False, True]
