"""Signing in: password and second factor, constant effort, lock-out with growing delay.

Functions here count failures, so they return what came of an attempt and do not raise (see ``attempts.py``). The row of
the account is locked meanwhile: guesses at one account wait for each other, and a code cannot be used twice at once.

An e-mail address without an account gets the same sentence after the same effort, but is never locked: somebody
patient can so learn whether an address has an account. That tells who works here, nothing about patients.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import Locked, NotSignedIn
from services.core.personal import Personal, Secret
from services.core.programme import Programme
from services.people.access import Action, authorize
from services.people.attempts import Proven, Refused, SignedIn
from services.people.models import Account
from services.people.passwords import check_new_password, hash_of_nobody, hash_password, needs_new_hash, password_fits
from services.people.second_factors import matching_step
from services.people.settings import settings
from services.people.tokens import actor_for, issue_token, revoke_tokens_of
from services.vault.blind_indexes import blind_index
from services.vault.boxes import box

NOT_SIGNED_IN = "The e-mail address, the password or the code is not right."
NOT_PROVEN = "The password or the code is not right, or the code was used before."
LOCKED = "Too many failed attempts. Try again later."


def attempt_sign_in(
    session: Session, email: Personal[str], password: Secret[str], code: Secret[str]
) -> SignedIn | Refused:
    """Sign in with password and authenticator code; gives a token, or the refusal after counting it.

    Let the transaction commit either way, then call ``require()``: it raises ``NotSignedIn``, or ``Locked`` with the
    seconds to wait.
    """
    account = _locked_row(session, Account.email_index == blind_index("email", email))
    if account is None or account.disabled_at is not None:
        password_fits(hash_of_nobody(), password.reveal())
        return Refused(NotSignedIn(NOT_SIGNED_IN))
    refused = _judge(session, account, "account.sign_in", NOT_SIGNED_IN, code=code, password=password)
    if refused is not None:
        return refused
    if needs_new_hash(account.password_hash):
        account.password_hash = hash_password(password.reveal())
    actor = actor_for(account)
    record(session, actor, "account.sign_in", "account", account.id)
    return SignedIn(issue_token(session, actor, account))


def verify_second_factor(
    session: Session, account_id: UUID, code: Secret[str], *, password: Secret[str] | None = None
) -> Proven | Refused:
    """Let a signed-in person prove themselves again, as for signing a prescription (21 CFR 1311.115, .140).

    With ``password`` both factors are asked for. The code is spent by this: the same one does not work again anywhere.
    Failures count towards the lock-out, so let the transaction commit either way and call ``require()`` afterwards;
    what is to be proven for is done in the next transaction, or in this one after looking at which of both came back.
    """
    account = _locked_row(session, Account.id == account_id)
    if account is None or account.disabled_at is not None:
        return Refused(NotSignedIn(NOT_PROVEN))
    refused = _judge(session, account, "account.prove", NOT_PROVEN, code=code, password=password)
    if refused is not None:
        return refused
    record(session, actor_for(account), "account.prove", "account", account.id)
    return Proven(account.id, clock.now())


def change_password(
    session: Session, actor: Actor, current: Secret[str], new: Secret[str], *, token_id: UUID | None = None
) -> Proven | Refused:
    """Change one's own password by giving the present one; all other tokens (but ``token_id``) end.

    A wrong present password is counted and refused as in ``attempt_sign_in``. Raises ``InvalidInput`` on
    ``new_password`` when the new one is too weak.
    """
    authorize(actor, Action.READ_OWN_ACCOUNT)
    account = _locked_row(session, Account.id == actor.id)
    if account is None:
        return Refused(NotSignedIn(NOT_PROVEN))
    check_new_password(new.reveal(), box(session, account.id).open(account, "email"), field="new_password")
    refused = _judge(session, account, "account.change_password", NOT_PROVEN, code=None, password=current)
    if refused is not None:
        return refused
    account.password_hash = hash_password(new.reveal())
    revoke_tokens_of(session, account.id, keep=token_id)
    record(session, actor, "account.change_password", "account", account.id)
    return Proven(account.id, clock.now())


def _locked_row(session: Session, condition: ColumnElement[bool]) -> Account | None:
    """The account as it is now, not as this session may remember it, held against others until the commit."""
    query = select(Account).where(condition).with_for_update()
    return session.scalar(query, execution_options={"populate_existing": True})


def _judge(
    session: Session,
    account: Account,
    action: str,
    sentence: str,
    *,
    code: Secret[str] | None,
    password: Secret[str] | None,
) -> Refused | None:
    """Check what was given, count a failure, spend the code. None means that all of it is right."""
    now = clock.now()
    if account.locked_until is not None and account.locked_until > now:
        record(session, actor_for(account), action, "account", account.id, outcome="denied", code="locked")
        return Refused(_locked(account.locked_until, now))
    password_right = password is None or password_fits(account.password_hash, password.reveal())
    step = None if code is None else _step(session, account, code, now)
    if not password_right or (code is not None and step is None):
        return _count_failure(session, account, action, sentence, now)
    account.totp_last_step = step or account.totp_last_step
    account.failed_attempts, account.locked_until = 0, None
    return None


def _step(session: Session, account: Account, code: Secret[str], now: datetime) -> int | None:
    secret = Secret(box(session, account.id).open(account, "totp_secret").reveal())
    return matching_step(secret, code.reveal(), account.totp_last_step, now)


def _count_failure(session: Session, account: Account, action: str, sentence: str, now: datetime) -> Refused:
    account.failed_attempts += 1
    delay = _delay(account.failed_attempts, settings())
    record(
        session,
        actor_for(account),
        action,
        "account",
        account.id,
        outcome="denied",
        code="not_signed_in",
        failures=account.failed_attempts,
    )
    if not delay:
        return Refused(NotSignedIn(sentence))
    account.locked_until = now + delay
    return Refused(_locked(account.locked_until, now))


def _delay(failures: int, programme: Programme) -> timedelta:
    """How long an account is locked after that many failures in a row."""
    beyond = failures - programme.whole("sign_in.free_attempts")
    if beyond <= 0:
        return timedelta(0)
    longest = programme.number("sign_in.longest_delay_seconds")
    # Thirty doublings are longer than any limit that makes sense; the cap keeps the number small.
    seconds = programme.number("sign_in.first_delay_seconds") * 2 ** min(beyond - 1, 30)
    return timedelta(seconds=min(seconds, longest))


def _locked(until: datetime, now: datetime) -> Locked:
    return Locked(LOCKED, retry_after_seconds=max(1, -int(-(until - now).total_seconds() // 1)))
