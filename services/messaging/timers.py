"""Timers: an event that happens by itself at a time, unless the thing it watches ends first.

This is how nothing stalls silently: a screening never answered, a parcel never scanned, an integration never held.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM
from services.core.ids import new_id
from services.core.vocabulary import EventKind
from services.messaging.models import Timer
from services.messaging.outbox import Subject, emit
from services.people.models import Episode


def set_timer(session: Session, kind: EventKind, episode: Episode, subject: Subject, due_at: datetime) -> Timer:
    """Let ``kind`` happen to ``subject`` at ``due_at``. The ticker emits it then."""
    timer = Timer(
        id=new_id(), kind=kind, episode_id=episode.id, subject_kind=subject.kind, subject_id=subject.id, due_at=due_at
    )
    session.add(timer)
    return timer


def cancel_timers(session: Session, subject: Subject, kinds: Collection[EventKind] | None = None) -> None:
    """Stop the running timers of ``subject``, all or only those of ``kinds``."""
    session.flush()
    condition = [Timer.subject_id == subject.id, Timer.ended_at.is_(None)]
    if kinds is not None:
        condition.append(Timer.kind.in_(kinds))
    session.execute(update(Timer).where(*condition).values(ended_at=clock.now(), outcome="cancelled"))


def cancel_timers_of_episode(session: Session, episode: Episode, kinds: Collection[EventKind]) -> None:
    """Stop the running timers of ``kinds`` of an episode, whatever they are about."""
    session.flush()
    condition = (Timer.episode_id == episode.id, Timer.ended_at.is_(None), Timer.kind.in_(kinds))
    session.execute(update(Timer).where(*condition).values(ended_at=clock.now(), outcome="cancelled"))


def fire_due(session: Session, limit: int = 200) -> int:
    """Emit the events of timers that are due; gives how many. The ticker calls it until it gives 0."""
    due = session.scalars(
        select(Timer)
        .where(Timer.ended_at.is_(None), Timer.due_at <= clock.now())
        .order_by(Timer.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for timer in due:
        timer.ended_at, timer.outcome = clock.now(), "fired"
        subject = Subject(timer.subject_kind, timer.subject_id)
        record(session, SYSTEM, "timer.fire", subject.kind, subject.id, episode_id=timer.episode_id, event=timer.kind)
        emit(session, EventKind(timer.kind), subject=subject, episode_id=timer.episode_id)
    return len(due)
