"""Diversion reviews: a count that does not agree with the ledger, or one loss too many (DOMAIN 4 and 8).

While one is open nothing is dosed, shipped or refilled in the episode. A prescriber ends it, with a reason
(``sessions/reconciliations.py``, where the ledger is).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Exists, SQLColumnExpression, Uuid, bindparam, exists, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import NotFound, StaleVersion
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.vocabulary import EventKind
from services.messaging.outbox import Subject, emit
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.shipping.models import OPEN_REVIEW, DiversionReview
from services.shipping.states import DiversionState
from services.vault.boxes import box


class Cause(StrEnum):
    """What a review is about."""

    RECEIPT_COUNT = "receipt_count"
    STOCK_COUNT = "stock_count"
    RETURN_COUNT = "return_count"
    LOSSES = "losses"


@dataclass(frozen=True, slots=True, repr=False)
class ReadReview:
    """A review with its sealed content opened. ``resolution`` holds ``reason`` and ``units``, None while it is open."""

    review: DiversionReview
    facts: Personal[Mapping[str, Any]]
    resolution: Personal[Mapping[str, Any] | None]


def raise_review(
    session: Session, actor: Actor, episode: Episode, cause: Cause, about_id: UUID | None, facts: Mapping[str, Any]
) -> DiversionReview:
    """Raise a review, or give the one that is open already: what comes up meanwhile belongs to it.

    The caller has authorized the act that brought it to light. Both are audited.
    """
    # Two who count at once must see each other's review; rows that merely point at the episode are written meanwhile.
    session.execute(select(Episode.id).where(Episode.id == episode.id).with_for_update(key_share=True))
    row = open_review(session, episode.id)
    if row is not None:
        record(session, actor, "diversion_review.add", "diversion_review", row.id, episode_id=episode.id, cause=cause)
        return row
    row = DiversionReview(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        state=DiversionState.OPEN,
        cause=cause,
        about_id=about_id,
        raised_by=actor.id,
        raised_at=clock.now(),
    )
    box(session, row.patient_id).seal(row, "facts", dict(facts))
    session.add(row)
    session.flush()
    record(session, actor, "diversion_review.raise", "diversion_review", row.id, episode_id=episode.id, cause=cause)
    emit(session, EventKind.DIVERSION_SUSPECTED, subject=subject_of(row), episode_id=episode.id)
    return row


def subject_of(row: DiversionReview) -> Subject:
    """How events and tasks name a review."""
    return Subject("diversion_review", row.id)


def open_review(session: Session, episode_id: UUID) -> DiversionReview | None:
    """The open review of an episode, if there is one."""
    return session.scalar(select(DiversionReview).where(DiversionReview.episode_id == episode_id, OPEN_REVIEW))


def is_under_review(session: Session, episode_id: UUID) -> bool:
    """Whether anything of the episode is under review for diversion."""
    return bool(session.scalar(_IS_OPEN, {"episode": episode_id}))


def has_review(episode_id: SQLColumnExpression[UUID]) -> Exists:
    """As ``is_under_review``, for a query that reads episodes anyway."""
    return exists().where(DiversionReview.episode_id == episode_id, OPEN_REVIEW)


_IS_OPEN = select(has_review(bindparam("episode", type_=Uuid)))


def locked_review(
    session: Session, actor: Actor, action: Action, review_id: UUID, version: int | None
) -> tuple[DiversionReview, Episode]:
    """The review, held against others until the commit, and its episode, if ``actor`` may do ``action``.

    Raises as ``authorize`` does, and ``StaleVersion``.
    """
    row = session.get(DiversionReview, review_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("There is no such record, or it is not yours to see.")
    episode = visible_episode(session, actor, action, row.episode_id)
    if version is not None and row.version != version:
        raise StaleVersion("Somebody else changed this review since you read it.", field="version")
    return row, episode


def read_review(session: Session, actor: Actor, review_id: UUID) -> ReadReview:
    """One review, for therapist and medical team; an audited read."""
    row = session.get(DiversionReview, review_id)
    if row is None:
        raise NotFound("There is no such record, or it is not yours to see.")
    episode = visible_episode(session, actor, Action.READ_DIVERSION, row.episode_id)
    record(session, actor, "diversion_review.read", "diversion_review", row.id, episode_id=episode.id)
    return opened(session, row)


def list_reviews(
    session: Session, actor: Actor, episode_id: UUID, *, after: UUID | None = None, limit: int = 20
) -> Sequence[DiversionReview]:
    """The reviews of an episode, newest first, from behind the id ``after``: states and times, nothing sealed."""
    episode = visible_episode(session, actor, Action.READ_DIVERSION, episode_id)
    query = select(DiversionReview).where(DiversionReview.episode_id == episode.id)
    record(session, actor, "diversion_review.list", "episode", episode.id, episode_id=episode.id)
    return session.scalars(page_of(query, DiversionReview.id, after=after, limit=limit)).all()


def opened(session: Session, row: DiversionReview) -> ReadReview:
    """A review with its content; the caller has settled who may see it."""
    own = box(session, row.patient_id)
    return ReadReview(row, own.open(row, "facts"), own.open(row, "resolution"))
