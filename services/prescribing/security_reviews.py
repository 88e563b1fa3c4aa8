"""The daily review of security events: the desk looks at them, says so on record, or is chased (21 CFR 1311.150).

The events are records of the audit trail, which never change; a review holds from when to when. The ticker opens one a
day. After it was down, or the clock was moved, one review covers all the days since the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from services.audit.models import AuditRecord
from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Actor
from services.core.errors import NotFound
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import settle_tasks
from services.people.access import Action, authorize
from services.people.models import Organisation, OrganisationKind
from services.people.zones import read_zone
from services.prescribing.models import SecurityReview
from services.prescribing.signing_rules import SECURITY_REVIEWED
from services.vault.boxes import box


class SecurityEvent(StrEnum):
    """What the desk looks at."""

    FAILED_FACTOR = "failed_factor"
    REFUSED_SIGNING = "refused_signing"
    ACCESS_CHANGED = "access_changed"
    PAPERS_ENDED = "papers_ended"
    ALTERED_CONTENT = "altered_content"
    FAILED_TRANSMISSION = "failed_transmission"


_ROW = AuditRecord
_SIGNING: Final = ("prescription.sign", "prescription.confirm_signed", "signing_grant.approve")
_ACCESS: Final = ("account.reset", "account.disable", "account.enable")
# Which records of the trail are which events.
_KINDS: Final[dict[SecurityEvent, ColumnElement[bool]]] = {
    SecurityEvent.FAILED_FACTOR: and_(_ROW.action.in_(("account.sign_in", "account.prove")), _ROW.outcome == "denied"),
    SecurityEvent.REFUSED_SIGNING: and_(_ROW.action.in_(_SIGNING), _ROW.outcome == "denied"),
    SecurityEvent.ACCESS_CHANGED: and_(
        or_(_ROW.action.startswith("signing_grant."), _ROW.action.in_(_ACCESS)), _ROW.outcome == "done"
    ),
    SecurityEvent.PAPERS_ENDED: _ROW.action.in_(("licence.revoke", "dea_registration.revoke")),
    SecurityEvent.ALTERED_CONTENT: and_(_ROW.action == "prescription.verify", _ROW.outcome == "failed"),
    SecurityEvent.FAILED_TRANSMISSION: _ROW.action == "dead_letter.bury",
}
_KIND: Final = case(*((condition, kind.value) for kind, condition in _KINDS.items()))


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """One record of the trail, and which event it is."""

    kind: SecurityEvent
    record: AuditRecord


def open_due(session: Session) -> int:
    """Open the review of the days that are over where the desk works; gives 1, or 0 when there is none to open."""
    query = select(Organisation).where(Organisation.kind == OrganisationKind.OPERATIONS)
    desk = session.scalar(query.order_by(Organisation.id).limit(1))
    if desk is None:
        return 0
    zone = read_zone(desk.zone)
    today = clock.now().astimezone(zone).date()
    until = datetime.combine(today, time(), tzinfo=zone)
    last = session.scalar(select(SecurityReview).order_by(SecurityReview.day.desc()).limit(1))
    yesterday = today - timedelta(days=1)
    if last is not None and last.day >= yesterday:
        return 0
    row = SecurityReview(
        id=new_id(),
        organisation_id=desk.id,
        day=yesterday,
        since=until - timedelta(days=1) if last is None else last.until,
        until=until,
        opened_at=clock.now(),
    )
    session.add(row)
    session.flush()
    found = counts_of(session, row)
    record(session, SYSTEM, "security_review.open", "security_review", row.id, count=sum(found.values()))
    if found:
        emit(session, EventKind.SECURITY_REVIEW_DUE, subject=_subject(row))
    return 1


def counts_of(session: Session, row: SecurityReview) -> dict[SecurityEvent, int]:
    """How many events of each kind a review holds; kinds without any are left out."""
    query = select(_KIND, func.count()).where(*_within(row)).group_by(_KIND)
    return {SecurityEvent(kind): number for kind, number in session.execute(query)}


def _within(row: SecurityReview) -> tuple[ColumnElement[bool], ...]:
    return (_ROW.at >= row.since, _ROW.at < row.until, or_(*_KINDS.values()))


def list_reviews(
    session: Session, actor: Actor, *, after: UUID | None = None, limit: int = 20
) -> Sequence[SecurityReview]:
    """The reviews, newest first, from behind the id ``after``."""
    authorize(actor, Action.READ_SECURITY_REVIEW)
    return session.scalars(page_of(select(SecurityReview), SecurityReview.id, after=after, limit=limit)).all()


def read_review(session: Session, actor: Actor, review_id: UUID) -> SecurityReview:
    """One review. Raises ``NotFound``."""
    authorize(actor, Action.READ_SECURITY_REVIEW)
    return _review(session, review_id)


def list_events(
    session: Session,
    actor: Actor,
    review_id: UUID,
    *,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 20,
) -> list[FoundEvent]:
    """The events that a review holds, newest first, from behind the position ``after``; the reading is audited."""
    authorize(actor, Action.READ_SECURITY_REVIEW)
    row = _review(session, review_id)
    query = select(_ROW, _KIND).where(*_within(row))
    query = page_of(query, _ROW.at, _ROW.id, after=after, limit=limit)
    record(session, actor, "security_review.read", "security_review", row.id)
    return [FoundEvent(SecurityEvent(kind), found) for found, kind in session.execute(query)]


def review(session: Session, actor: Actor, review_id: UUID, remark: Personal[str] | None = None) -> SecurityReview:
    """Say on record that the events were looked at, with a remark if need be. Raises ``Conflict`` the second time."""
    authorize(actor, Action.REVIEW_SECURITY)
    row = _review(session, review_id, lock=True)
    if row.reviewed_at is not None:
        raise SECURITY_REVIEWED.conflict(reviewed_at=row.reviewed_at.isoformat())
    row.reviewed_by, row.reviewed_at = actor.id, clock.now()
    box(session, row.organisation_id).seal(row, "remark", remark)
    session.flush()
    record(session, actor, "security_review.review", "security_review", row.id)
    settle_tasks(session, actor, _subject(row), {TaskKind.REVIEW_SECURITY})
    return row


def remark_of(session: Session, row: SecurityReview) -> Personal[str | None]:
    """What was remarked, for whoever may read the review."""
    remark: Personal[str | None] = box(session, row.organisation_id).open(row, "remark")
    return remark


def _review(session: Session, review_id: UUID, *, lock: bool = False) -> SecurityReview:
    row = session.get(SecurityReview, review_id, with_for_update=lock, populate_existing=lock)
    if row is None:
        raise NotFound("There is no such review.")
    return row


def _subject(row: SecurityReview) -> Subject:
    return Subject("security_review", row.id)
