"""Contacts of a prescriber with the patient: recorded by whoever held them, counted by the gates of DOMAIN 4."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ScalarSelect, SQLColumnExpression, Uuid, bindparam, func, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.messaging.outbox import Subject
from services.people.access import Action, visible_episode
from services.prescribing.models import PrescriberContact
from services.prescribing.signing_rules import CONTACT_IN_THE_FUTURE
from services.screening.written_texts import heed
from services.vault.boxes import box


class Manner(StrEnum):
    """How prescriber and patient spoke."""

    VIDEO = "video"
    PHONE = "phone"
    IN_PERSON = "in_person"


@dataclass(frozen=True, slots=True, repr=False)
class ReadContact:
    """A contact with its note opened."""

    contact: PrescriberContact
    note: Personal[str | None]


def record_contact(
    session: Session,
    actor: Actor,
    episode_id: UUID,
    manner: Manner,
    *,
    held_at: datetime | None = None,
    note: Personal[str] | None = None,
) -> ReadContact:
    """Put a contact on record that the actor, a prescriber of the team, had with the patient; ``held_at`` default now.

    Raises as ``authorize`` does, ``RuleRefused`` on ``held_at`` for a coming time.
    """
    episode = visible_episode(session, actor, Action.RECORD_CONTACT, episode_id)
    now = clock.now()
    if held_at is not None and held_at > now:
        raise CONTACT_IN_THE_FUTURE.refused(field="held_at", held_at=held_at.isoformat(), now=now.isoformat())
    row = PrescriberContact(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        prescriber_id=actor.id,
        manner=manner,
        held_at=held_at or now,
        recorded_at=now,
    )
    box(session, row.patient_id).seal(row, "note", note)
    session.add(row)
    session.flush()
    record(session, actor, "prescriber_contact.record", "prescriber_contact", row.id, episode_id=episode.id)
    heed(session, actor, episode, note, subject=Subject("prescriber_contact", row.id))
    return _opened(session, row)


def list_contacts(
    session: Session, actor: Actor, episode_id: UUID, *, after: tuple[datetime, UUID] | None = None, limit: int = 20
) -> list[ReadContact]:
    """The contacts of an episode, newest first, from behind the position ``after``; an audited read."""
    episode = visible_episode(session, actor, Action.READ_REFILL, episode_id)
    row = PrescriberContact
    query = select(row).where(row.episode_id == episode.id)
    query = page_of(query, row.held_at, row.id, after=after, limit=limit)
    record(session, actor, "prescriber_contact.list", "episode", episode.id, episode_id=episode.id)
    return [_opened(session, each) for each in session.scalars(query)]


def last_contact_at(episode_id: SQLColumnExpression[UUID]) -> ScalarSelect[datetime]:
    """When a prescriber last spoke with the patient, for a query that reads episodes anyway."""
    return (
        select(func.max(PrescriberContact.held_at)).where(PrescriberContact.episode_id == episode_id).scalar_subquery()
    )


def followed_up_at(session: Session, episode_id: UUID) -> datetime | None:
    """When a prescriber last spoke with the patient; a decision alone is no follow-up."""
    return session.scalar(_FOLLOWED_UP, {"episode": episode_id})


_FOLLOWED_UP = select(last_contact_at(bindparam("episode", type_=Uuid)))


def _opened(session: Session, row: PrescriberContact) -> ReadContact:
    return ReadContact(row, box(session, row.patient_id).open(row, "note"))
