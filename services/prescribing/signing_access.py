"""Who hears of access to signing: whoever approves it, and the desk when access ended (21 CFR 1311.125)."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import SYSTEM, Actor, Role
from services.core.personal import Secret
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.outbox import Subject, emit
from services.messaging.states import TaskStep
from services.messaging.tasks import settle_tasks
from services.people import signing_grants
from services.people.accounts import account_of
from services.people.attempts import Refused
from services.people.models import SigningGrant
from services.people.signing_grants import EndCode
from services.people.states import GrantState


def nominate(session: Session, actor: Actor, account_id: UUID, approver_id: UUID | None = None) -> SigningGrant:
    """As ``signing_grants.nominate``; whoever was named is asked to approve, else the nominee's medical team."""
    row = signing_grants.nominate(session, actor, account_id, approver_id)
    asked = approver_id or account_of(session, account_id).organisation_id
    emit(session, EventKind.SIGNER_NOMINATED, subject=_subject(row), owner=str(asked))
    return row


def approve(
    session: Session, actor: Actor, grant_id: UUID, code: Secret[str], *, password: Secret[str]
) -> SigningGrant | Refused:
    """As ``signing_grants.approve``."""
    row = signing_grants.approve(session, actor, grant_id, code, password=password)
    if not isinstance(row, Refused):
        settle_tasks(session, actor, _subject(row), {TaskKind.APPROVE_SIGNER})
    return row


def end(session: Session, actor: Actor, grant_id: UUID, code: EndCode) -> SigningGrant:
    """As ``signing_grants.end``; whoever has to know hears at once."""
    row = signing_grants.end(session, actor, grant_id, code)
    tell_of_ended(session)
    return row


def end_lapsed(session: Session) -> int:
    """End the access of those whose papers ran out, and tell of all that ended; gives how many. The ticker calls it."""
    signing_grants.end_lapsed(session)
    return tell_of_ended(session)


def tell_of_ended(session: Session) -> int:
    """Tell the desk of access that ended and was not told of yet; gives how many.

    What the desk itself withdrew it knows; then only the practitioner hears.
    """
    query = select(SigningGrant).where(SigningGrant.state == GrantState.ENDED, SigningGrant.told_at.is_(None))
    rows = session.scalars(query.order_by(SigningGrant.id).with_for_update(skip_locked=True)).all()
    for row in rows:
        row.told_at = clock.now()
        settle_tasks(session, SYSTEM, _subject(row), {TaskKind.APPROVE_SIGNER}, TaskStep.CANCEL)
        withdrawn = row.code == EndCode.WITHDRAWN and _is_desk(session, row.ended_by)
        kind = EventKind.SIGNER_WITHDRAWN if withdrawn else EventKind.SIGNING_ACCESS_ENDED
        emit(session, kind, subject=_subject(row), owner=str(row.account_id))
    return len(rows)


def _is_desk(session: Session, account_id: UUID | None) -> bool:
    return account_id not in (None, SYSTEM.id) and account_of(session, account_id).role == Role.OPERATIONS


def _subject(row: SigningGrant) -> Subject:
    return Subject("signing_grant", row.id)
