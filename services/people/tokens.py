"""Bearer tokens: stored hashed, limited to scopes, expiring, revocable."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import InvalidInput, NotFound, NotSignedIn
from services.core.ids import new_id
from services.core.personal import Secret
from services.people.access import Action, authorize
from services.people.models import Account, Token
from services.people.settings import settings
from services.vault.blind_indexes import token_hash

TOKEN_BYTES = 32
NOT_VALID = "This token is not valid. Sign in again."


class Scope(StrEnum):
    """What a token may be used for. Rights follow from the role; a scope only narrows them."""

    API = "api"  # everything that the role may do
    READ = "read"  # only to look


def scope_allows(scopes: Collection[str], is_read: bool) -> bool:
    """Whether a token with ``scopes`` may be used for a request that only reads, or one that changes something."""
    return Scope.API in scopes or (is_read and Scope.READ in scopes)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A fresh token. ``token`` is shown to its holder once and kept nowhere."""

    token: Secret[str]
    id: UUID
    actor: Actor
    scopes: tuple[str, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AuthenticatedActor:
    """Who a token belongs to, and what it may be used for."""

    actor: Actor
    token_id: UUID
    scopes: frozenset[str]


_LOOK_UP = (
    select(
        Token.id,
        Token.account_id,
        Token.patient_id,
        Token.episode_id,
        Token.scopes,
        Token.expires_at,
        Token.revoked_at,
        Account.role,
        Account.organisation_id,
        Account.disabled_at,
    )
    .outerjoin(Account, Account.id == Token.account_id)
    .where(Token.hash == bindparam("hash"))
)


def actor_of(session: Session, token: str) -> AuthenticatedActor:
    """Who ``token`` belongs to, in one query: every request asks.

    Raises ``NotSignedIn`` with one and the same sentence for a token that is unknown, expired, revoked or whose account
    is disabled.
    """
    row = session.connection().execute(_LOOK_UP, {"hash": token_hash(token)}).one_or_none()
    if row is None or row.revoked_at is not None or row.disabled_at is not None or row.expires_at <= clock.now():
        raise NotSignedIn(NOT_VALID)
    if row.account_id is not None:
        actor = Actor(row.account_id, Role(row.role), row.organisation_id)
    else:
        actor = Actor(row.patient_id, Role.PATIENT, episode_id=row.episode_id)
    return AuthenticatedActor(actor, row.id, frozenset(row.scopes))


def actor_for(account: Account) -> Actor:
    """The actor that the holder of ``account`` is."""
    return Actor(account.id, Role(account.role), account.organisation_id)


def issue_token(
    session: Session,
    actor: Actor,
    account: Account,
    *,
    scopes: Collection[str] = (Scope.API,),
    label: str = "",
    lifetime: timedelta | None = None,
) -> IssuedToken:
    """A token for ``account``: its own holder asks, or the system does for the command line.

    ``lifetime`` defaults to ``tokens.sign_in_hours`` and is at most ``tokens.longest_days``. Raises ``NotFound`` for
    somebody else's account, ``InvalidInput`` naming the field.
    """
    authorize(actor, Action.MANAGE_OWN_TOKENS)
    if actor.role is not Role.SYSTEM and actor.id != account.id:
        raise NotFound("There is no such account, or it is not yours.")
    if account.disabled_at is not None:
        raise InvalidInput("This account is disabled.", field="account")
    lifetime = _checked_lifetime(lifetime)
    issued = _issue(session, actor_for(account), _checked_scopes(scopes), _checked_label(label), lifetime)
    record(session, actor, "token.issue", "token", issued.id, account=account.id, scopes=list(issued.scopes))
    return issued


def issue_patient_token(session: Session, patient_id: UUID, episode_id: UUID) -> IssuedToken:
    """A token for a patient, limited to one episode and to ``links.token_minutes``. The caller has proven who asks."""
    lifetime = timedelta(minutes=settings().number("links.token_minutes"))
    patient = Actor(patient_id, Role.PATIENT, episode_id=episode_id)
    issued = _issue(session, patient, (Scope.API,), "", lifetime)
    record(session, patient, "token.issue", "token", issued.id, scopes=list(issued.scopes))
    return issued


def _issue(session: Session, holder: Actor, scopes: tuple[str, ...], label: str, lifetime: timedelta) -> IssuedToken:
    plain = secrets.token_urlsafe(TOKEN_BYTES)
    is_patient = holder.role is Role.PATIENT
    row = Token(
        id=new_id(),
        hash=token_hash(plain),
        account_id=None if is_patient else holder.id,
        patient_id=holder.id if is_patient else None,
        episode_id=holder.episode_id,
        scopes=list(scopes),
        label=label,
        created_at=clock.now(),
        expires_at=clock.now() + lifetime,
    )
    session.add(row)
    session.flush()
    return IssuedToken(Secret(plain), row.id, holder, scopes, row.expires_at)


def _checked_scopes(scopes: Collection[str]) -> tuple[str, ...]:
    known = {scope.value for scope in Scope}
    if not scopes or not set(scopes) <= known:
        raise InvalidInput(f"Give one or more of: {', '.join(sorted(known))}.", field="scopes")
    return tuple(sorted({Scope(scope).value for scope in scopes}))


def _checked_label(label: str) -> str:
    if len(label) > 60 or not label.isprintable():
        raise InvalidInput("Give at most 60 printable characters.", field="label")
    return label


def _checked_lifetime(lifetime: timedelta | None) -> timedelta:
    longest = timedelta(days=settings().number("tokens.longest_days"))
    if lifetime is None:
        return timedelta(hours=settings().number("tokens.sign_in_hours"))
    if not timedelta(0) < lifetime <= longest:
        raise InvalidInput(f"A token lives longer than no time and at most {longest.days} days.", field="lifetime")
    return lifetime


def list_tokens(session: Session, actor: Actor) -> Sequence[Token]:
    """The actor's own tokens that still work, oldest first."""
    authorize(actor, Action.MANAGE_OWN_TOKENS)
    query = select(Token).where(Token.account_id == actor.id, Token.revoked_at.is_(None))
    return session.scalars(query.where(Token.expires_at > clock.now()).order_by(Token.id)).all()


def revoke_token(session: Session, actor: Actor, token_id: UUID) -> Token:
    """End one of the actor's own tokens, at once; a patient signs out this way too.

    Ending an ended one changes nothing. Raises ``NotFound`` for anybody else's.
    """
    if actor.role is not Role.PATIENT:
        authorize(actor, Action.MANAGE_OWN_TOKENS)
    token = session.get(Token, token_id, with_for_update=True)
    if token is None or actor.id not in (token.account_id, token.patient_id):
        raise NotFound("There is no such token, or it is not yours.")
    if token.revoked_at is None:
        token.revoked_at = clock.now()
        record(session, actor, "token.revoke", "token", token.id)
    return token


def revoke_tokens_of(session: Session, account_id: UUID, *, keep: UUID | None = None) -> None:
    """End every token of an account (but ``keep``): it was disabled, or its password changed."""
    condition = [Token.account_id == account_id, Token.revoked_at.is_(None)]
    if keep is not None:
        condition.append(Token.id != keep)
    session.execute(update(Token).where(*condition).values(revoked_at=clock.now()))
