"""Accounts: the people who sign in. Made, disabled and listed by the operations desk or the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import Conflict, InvalidInput, NotFound
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal, Secret
from services.people.access import Action, authorize
from services.people.models import Account, Organisation, OrganisationKind
from services.people.passwords import check_new_password, hash_password
from services.people.phones import e164
from services.people.second_factors import enrolment_address, new_totp_secret
from services.people.signing_grants import EndCode, end_grant_of
from services.people.tokens import revoke_tokens_of
from services.vault.blind_indexes import blind_index
from services.vault.boxes import box

EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f.]+(\.[^@\s\x00-\x1f\x7f.]+)+")

WORKPLACES: Final[Mapping[Role, OrganisationKind]] = {
    Role.THERAPIST: OrganisationKind.PRACTICE,
    Role.PRESCRIBER: OrganisationKind.MEDICAL_TEAM,
    Role.MEDICAL_STAFF: OrganisationKind.MEDICAL_TEAM,
    Role.PHARMACIST: OrganisationKind.PHARMACY,
    Role.OPERATIONS: OrganisationKind.OPERATIONS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDetails:
    """Who an account is for. ``phone`` is where people on call are paged."""

    role: Role
    organisation_id: UUID
    email: Personal[str]
    full_name: Personal[str]
    phone: Personal[str] | None = None
    on_call: bool = False


@dataclass(frozen=True, slots=True)
class CreatedAccount:
    """A fresh account and what its holder enrols an authenticator with; shown once and kept nowhere."""

    account: Account
    enrolment: Secret[str]


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of the holder of an account."""

    account_id: UUID
    role: Role
    organisation_id: UUID
    full_name: Personal[str]
    email: Personal[str]
    phone: Personal[str | None]
    on_call: bool
    disabled: bool


def checked_email(email: Personal[str], *, field: str = "email") -> Personal[str]:
    """The address without outer blanks. Raises ``InvalidInput`` on ``field`` for what cannot be one."""
    text = email.reveal().strip()
    if len(text) > 254 or EMAIL.fullmatch(text) is None:
        raise InvalidInput("This is not an e-mail address.", field=field)
    return Personal(text)


def checked_name(name: Personal[str], *, field: str = "full_name") -> Personal[str]:
    """The name with single blanks. Raises ``InvalidInput`` on ``field`` when it is empty, too long or not printable."""
    text = " ".join(name.reveal().split())
    if not 1 <= len(text) <= 120 or not text.isprintable():
        raise InvalidInput("Give a name of 1 to 120 printable characters.", field=field)
    return Personal(text)


def create_account(session: Session, actor: Actor, details: AccountDetails, password: Secret[str]) -> CreatedAccount:
    """Add an account with a second factor to enrol.

    Raises ``InvalidInput`` naming the field, ``Conflict`` when the e-mail address has an account, ``NotAllowed`` for
    anybody but operations and the command line.
    """
    authorize(actor, Action.MANAGE_ACCOUNTS)
    _check_workplace(session, details)
    email = checked_email(details.email)
    check_new_password(password.reveal(), email)
    if account_with_email(session, email) is not None:
        raise Conflict("This e-mail address already has an account.", field="email")
    secret = new_totp_secret()
    account = add_account(session, details, hash_password(password.reveal()), secret)
    record(
        session,
        actor,
        "account.create",
        "account",
        account.id,
        role=details.role.value,
        organisation=details.organisation_id,
        on_call=details.on_call,
    )
    return CreatedAccount(account, enrolment_address(secret, email))


def add_account(session: Session, details: AccountDetails, password_hash: str, totp_secret: Secret[str]) -> Account:
    """Store an account whose password and second factor exist already; checks only the form of its details."""
    account = Account(
        id=new_id(),
        organisation_id=details.organisation_id,
        role=details.role,
        email_index=blind_index("email", checked_email(details.email)),
        password_hash=password_hash,
        totp_last_step=0,
        failed_attempts=0,
        on_call=details.on_call,
        created_at=clock.now(),
    )
    own = box(session, account.id)
    own.seal(account, "email", checked_email(details.email))
    own.seal(account, "full_name", checked_name(details.full_name))
    own.seal(account, "phone", None if details.phone is None else e164(details.phone))
    own.seal(account, "totp_secret", totp_secret.reveal())
    session.flush()
    session.add(account)
    try:
        session.flush()
    except IntegrityError:
        # Somebody created the same address at this very moment. The failed transaction rolls back with this error.
        raise Conflict("This e-mail address already has an account.", field="email") from None
    return account


def _check_workplace(session: Session, details: AccountDetails) -> None:
    needed = WORKPLACES.get(details.role)
    if needed is None:
        raise InvalidInput("This role has no account.", field="role")
    organisation = session.get(Organisation, details.organisation_id)
    if organisation is None or organisation.kind != needed:
        words = needed.value.replace("_", " ")
        raise InvalidInput(f"The organisation of this role must be a {words}.", field="organisation_id")


def account_with_email(session: Session, email: Personal[str]) -> Account | None:
    """The account that signs in with an e-mail address, if there is one."""
    return session.scalar(select(Account).where(Account.email_index == blind_index("email", email)))


