"""Reading notices: one's own, and what the care team may know of a patient's texts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import NotFound, StaleVersion
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.vocabulary import NoticeKind
from services.messaging.models import Notice
from services.messaging.notice_states import NOTICE_TRANSITIONS, Channel, NoticeState, NoticeStep
from services.messaging.texts import OPENERS, text_of
from services.people.access import Action, authorize, visible_episode
from services.vault.boxes import box


@dataclass(frozen=True, slots=True)
class ShownNotice:
    """A notice as its recipient reads it; ``text`` is None where there is none, or where it holds a link or code."""

    notice: Notice
    text: Personal[str | None]


def my_notices(
    session: Session,
    actor: Actor,
    *,
    states: Collection[NoticeState] = (),
    after: tuple[datetime, UUID] | None = None,
    limit: int = 20,
) -> Sequence[ShownNotice]:
    """The actor's notices, newest first, from behind the position ``after``.

    Staff get the in-app notices for themselves and their organisation, a patient the texts of the episode that they
    came in for. Showing a patient their texts is audited.
    """
    authorize(actor, Action.READ_NOTICE)
    query = select(Notice).where(_is_mine(actor))
    if states:
        query = query.where(Notice.state.in_(sorted(states)))
    found = session.scalars(page_of(query, Notice.created_at, Notice.id, after=after, limit=limit)).all()
    if actor.role is not Role.PATIENT:
        return [ShownNotice(notice, Personal(None)) for notice in found]
    record(session, actor, "notice.read", "patient", actor.id, count=len(found))
    return [ShownNotice(notice, _text(session, notice)) for notice in found]


def _is_mine(actor: Actor) -> ColumnElement[bool]:
    if actor.role is Role.PATIENT:
        mine = and_(Notice.recipient_id == actor.id, Notice.channel == Channel.SMS)
        if actor.episode_id is None:
            return mine
        return and_(mine, or_(Notice.episode_id == actor.episode_id, Notice.episode_id.is_(None)))
    owners = [actor.id] if actor.organisation_id is None else [actor.id, actor.organisation_id]
    return and_(Notice.recipient_id.in_(owners), Notice.channel == Channel.IN_APP)


def _text(session: Session, notice: Notice) -> Personal[str | None]:
    # What opens something is not shown again: a link lives for days, the token that reads this for an hour.
    if text_of(NoticeKind(notice.kind)).placeholders & OPENERS:
        return Personal(None)
    return box(session, notice.recipient_id).open(notice, "body")


def read_notice(session: Session, actor: Actor, notice_id: UUID, *, version: int | None = None) -> ShownNotice:
    """Note that the actor has read an in-app notice; reading it again changes nothing.

    Raises ``NotFound`` for anybody else's, ``IllegalTransition`` for a text (what became of it is the provider's to
    say), ``StaleVersion`` when somebody changed it since ``version`` was read.
    """
    authorize(actor, Action.READ_NOTICE)
    notice = session.scalar(select(Notice).where(Notice.id == notice_id, _is_mine(actor)).with_for_update())
    if notice is None:
        raise NotFound("There is no such notice, or it is not yours to see.")
    if version is not None and notice.version != version:
        raise StaleVersion("Somebody else changed this notice since you read it.", field="version")
    notice.state = NOTICE_TRANSITIONS.advance(NoticeState(notice.state), NoticeStep.READ, actor.role)
    if notice.read_at is None:
        notice.read_at = clock.now()
        record(session, actor, "notice.read", "notice", notice.id, episode_id=notice.episode_id)
    return ShownNotice(notice, Personal(None))


def notices_of_episode(
    session: Session,
    actor: Actor,
    episode_id: UUID,
    *,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 20,
) -> Sequence[Notice]:
    """The texts to the patient of an episode, newest first: what kind, what became of them and why; never the words.

    For the therapist of record and the medical team, who must know whether the patient heard. Audited. Raises as
    ``authorize`` does.
    """
    episode = visible_episode(session, actor, Action.READ_EPISODE_NOTICE, episode_id)
    record(session, actor, "notice.read_of_episode", "episode", episode.id, episode_id=episode.id)
    query = select(Notice).where(
        Notice.recipient_id == episode.patient_id, Notice.episode_id == episode.id, Notice.channel == Channel.SMS
    )
    return session.scalars(page_of(query, Notice.created_at, Notice.id, after=after, limit=limit)).all()
