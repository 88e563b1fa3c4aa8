"""Short ways to fill the outbox, carry bags to the workers' code, and look at what came of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.core.ids import new_id
from services.core.programme import Programme, programme
from services.core.vocabulary import EventKind, Party
from services.messaging.models import DeadLetter, Event, Task
from services.messaging.outbox import Subject, emit
from tests.factories import World
from workers.handlers import handle_bag
from workers.queues import Envelope

DEFAULT = programme()


def with_settings(**changes: float) -> Programme:
    """The default programme with other settings of the relay."""
    return replace(DEFAULT, settings={**DEFAULT.settings, **{f"relay.{name}": v for name, v in changes.items()}})


# Nothing but a task of the operations desk follows from this event: it needs no episode.
UNCLEAR = EventKind.SMS_UNCLEAR


def emit_unclear(session: Session, number: int = 1) -> list[Event]:
    """``number`` events for the operations desk, each of which opens one task."""
    ids = [emit(session, UNCLEAR, subject=Subject("message", new_id()))[0] for _ in range(number)]
    session.commit()
    return [session.get_one(Event, event_id) for event_id in ids]


def emit_for(session: Session, kind: EventKind, party: Party, episode_id: UUID | None, **data: Any) -> Event:
    """One event for one party."""
    (event_id,) = emit(session, kind, subject=Subject("thing", new_id()), episode_id=episode_id, to=[party], **data)
    session.commit()
    return session.get_one(Event, event_id)


def packed(event: Event) -> list[str]:
    """An event as the relay puts it into a bag."""
    return Envelope(event.id, event.kind, event.key_name, event.envelope).packed()


def bag_of(events: Iterable[Event]) -> list[list[str]]:
    """Events as the relay puts them into one bag."""
    return [packed(event) for event in events]


def waiting(session: Session, party: Party) -> list[Event]:
    """What a party has not handled yet, oldest first."""
    session.expire_all()
    unhandled = select(Event).where(Event.party == party, Event.acknowledged_at.is_(None))
    return list(session.scalars(unhandled.order_by(Event.id)))


def work(session: Session, *parties: Party) -> None:
    """Let the workers of ``parties`` handle what waits for them, one bag each."""
    session.commit()
    for party in parties:
        handle_bag(party.value, bag_of(waiting(session, party)))
    session.expire_all()


def tasks_of(session: Session, *events: Event) -> list[Task]:
    """The tasks that came of some events."""
    session.expire_all()
    return list(session.scalars(select(Task).where(Task.event_id.in_([event.id for event in events]))))


def letters(session: Session) -> list[DeadLetter]:
    """All dead letters, oldest first."""
    session.expire_all()
    return list(session.scalars(select(DeadLetter).order_by(DeadLetter.buried_at, DeadLetter.id)))


def told_of(session: Session, world: World, letter: DeadLetter) -> list[Task]:
    """The tasks by which the operations desk hears of a dead letter."""
    work(session, Party.OPERATIONS)
    query = select(Task).where(Task.subject_id == letter.id, Task.owner_id == world.operations.id)
    return list(session.scalars(query))


def count(session: Session, model: type[Any]) -> int:
    """How many rows a table has."""
    session.expire_all()
    return session.scalar(select(func.count()).select_from(model)) or 0


def leave_a_trace(*_: Any) -> None:
    """What somebody else would want to have called."""
    Path(os.environ["TRACE"]).touch()