def account_of(session: Session, account_id: UUID) -> Account:
    """One account, for use cases. Raises ``NotFound``."""
    account = session.get(Account, account_id)
    if account is None:
        raise NotFound("There is no such account.")
    return account


def active_account(session: Session, account_id: UUID, role: Role, *, field: str) -> Account:
    """An account that works and has ``role``; raises ``InvalidInput`` on ``field`` for any other."""
    account = session.get(Account, account_id)
    if account is None or account.role != role or account.disabled_at is not None:
        raise InvalidInput(f"This must be the id of an active {role.value.replace('_', ' ')}.", field=field)
    return account


def person_of(session: Session, account_id: UUID) -> Person:
    """Who holds an account, opened. Raises ``NotFound``."""
    return _opened(session, account_of(session, account_id))


def _opened(session: Session, account: Account) -> Person:
    own = box(session, account.id)
    return Person(
        account_id=account.id,
        role=Role(account.role),
        organisation_id=account.organisation_id,
        full_name=own.open(account, "full_name"),
        email=own.open(account, "email"),
        phone=own.open(account, "phone"),
        on_call=account.on_call,
        disabled=account.disabled_at is not None,
    )


def on_call_people(session: Session, organisation_id: UUID) -> list[Person]:
    """The people of an organisation who are on call and can be reached by phone."""
    query = select(Account).where(
        Account.organisation_id == organisation_id,
        Account.on_call.is_(True),
        Account.disabled_at.is_(None),
        Account.phone.is_not(None),
    )
    return [_opened(session, account) for account in session.scalars(query.order_by(Account.id))]


def read_own_account(session: Session, actor: Actor) -> Person:
    """The actor's own account."""
    authorize(actor, Action.READ_OWN_ACCOUNT)
    return person_of(session, actor.id)


def list_accounts(
    session: Session,
    actor: Actor,
    *,
    organisation_id: UUID | None = None,
    after: UUID | None = None,
    limit: int = 20,
) -> list[Person]:
    """Accounts for the operations desk, oldest first, from behind the id ``after``; a page at a time."""
    authorize(actor, Action.MANAGE_ACCOUNTS)
    query = page_of(select(Account), Account.id, after=after, limit=limit, newest_first=False)
    if organisation_id is not None:
        query = query.where(Account.organisation_id == organisation_id)
    people = [_opened(session, account) for account in session.scalars(query)]
    record(session, actor, "account.list", "account", None, count=len(people))
    return people


def disable_account(session: Session, actor: Actor, account_id: UUID) -> Account:
    """Shut an account at once, tokens and all. Nobody shuts their own: the desk must keep somebody who can act."""
    authorize(actor, Action.MANAGE_ACCOUNTS)
    if actor.id == account_id:
        raise Conflict("You cannot disable your own account; ask a colleague.")
    account = account_of(session, account_id)
    if account.disabled_at is None:
        account.disabled_at = clock.now()
        revoke_tokens_of(session, account.id)
        end_grant_of(session, actor, account.id, EndCode.ACCOUNT_CLOSED)
        record(session, actor, "account.disable", "account", account.id)
    return account


def enable_account(session: Session, actor: Actor, account_id: UUID) -> Account:
    """Open a disabled account again and forget its failed attempts. Its old tokens stay ended."""
    authorize(actor, Action.MANAGE_ACCOUNTS)
    account = account_of(session, account_id)
    if account.disabled_at is not None:
        account.disabled_at, account.failed_attempts, account.locked_until = None, 0, None
        record(session, actor, "account.enable", "account", account.id)
    return account


def change_on_call(session: Session, actor: Actor, account_id: UUID, on_call: bool) -> Account:
    """Put somebody on call or off it. Raises ``InvalidInput`` when there is no phone to page."""
    authorize(actor, Action.MANAGE_ACCOUNTS)
    account = account_of(session, account_id)
    if on_call and account.phone is None:
        raise InvalidInput("Nobody is on call without a phone number.", field="on_call")
    if account.on_call != on_call:
        account.on_call = on_call
        record(session, actor, "account.change_on_call", "account", account.id, on_call=on_call)
    return account


def reset_account(session: Session, actor: Actor, account_id: UUID, password: Secret[str]) -> CreatedAccount:
    """Give an account a new password and a new second factor: its holder lost one of them.

    Its tokens end, and the same day its access to signing, which two people have to give anew (21 CFR 1311.125).
    """
    authorize(actor, Action.MANAGE_ACCOUNTS)
    account = account_of(session, account_id)
    own = box(session, account.id)
    email: Personal[str] = own.open(account, "email")
    check_new_password(password.reveal(), email)
    secret = new_totp_secret()
    account.password_hash = hash_password(password.reveal())
    own.seal(account, "totp_secret", secret.reveal())
    account.totp_last_step, account.failed_attempts, account.locked_until = 0, 0, None
    revoke_tokens_of(session, account.id)
    end_grant_of(session, actor, account.id, EndCode.FACTOR_LOST)
    record(session, actor, "account.reset", "account", account.id)
    return CreatedAccount(account, enrolment_address(secret, email))
