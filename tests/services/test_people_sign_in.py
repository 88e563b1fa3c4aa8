"""Signing in: both factors, single use of codes, lock-out with growing delay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core.actors import Role
from services.core.database import transaction
from services.core.errors import InvalidInput, Locked, NotSignedIn
from services.core.personal import Personal, Secret
from services.people import tokens
from services.people.attempts import Refused, SignedIn
from services.people.models import Account
from services.people.sign_in import NOT_SIGNED_IN, attempt_sign_in, change_password, verify_second_factor
from tests.factories import PASSWORD, audited, code_of, make_account, make_actor, make_token

NOON = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
EMAIL = "thea@example.com"


@pytest.fixture
def account(session: Session) -> Account:
    return make_account(session, email=EMAIL)


def sign_in(
    session: Session, account: Account, *, password: str = PASSWORD, code: str | None = None, email: str = EMAIL
) -> SignedIn | Refused:
    given = code_of(session, account) if code is None else code
    return attempt_sign_in(session, Personal(email), Secret(password), Secret(given))


def fail(session: Session, account: Account, times: int) -> Refused:
    for _ in range(times):
        attempt = sign_in(session, account, password="wrong")
    assert isinstance(attempt, Refused)
    return attempt


def test_both_factors_give_a_token(session: Session, account: Account) -> None:
    issued = sign_in(session, account).require()
    assert tokens.actor_of(session, issued.token.reveal()).actor == make_actor(account)
    assert audited(session)[-2:] == ["account.sign_in", "token.issue"]


@pytest.mark.parametrize(
    ("password", "code", "email"),
    [
        ("wrong", None, EMAIL),
        (PASSWORD, "000000", EMAIL),
        (PASSWORD, "", EMAIL),
        (PASSWORD, "１２３４５６", EMAIL),
        ("", None, EMAIL),
        ("x" * 100_000, None, EMAIL),
        (PASSWORD, None, "nobody@example.com"),
    ],
)
@time_machine.travel(NOON, tick=False)
def test_whatever_is_wrong_the_sentence_is_the_same(
    session: Session, account: Account, password: str, code: str | None, email: str
) -> None:
    attempt = sign_in(session, account, password=password, code=code, email=email)
    assert isinstance(attempt, Refused)
    with pytest.raises(NotSignedIn) as refusal:
        attempt.require()
    assert refusal.value.message == NOT_SIGNED_IN


def test_a_disabled_account_is_refused_with_the_same_sentence(session: Session, account: Account) -> None:
    account.disabled_at = NOON
    with pytest.raises(NotSignedIn, match=NOT_SIGNED_IN):
        sign_in(session, account).require()


@time_machine.travel(NOON, tick=False)
def test_a_used_code_never_works_twice(session: Session, account: Account) -> None:
    code = code_of(session, account)
    assert isinstance(sign_in(session, account, code=code), SignedIn)
    assert isinstance(sign_in(session, account, code=code), Refused)


@time_machine.travel(NOON, tick=False)
def test_a_code_older_than_one_that_was_used_does_not_work(session: Session, account: Account) -> None:
    earlier = code_of(session, account, steps=-1)
    assert isinstance(sign_in(session, account), SignedIn)
    assert isinstance(sign_in(session, account, code=earlier), Refused)
    assert isinstance(sign_in(session, account, code=code_of(session, account, steps=1)), SignedIn)


@pytest.mark.parametrize(("steps", "works"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
@time_machine.travel(NOON, tick=False)
def test_an_authenticator_may_be_one_step_off(session: Session, account: Account, steps: int, works: bool) -> None:
    attempt = sign_in(session, account, code=code_of(session, account, steps=steps))
    assert isinstance(attempt, SignedIn) == works


@time_machine.travel(NOON, tick=False)
def test_a_code_is_not_spent_by_a_wrong_password(session: Session, account: Account) -> None:
    fail(session, account, 1)
    assert isinstance(sign_in(session, account), SignedIn)


def test_five_failures_are_free_and_the_sixth_locks(session: Session, account: Account) -> None:
    with time_machine.travel(NOON, tick=False):
        assert isinstance(fail(session, account, 5).error, NotSignedIn)
        locked = fail(session, account, 1).error
        assert isinstance(locked, Locked)
        assert locked.retry_after_seconds == 30


def test_while_locked_even_the_right_factors_are_refused_and_time_opens_again(
    session: Session, account: Account
) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        fail(session, account, 6)
        traveller.shift(timedelta(seconds=10))
        attempt = sign_in(session, account)
        assert isinstance(attempt, Refused)
        assert isinstance(attempt.error, Locked)
        assert attempt.error.retry_after_seconds == 20
        traveller.shift(timedelta(seconds=20))
        assert isinstance(sign_in(session, account), SignedIn)


def test_the_delay_doubles_up_to_an_hour(session: Session, account: Account) -> None:
    delays = []
    with time_machine.travel(NOON, tick=False) as traveller:
        fail(session, account, 5)
        for _ in range(9):
            error = fail(session, account, 1).error
            assert isinstance(error, Locked)
            delays.append(error.retry_after_seconds)
            traveller.shift(timedelta(seconds=error.retry_after_seconds))
    assert delays == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_a_success_forgets_the_failures(session: Session, account: Account) -> None:
    with time_machine.travel(NOON, tick=False):
        fail(session, account, 5)
        assert isinstance(sign_in(session, account), SignedIn)
        assert isinstance(fail(session, account, 5).error, NotSignedIn)


def test_a_failure_outlives_the_request_that_it_refused(session: Session, account: Account) -> None:
    with time_machine.travel(NOON, tick=False):
        for _ in range(6):
            with transaction() as own:
                attempt = attempt_sign_in(own, Personal(EMAIL), Secret("wrong"), Secret("000000"))
            with pytest.raises((NotSignedIn, Locked)):
                attempt.require()
    session.expire_all()
    assert session.get_one(Account, account.id).failed_attempts == 6
    assert "account.sign_in" in audited(session)


@time_machine.travel(NOON, tick=False)
def test_a_code_spent_on_proving_oneself_does_not_sign_in(session: Session, account: Account) -> None:
    code = code_of(session, account)
    proof = verify_second_factor(session, account.id, Secret(code)).require()
    assert (proof.account_id, proof.proven_at) == (account.id, NOON)
    assert isinstance(verify_second_factor(session, account.id, Secret(code)), Refused)
    assert isinstance(sign_in(session, account, code=code), Refused)


@time_machine.travel(NOON, tick=False)
def test_failed_proofs_count_towards_the_lock(session: Session, account: Account) -> None:
    for _ in range(6):
        attempt = verify_second_factor(session, account.id, Secret("000000"))
    assert isinstance(attempt, Refused)
    assert isinstance(attempt.error, Locked)
    assert isinstance(sign_in(session, account), Refused)


@time_machine.travel(NOON, tick=False)
def test_proving_both_factors_needs_the_password_too(session: Session, account: Account) -> None:
    code = Secret(code_of(session, account))
    assert isinstance(verify_second_factor(session, account.id, code, password=Secret("wrong")), Refused)
    verify_second_factor(session, account.id, code, password=Secret(PASSWORD)).require()


def test_a_new_password_ends_the_other_tokens(session: Session, account: Account) -> None:
    actor = make_actor(account)
    other = make_token(session, account)
    own = sign_in(session, account).require()
    change_password(session, actor, Secret(PASSWORD), Secret("another long passphrase"), token_id=own.id).require()
    assert tokens.actor_of(session, own.token.reveal()).actor == actor
    with pytest.raises(NotSignedIn):
        tokens.actor_of(session, other)
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=2), tick=False):
        assert isinstance(sign_in(session, account), Refused)
        assert isinstance(sign_in(session, account, password="another long passphrase"), SignedIn)


def test_a_new_password_needs_the_present_one_and_must_be_strong(session: Session, account: Account) -> None:
    actor = make_actor(account)
    assert isinstance(change_password(session, actor, Secret("wrong"), Secret("another long passphrase")), Refused)
    assert account.failed_attempts == 1
    with pytest.raises(InvalidInput) as refusal:
        change_password(session, actor, Secret(PASSWORD), Secret(EMAIL))
    assert refusal.value.field == "new_password"


def test_every_role_can_sign_in(session: Session) -> None:
    for role in (Role.THERAPIST, Role.PRESCRIBER, Role.MEDICAL_STAFF, Role.PHARMACIST, Role.OPERATIONS):
        account = make_account(session, role, email=f"{role.value}@example.org")
        assert sign_in(session, account, email=f"{role.value}@example.org").require().actor.role is role
